"""What a committed notebook says: its cells, their tags, the text of their outputs.

Needs nothing but JSON, so that the rules of a page are tested without Jupyter.
"""
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

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
