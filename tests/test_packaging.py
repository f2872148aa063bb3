"""A wheel built from the checkout works without the checkout."""
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import minifcn
from minifcn.data import Streets
from tests.notebooks.pages import installation

CHECKOUT = Path(minifcn.__file__).parent.parent

MODEL = "minifcn/models/streets-8s.safetensors"

pytestmark = [
    pytest.mark.wheel,
    pytest.mark.skipif(not (CHECKOUT / "setup.cfg").exists(), reason="needs the checkout"),
]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy of what is needed, so that no build/ is left in the checkout."""
    pytest.importorskip("setuptools", minversion="68", reason="the build needs setuptools")
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    names = ["minifcn", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"]
    for path in [CHECKOUT / name for name in names] + [*(CHECKOUT / "minifcn").rglob("*.*")]:
        if path.is_file() and "__pycache__" not in path.parts:
            target = source / path.relative_to(CHECKOUT)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
        "--no-index", "--wheel-dir", built, source, cwd=built)
    (path,) = built.glob("minifcn-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder for PYTHONPATH that comes before the checkout."""
    target = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index",
        "--target", target, wheel, cwd=target)
    return target


def run(*command, cwd, **environment):
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True,
                          env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **environment},
                          timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_nothing_else(wheel):
    modules = {str(path.relative_to(CHECKOUT)) for path in (CHECKOUT / "minifcn").rglob("*.py")}
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert modules | {MODEL} <= names
    others = {name.split("/")[0] for name in names - modules}
    assert others <= {"minifcn", f"minifcn-{minifcn.__version__}.dist-info"}
    assert any(name.endswith("LICENSE") for name in names)


@pytest.mark.slow
def test_it_predicts_outside_the_checkout(installed, tmp_path):
    """With the API and with the command; the installed copy, not the checkout."""
    code = """
import minifcn, numpy as np, sys
assert minifcn.__file__.startswith(sys.argv[1]), minifcn.__file__
model = minifcn.FCN(16, 4, width=1 / 32, fc_channels=4)
model.parameters["score_fr.bias"][2] = 1
model.save("small.safetensors")
loaded = minifcn.load("small.safetensors")
assert (loaded.predict(np.zeros((20, 30, 3), np.uint8)) == 2).all()
print(minifcn.__version__)
"""

    def python(*arguments):
        return run(sys.executable, *arguments, cwd=tmp_path, PYTHONPATH=str(installed))

    assert python("-c", code, installed).strip() == minifcn.__version__
    assert "134,362,751" in python("-m", "minifcn", "summary", "360", "480")
    Image.fromarray(np.full((40, 30, 3), 90, np.uint8)).save(tmp_path / "street.png")
    python("-m", "minifcn", "predict", "small.safetensors", "street.png", "--out", "masks")
    with Image.open(tmp_path / "masks" / "street.png") as mask:
        assert mask.mode == "P" and mask.size == (30, 40) and (np.asarray(mask) == 2).all()
    assert (tmp_path / "masks" / "street_overlay.png").exists()


def test_the_list_of_the_wheel_holds_the_packaged_model(monkeypatch):
    """As the build reads it, without a build."""
    setuptools = pytest.importorskip("setuptools", minversion="68", reason="needs setuptools")
    monkeypatch.chdir(CHECKOUT)
    distribution = setuptools.Distribution()
    distribution.parse_config_files(["setup.cfg"])
    build = distribution.get_command_obj("build_py")
    build.ensure_finalized()
    listed = {f"{package.replace('.', '/')}/{name}"
              for package, _, _, names in build.data_files for name in names}
    assert MODEL in listed
    assert sum((CHECKOUT / name).stat().st_size for name in listed
               if name.endswith(".safetensors")) <= 2_000_000


@pytest.fixture
def scripts(tmp_path):
    """Programs of an environment without minifcn; what that depends on is borrowed from here."""
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=True)
    scripts = environment / ("Scripts" if os.name == "nt" else "bin")
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(run(scripts / "python", "-c", where, cwd=tmp_path).strip())
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    return scripts


@pytest.mark.slow
def test_the_packaged_model_predicts_in_an_environment_of_its_own(wheel, scripts, tmp_path):
    """Only the wheel is installed there."""
    run(scripts / "python", "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel,
        cwd=tmp_path)
    scene = Streets(1, (120, 160), 99)[0]
    Image.fromarray(scene.image).save(tmp_path / "photo.png")
    run(scripts / "minifcn", "predict", "streets-8s", "photo.png", "--out", "masks", cwd=tmp_path)
    with Image.open(tmp_path / "masks" / "photo.png") as mask:
        right = np.asarray(mask) == scene.labels
    assert right[scene.labels != 255].mean() > 0.8


@pytest.mark.slow
def test_the_first_cell_of_a_notebook_installs_the_wheel_beside_it(wheel, scripts, tmp_path):
    pytest.importorskip("IPython", reason="IPython is not installed (extra: tutorials)")
    cell = installation(CHECKOUT / "tutorials" / "01_convolution.ipynb")
    (tmp_path / "cell.ipy").write_text(f"{cell}\nprint('version', minifcn.__version__)\n")

    def answer():
        return run(scripts / "python", "-m", "IPython", "--colors=NoColor", "cell.ipy",
                   cwd=tmp_path, IPYTHONDIR=str(tmp_path / "profile"), PIP_NO_INDEX="1")

    with pytest.raises(AssertionError, match="minifcn"):
        answer()                                    # no wheel, nothing installed
    (tmp_path / wheel.name).write_bytes(wheel.read_bytes())
    assert f"version {minifcn.__version__}" in answer()
    (tmp_path / wheel.name).unlink()
    assert answer().strip() == f"version {minifcn.__version__}"     # now it does nothing


def test_it_steps_and_explores_outside_the_checkout(installed, tmp_path):
    """The viewer's files are in the wheel."""
    run(sys.executable, "-m", "minifcn", "step", "conv2d_backward", "--shape", "1x4x5x2",
        "--stride", "2", "--out", "step.html", cwd=tmp_path, PYTHONPATH=str(installed))
    Image.fromarray(np.full((32, 48, 3), 90, np.uint8)).save(tmp_path / "street.png")
    run(sys.executable, "-m", "minifcn", "explore", "streets-8s", "street.png", "--pixel", "9", "9",
        cwd=tmp_path, PYTHONPATH=str(installed))
    viewer = CHECKOUT / "minifcn" / "teaching" / "viewer"
    for page, name in (("step", "stepper"), ("explorer", "explorer")):
        text = (tmp_path / f"{page}.html").read_text(encoding="utf-8")
        for file in (f"{name}.js", f"{name}.css", "style.css"):
            assert (viewer / file).read_text(encoding="utf-8") in text
