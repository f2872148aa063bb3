"""What homework uses that it should perhaps not: ready-made layers, other programs.

Two looks, neither of which gives a verdict: ``in_source`` reads the imports in a file's text; as a
probe of a ``Worker`` this file watches what the student's own code does while it runs. Who sets out
to fool them can; see docs/trust.md.
"""

from __future__ import annotations

import ast
import builtins
import os
import sys
import sysconfig
import types
import warnings

PACKAGES = {
    "minifcn", "torch", "torchvision", "scipy", "tensorflow", "keras", "jax", "cv2", "skimage",
    "autograd", "cupy", "mxnet", "onnxruntime", "openvino", "tinygrad",
}  # fmt: skip
STARTS = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork"}

# -- in the trusted process -----------------------------------------------------------------------


def in_source(source: bytes) -> set[str]:
    """Sentences about a file's imports, such as "imports torch (line 3)".

    What stands under ``if __name__ == "__main__":`` does not count.
    """
    found: dict[str, int] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parts: list[ast.AST] = [ast.parse(source)]
    for node in parts:  # which grows on the way
        parts += node.orelse if _is_main(node) else ast.iter_child_nodes(node)
        names = []
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module]
        elif isinstance(node, ast.Call):  # __import__("torch"), importlib.import_module("torch")
            function = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if function in ("__import__", "import_module"):
                names = [each.value for each in node.args if isinstance(each, ast.Constant)]
        for name in names:
            package = str(name).partition(".")[0]
            if package in PACKAGES:
                found[package] = min(node.lineno, found.get(package, node.lineno))
    return {f"imports {package} (line {line})" for package, line in found.items()}


def _is_main(node: ast.AST) -> bool:
    """Is it ``if __name__ == "__main__":``?"""
    test = getattr(node, "test", None)
    names = [getattr(each, "id", "") for each in ast.iter_child_nodes(test)] if test else []
    return isinstance(node, ast.If) and "__name__" in names


# -- in the student's process ---------------------------------------------------------------------

_seen: set[str] = set()
_kept: list[tuple[types.ModuleType, dict]] = []  # NumPy as it was before the student's file
_refused: set[str] = set()


def noticed(module) -> list[str]:
    """What the student's code was seen to do: "imports torch", "starts another program"."""
    changed = {
        f"changes {place.__name__}.{name}"
        for place, names in _kept
        for name, value in names.items()
        if vars(place).get(name) is not value
    }
    got_round = {
        f"gets round the refusal of {name}" for name in _refused if sys.modules.get(name)
    }
    return sorted(_seen | changed | got_round)


def _watch(folder: str) -> None:
    """See to imports and started programs from now on; whatever a library does is its own affair.

    Whose a line of code is, the longest folder that holds its file says.
    """
    ours = os.path.dirname(os.path.abspath(__file__))
    standard = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib")}
    owners = {each for each in sys.path if each} | standard | {ours, folder}
    reference = os.path.join(ours, "ops", "")
    roots = ("/dev", "/proc/self", sys.prefix, sys.base_prefix)

    def is_the_students(frame) -> bool:
        while frame is not None:
            file = frame.f_code.co_filename
            near = [each for each in owners if file.startswith(each + os.sep)]
            owner = max(near, key=len, default=folder)
            if owner not in standard and not file.startswith("<frozen") and file != __file__:
                return owner == folder
            frame = frame.f_back
        return False

    def note(what, frame):
        if what not in _seen and is_the_students(frame):
            _seen.add(what)

    def hook(event, arguments):
        if event == "import":
            Finder.find_spec(str(arguments[0]))
        elif event in STARTS:
            note("starts another program", sys._getframe(1))
        elif event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
            file = os.path.abspath(os.fsdecode(arguments[0]))
            if file.startswith(reference):
                note("reads minifcn's own layers", sys._getframe(1))
            elif not file.startswith((folder, os.getcwd(), *owners, *roots)):
                note("opens files outside its folder", sys._getframe(1))

    class Finder:
        """Finds nothing, but is asked for every module that is imported, by whichever way."""

        @staticmethod
        def find_spec(name, *_):
            package = name.partition(".")[0]
            if package in PACKAGES:
                note(f"imports {package}", sys._getframe(1))

    sys.meta_path.insert(0, Finder)
    sys.addaudithook(hook)
    import numpy as np

    places = (np, np.linalg, np.random, np.fft, np.testing, np.lib.stride_tricks, builtins)
    _kept.extend((each, dict(vars(each))) for each in places)
    _refused.update(name for name in PACKAGES if sys.modules.get(name, name) is None)


if __name__ == "noticed":  # loaded as a probe, by its path
    _watch(os.path.dirname(sys.argv[0]))
