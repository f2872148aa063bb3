"""Run as a program: list the arrays of an HDF5 file as JSON; see ``keras_files.py``."""
from __future__ import annotations

import contextlib
import json
import sys

MEMORY, SECONDS = 1 << 31, 10
MOST = 2000                         # arrays


def text(value) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def inside(group, name: str):
    """What lies in a group under a path; links to other places and files are not followed."""
    import h5py

    for part in text(name).split("/"):
        if not isinstance(group, h5py.Group) or \
                not isinstance(group.get(part, getlink=True), h5py.HardLink):
            raise ValueError(f"it has no {name[:80]}, although it lists it")
        group = group[part]
    return group


def datasets(file) -> dict[str, object]:
    """By the names that Keras gives them: those of the attributes, else all."""
    import h5py

    root = file.get("model_weights", file)
    found: dict[str, object] = {}
    if "layer_names" in root.attrs:
        for layer in map(text, root.attrs["layer_names"][:MOST]):
            group = inside(root, layer)
            for name in map(text, group.attrs.get("weight_names", ())[:MOST]):
                found[f"{layer}/{name}"] = inside(group, name)
    else:
        def visit(name, item):
            if isinstance(item, h5py.Dataset):
                found[name] = item
            return None if len(found) < MOST else name

        root.visititems(visit)
    return found


def listing(path: str) -> dict:
    import h5py

    arrays = []
    with h5py.File(path, "r") as file:
        for name, dataset in datasets(file).items():
            if not isinstance(dataset, h5py.Dataset):
                return {"fault": f"{name[:80]} is no array"}
            start = dataset.id.get_offset()
            if start is None or dataset.chunks or dataset.external or dataset.is_virtual:
                return {"fault": f"{name[:80]} is stored in pieces, which is not read here; "
                                 "write it without compression"}
            if dataset.dtype.byteorder == ">":
                return {"fault": f"{name[:80]} is big-endian, which is not read here"}
            arrays.append([name, dataset.shape, str(dataset.dtype), start])
    return {"fault": "" if arrays else "it holds no arrays", "arrays": arrays}


def main() -> int:
    try:
        import resource
        limits = {resource.RLIMIT_AS: MEMORY, resource.RLIMIT_CPU: SECONDS, resource.RLIMIT_CORE: 0}
    except ImportError:                             # Windows has no such limits
        limits = {}
    for kind, limit in limits.items():
        with contextlib.suppress(ValueError, OSError):      # macOS has not all of them
            resource.setrlimit(kind, (limit, limit))
    try:
        print(json.dumps(listing(sys.argv[1])))
    except Exception as error:              # of a library that raises all kinds for damaged files
        print(str(error).replace("\n", " "), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
