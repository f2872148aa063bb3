"""The notebooks run in fresh kernels and say what the committed ones say; WRITE=1 rewrites them.

``make notebooks`` runs this, with a limit for all of them.
"""
import os
from pathlib import Path

import pytest

pytest.importorskip("jupytext", reason="needs the tutorials extra: make notebooks")
pytest.importorskip("nbclient", reason="needs the tutorials extra: make notebooks")

import nbformat

from tests.notebooks import building, pages

SOURCES = sorted((pages.TUTORIALS / "sources").glob("[0-9][0-9]_*.py"))
WRITE = os.environ.get("WRITE") == "1"

# Jupyter's own libraries warn now and then; what the cells warn of is in their outputs
pytestmark = [pytest.mark.notebooks, pytest.mark.filterwarnings("default")]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_notebook_runs_and_says_the_same(source, tmp_path):
    committed = pages.TUTORIALS / f"{source.stem}.ipynb"
    book = building.executed(source, folder=pages.TUTORIALS, home=tmp_path)
    problems = building.problems(book)
    assert not problems, "\n".join(problems)
    if WRITE:
        building.write(book, committed)
        return
    assert committed.exists(), f"run make notebooks WRITE=1 to make {committed.name}"
    differences = building.differences(book, nbformat.read(committed, as_version=4))
    assert not differences, "\n\n".join(differences)


def test_no_notebook_lost_its_source():
    assert {path.stem for path in pages.TUTORIALS.glob("*.ipynb")} == \
        {path.stem for path in SOURCES}


def written(tmp_path: Path, text: str):
    source = tmp_path / "00_trial.py"
    source.write_text(text, encoding="utf-8")
    return source


def test_what_the_builder_notices(tmp_path):
    source = written(tmp_path, '''\
# %% [markdown] lang="en"
# words

# %%
import warnings
warnings.warn("look out")

# %%
import matplotlib.pyplot as plt
plt.plot([1, 2])
plt.show()

# %%
from IPython.display import HTML
HTML("<img src='x.png'>")

# %% tags=["answer"]
print("folded", 0.12345)
''')
    book = building.executed(source, folder=tmp_path, home=tmp_path)
    found = "\n".join(building.problems(book))
    assert "cell 1 warned" in found and "look out" in found
    assert "cell 2 has an image without alt text" in found
    assert "cell 3 has an <img> without alt text" in found
    assert book.cells[0].metadata.lang == "en"
    assert "hide-cell" in book.cells[4].metadata.tags
    assert book.cells[4].metadata.jupyter.outputs_hidden is True

    building.write(book, tmp_path / "00_trial.ipynb")
    committed = nbformat.read(tmp_path / "00_trial.ipynb", as_version=4)
    assert building.differences(book, committed) == []
    committed.cells[4].outputs[0].text = "folded 0.1236\n"
    assert "0.12345 is not within 0.001" in building.differences(book, committed)[0]
    committed.cells[4].outputs[0].text = "unfolded 0.12345\n"
    assert "words differ" in building.differences(book, committed)[0]
    committed.cells[4].source = "print(2)"
    assert "WRITE=1" in building.differences(book, committed)[0]


def test_an_error_in_a_cell_is_an_error(tmp_path):
    from nbclient.exceptions import CellExecutionError
    source = written(tmp_path, "# %%\n1 / 0\n")
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        building.executed(source, folder=tmp_path, home=tmp_path)


@pytest.mark.parametrize("new, old, same", [
    ("loss 3.0445", "loss 3.0446", True), ("loss 3.0445", "loss 3.05", False),
    ("a 1,000 b", "a 1,000.5 b", True), ("a 10 b", "a 10 c", False), ("x  1\ny", "x 1 y", True),
    ("-1", "1", False), ("0", "0.0", True), ("1e-9", "2e-9", False), ("1 2", "1", False)])
def test_words_exactly_numbers_nearly(new, old, same):
    assert (building.difference(new, old, 1e-3) is None) == same
