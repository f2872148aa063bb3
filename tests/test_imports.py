"""What is imported when: ``--help`` starts at once, and rooms know only those below them."""
import subprocess
import sys

import pytest

import minifcn
from minifcn.cli import COMMANDS


def imported(code: str) -> set[str]:
    """The modules that a new process has imported after ``code``."""
    done = subprocess.run([sys.executable, "-c", f"import sys\n{code}\n"
                           "print('modules:', *sys.modules)"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("modules:")[2].split())


def test_help_imports_neither_numba_nor_matplotlib():
    modules = imported(f"""
from minifcn.cli import main
for arguments in [["--help"], *([command, "--help"] for command in {COMMANDS})]:
    try:
        main(arguments)
    except SystemExit as stopped:
        assert not stopped.code
""")
    assert not modules & {"numba", "matplotlib", "llvmlite", "PIL", "tqdm", "safetensors"}


def test_data_and_palette_know_no_models():
    assert "minifcn.palette" in imported("import minifcn.palette")
    modules = imported("import minifcn.data")
    assert not [name for name in modules if name.startswith(("minifcn.models", "numba"))]


def test_rooms_are_there_after_importing_minifcn_alone():
    modules = imported("""
import minifcn
assert "numpy" not in sys.modules
assert minifcn.data.read_image and minifcn.data.Shapes and minifcn.data.make_batch
assert minifcn.training.Trainer and minifcn.training.Recipe
assert minifcn.ops.reference.conv2d_forward is not minifcn.ops.conv2d_forward
""")
    assert "minifcn.training.trainer" in modules


@pytest.mark.parametrize("room", [minifcn, minifcn.training, minifcn.data])
def test_everything_that_is_listed_is_there(room):
    for name in room.__all__:
        if name != "teaching":
            assert getattr(room, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = room.nothing
