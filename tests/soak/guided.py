"""A coverage-guided fuzzer on one reader: python -m tests.soak.guided NAME CORPUS [options]."""
import sys
import tempfile
from pathlib import Path

# not the reader of runs: it compiles kernels, and Numba wants their code as it is
NAMES = ("checkpoint", "png", "tiff", "gif", "bmp", "ppm", "labels", "palette", "list",
         "toml", "labelme", "coco", "manifest", "notebook", "recipe")

def main() -> None:
    import atheris

    name, corpus = sys.argv[1], Path(sys.argv[2])
    with atheris.instrument_imports(include=["minifcn", "PIL", "tomllib", "json"]):
        from tests.soak.readers import READERS, seeds, try_input
    reader = next(each for each in READERS if each.name == name)
    for number, content in enumerate(seeds(name)):
        (corpus / f"seed{number}").write_bytes(content)
    folder = Path(tempfile.mkdtemp())

    def one(content: bytes) -> None:
        try_input(reader, content, folder)

    atheris.Setup([sys.argv[0], *sys.argv[3:], str(corpus)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
