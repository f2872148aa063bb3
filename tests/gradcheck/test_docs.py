"""The page for students says what happens."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "check-your-own-layer.md"


def test_the_example_prints_what_the_page_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text(encoding="utf-8")
    code, printed = (
        re.search(rf"```{kind}\n(.*?)```", text, re.S).group(1) for kind in ("python", "text")
    )
    exec(code, {})

    def without_rounding(lines):
        return re.sub(r"\d\.\de-\d\d", "tiny", lines)

    assert without_rounding(capsys.readouterr().out) == without_rounding(printed)
    assert (tmp_path / "check-your-own-layer.png").stat().st_size > 10_000


def test_every_cause_is_explained():
    """All causes that the package can give stand in the table of the page."""
    table = PAGE.read_text(encoding="utf-8")
    package = PAGE.parents[1] / "minifcn" / "gradcheck"
    source = "".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    causes = set(re.findall(r'(?:Fault|Finding|found)\(\s*"(\w+)"', source))
    causes |= set(re.findall(r'yield \(?\s*"([a-z_]+)"', source))
    assert len(causes) > 30
    assert [cause for cause in sorted(causes) if f"`{cause}`" not in table] == []
