"""The cache of compiled kernels: its faults cost time, never a result."""
import os
import subprocess
import sys

import pytest

from minifcn.cli import main
from minifcn.ops import compiling
from minifcn.ops.compiling import JIT_ENABLED, compiled

pytestmark = pytest.mark.skipif(not JIT_ENABLED, reason="nothing is compiled")


def twice(x):
    return x * 2


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the test's own."""
    monkeypatch.setattr(compiling.config, "CACHE_DIR", str(tmp_path / "cache"))
    compiling.cache_folder.cache_clear()
    compiling._warn_once.cache_clear()
    yield tmp_path / "cache"
    compiling.cache_folder.cache_clear()


def files(cache, ending=""):
    return sorted(cache.rglob(f"*{ending}"))


def hits(kernel):
    return sum(kernel.stats.cache_hits.values())


def test_what_was_compiled_is_kept(cache):
    assert compiled(twice)(3) == 6
    assert [path.suffix for path in files(cache, ".nb?")] == [".nbc", ".nbi"]
    again = compiled(twice)
    assert again(3) == 6 and hits(again) == 1


def cut(content):
    return content[:40]


def overwrite(content):
    middle = len(content) // 2
    return content[:middle] + bytes(100) + content[middle + 100:]


def empty(content):
    return b""


@pytest.mark.parametrize("ending, damage", [(".nbi", cut), (".nbi", empty), (".nbc", cut),
                                            (".nbc", empty), (".nbc", overwrite)])
def test_a_damaged_file_is_compiled_anew_and_said_once(cache, ending, damage):
    compiled(twice)(3)
    for path in files(cache, ending):
        path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(RuntimeWarning, match="was damaged; it is compiled anew"):
        assert compiled(twice)(3) == 6
    mended = compiled(twice)
    assert mended(3) == 6 and hits(mended) == 1


def test_a_place_that_cannot_be_written_stops_nothing(cache):
    cache.write_text("a file where the folder should be")
    with pytest.warns(RuntimeWarning, match="cannot be kept .* set NUMBA_CACHE_DIR"):
        assert compiled(twice)(3) == 6
    assert compiled(twice)(3.5) == 7        # said once


@pytest.mark.parametrize("variables", [{"HOME": "/nowhere"}, {"HOME": ""}])
def test_a_read_only_package_of_a_user_without_a_home(monkeypatch, variables):
    monkeypatch.setattr(compiling.os, "access", lambda *_: False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert compiling._cache_base().is_absolute()


def test_a_prediction_goes_on_with_an_unusable_cache(tmp_path):
    """Numba's own fallback brought back kernels from before an edit."""
    (tmp_path / "file").touch()
    code = ("import numpy as np; from minifcn import ops; "
            "print(ops.relu_forward(np.ones(3, np.float32)))")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300,
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "file" / "cache")})
    assert done.stdout == "[1. 1. 1.]\n" and "cannot be kept" in done.stderr


def test_doctor_removes_what_an_edit_left_behind(cache, capsys):
    in_use = compiling.cache_folder(compiling.OPS / "fast")
    rooms = [in_use.name, *(f"{room}-{digit * 16}" for room in ("fast", "elsewhere")
                            for digit in "0f")]
    for age, name in enumerate(rooms):
        (cache / name).mkdir(parents=True)
        (cache / name / "kernel.nbc").write_bytes(bytes(1000))
        os.utime(cache / name, (age, age))
    (cache / "mine").mkdir()
    assert len(compiling.old_cache_folders()) == 3
    main(["doctor", "--clean"])
    assert "removed 3 folders of old kernels" in capsys.readouterr().err
    left = {path.name for path in cache.iterdir()}
    assert left >= {in_use.name, "elsewhere-" + "f" * 16, "mine"}
    assert not left & {"fast-" + "0" * 16, "fast-" + "f" * 16, "elsewhere-" + "0" * 16}
    assert not compiling.old_cache_folders()


def test_the_source_is_part_of_the_name(tmp_path):
    (tmp_path / "kernel.py").write_text("one")
    before = compiling.cache_folder.__wrapped__(tmp_path)
    (tmp_path / "kernel.py").write_text("two")
    assert compiling.cache_folder.__wrapped__(tmp_path) != before
    assert before.name.startswith(tmp_path.name)
