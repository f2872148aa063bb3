"""What a committed notebook says, and the rules that it must keep; needs nothing but JSON.

Every rule takes the cells of a page, from the top, and returns what is wrong with them.
"""
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from minifcn.teaching.questions.asking import TABLE, shown

TUTORIALS = Path(__file__).parents[2] / "tutorials"
NUMBER = re.compile(r"(?<![\w.])[-−+]?\d[\d,_]*(?:\.\d+)?(?:e[-+]?\d+)?(?![\w])")


class Images(HTMLParser):
    """Alternative texts of the images in a piece of HTML; None where one has none."""

    def __init__(self, text: str):
        super().__init__()
        self.alts: list[str | None] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.alts.append(dict(attrs).get("alt"))


def read(path: Path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def tags(cell: dict) -> list[str]:
    return cell["metadata"].get("tags", [])


def source(cell: dict) -> str:
    return "".join(cell["source"])


def installation(page: Path) -> str:
    """The part of the first cell that installs minifcn on a hosted machine."""
    first = next(cell for cell in read(page) if cell["cell_type"] == "code")
    return source(first).split("\n\n")[0]


def data_of(output: dict) -> dict[str, str]:
    """The forms of an output: {mime type: text}; what was printed is text/plain."""
    if output["output_type"] == "stream":
        return {"text/plain": "".join(output["text"])}
    if output["output_type"] == "error":
        return {"text/plain": f"{output['ename']}: {output['evalue']}"}
    return {mime: data if isinstance(data, str) else "".join(data)
            for mime, data in output["data"].items() if isinstance(data, (str, list))}


def output_text(cell: dict) -> str:
    return "\n".join(data_of(output).get("text/plain", "") for output in cell.get("outputs", []))


def asked(cell: dict) -> list[str]:
    """Names of the questions in a cell."""
    return re.findall(r"question\(\s*[\"']([\w-]+)[\"']", source(cell))


def prose(cell: dict) -> str:
    """The text of a text cell without code, links and the numbers of headings and lists."""
    text = re.sub(r"```.*?```", "", source(cell), flags=re.S)
    text = re.sub(r"`[^`]*`|\]\([^)]*\)|https?://\S+", " ", text)
    return re.sub(r"^(#+ .*|\s*\d+\. )", "", text, flags=re.M)


def numbers(text: str) -> Iterator[str]:
    """Numbers as they are written, without signs, grouping and closing zeros."""
    for match in NUMBER.finditer(text):
        yield plain(match.group())


def plain(number: str) -> str:
    value = float(number.replace(",", "").replace("_", "").replace("−", "-").lstrip("+-"))
    return f"{value:.10g}"


def folded(cell: dict) -> bool:
    return "answer" in tags(cell)


def distinctive(answer) -> str | None:
    """An answer that nobody writes by chance; None for one of a single digit, yes, no."""
    text = shown(answer)
    return text if len(re.sub(r"\D", "", text).strip("0")) > 1 else None


def says(text: str, answer: str) -> bool:
    """Whether a text holds an answer, as a word or number of its own."""
    return re.search(rf"(?<![\w.,-]){re.escape(answer)}(?![\w]|[.,]\d)", text) is not None


def unanswered(cells: list[dict]) -> list[str]:
    """Questions that are no longer open, or that no folded cell below answers."""
    found = []
    for place, cell in enumerate(cells):
        if "question" not in tags(cell):
            continue
        for name in asked(cell):
            if name not in TABLE or f'question("{name}", None)' not in source(cell):
                found.append(f"{name} is not an open question")
            if not any(folded(later) and name in asked(later) for later in cells[place + 1:]):
                found.append(f"no folded cell answers {name}")
    return found


def told_early(cells: list[dict]) -> list[str]:
    """Answers that stand in a text, a piece of code or an output above their folded cell."""
    found = []
    for place, cell in enumerate(cells):
        for name in asked(cell) if folded(cell) else ():
            question = TABLE[name].compute()
            answer = distinctive(question.answer)
            if answer and not says(question.text, answer):
                found += [f"{name} is told before it is answered: {source(earlier)}"
                          for earlier in cells[:place] if not folded(earlier)
                          and says(f"{source(earlier)}\n{output_text(earlier)}", answer)]
    return found


def from_nowhere(cells: list[dict]) -> list[str]:
    """Numbers of two digits or more in the text that stand in no code and no output."""
    known = {number for cell in cells if cell["cell_type"] == "code"
             for number in numbers(f"{source(cell)}\n{output_text(cell)}")}
    return [f"{number} is nowhere computed: {source(cell)}"
            for cell in cells if cell["cell_type"] == "markdown"
            for number in numbers(prose(cell)) if len(number) > 1 and number not in known]


def problems_of_images(cell: dict) -> list[str]:
    """Images without words, in a cell's outputs."""
    found = []
    for output in cell.get("outputs", []):
        data = data_of(output)
        alts = Images(data.get("text/html", "")).alts
        if any(mime.startswith("image/") for mime in data) and not alts:
            found.append("an image without alt text: use minifcn.teaching.show(figure, alt=...)")
        found += ["an <img> without alt text"
                  for alt in alts if not (alt or "").strip()]
    return found
