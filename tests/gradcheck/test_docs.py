"""The page for students says what happens."""

import re
from pathlib import Path

from minifcn.gradcheck import causes, edits, mistakes

PAGE = Path(__file__).parents[2] / "docs" / "check-your-own-layer.md"


def test_the_example_prints_what_the_page_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text(encoding="utf-8")
    code, printed = (
        re.search(rf"```{kind}\n(.*?)```", text, re.S).group(1) for kind in ("python", "text"))
    exec(code, {})

    def without_rounding(lines):
        return re.sub(r"\d\.\de-\d\d", "tiny", lines)

    assert without_rounding(capsys.readouterr().out) == without_rounding(printed)
    assert (tmp_path / "check-your-own-layer.png").stat().st_size > 10_000


def test_every_cause_is_explained():
    """The page's table is the package's, and holds all causes that the package can give."""
    assert causes.table() in PAGE.read_text(encoding="utf-8")
    package = PAGE.parents[1] / "minifcn" / "gradcheck"
    source = "".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    constructors = "Finding|Candidate|Change|mistake|Mistake|add|lie"
    given = set(re.findall(rf'(?:{constructors})\(\s*"(\w+)"', source))
    given |= {each.cause for some in mistakes.MISTAKES.values() for each in some}
    assert len(given) > 60
    assert given <= causes.CAUSES.keys()


def test_every_mistake_changes_the_textbook():
    """Each text to replace occurs, and what comes of it is Python."""
    for file, some in mistakes.MISTAKES.items():
        for each in some:
            if each.instead is None:
                changed = edits.replaced(file, each.changes)
                assert changed, (file, each.sentence)
                edits.run(file, changed, **mistakes.HELPERS)
