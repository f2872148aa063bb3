"""Files are written whole or not at all."""
import os

import pytest

from minifcn.files import written_whole


def test_the_file_appears_with_its_content(tmp_path):
    path = tmp_path / "a.txt"
    with written_whole(path) as temporary:
        assert temporary.parent == tmp_path and temporary.suffix == ".txt"
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["a.txt"]


def test_an_old_file_is_replaced_at_the_end(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with written_whole(str(path)) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [OSError("no space left"), KeyboardInterrupt(), ValueError("x")])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(type(error)), written_whole(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), written_whole(tmp_path / "a.txt"):
        pass
    assert os.listdir(tmp_path) == []


def test_the_folder_has_to_exist(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"), \
            written_whole(tmp_path / "runs" / "a.txt"):
        raise AssertionError("the block must not run")
