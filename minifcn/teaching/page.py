"""Pages that need nothing from elsewhere: a poster that a small script replaces by a live view.

The same HTML serves a notebook's output, a site and a file opened from disk. Where no script runs
(an untrusted notebook, GitHub) the poster stays. All outputs of a notebook share one document, so
the HTML has no ids: the script finds the element that it stands in.
"""
from __future__ import annotations

import base64
import html
import json
from pathlib import Path

import numpy as np

from minifcn.files import written_whole

VIEWER = Path(__file__).parent / "viewer"

FRAGMENT = """\
<div class="minifcn">
<img class="poster" alt="{alt}" src="data:image/png;base64,{poster}">
<style>{style}</style>
<script type="application/json">{data}</script>
<script>(() => {{
{script}
const root = document.currentScript.parentElement, poster = root.querySelector(".poster");
const data = JSON.parse(root.querySelector("script[type='application/json']").textContent);
(async () => start(root, data))().then(() => poster.remove(), error => {{
  poster.insertAdjacentHTML("beforebegin", "<p role=alert>Only a picture of the page. </p>");
  poster.previousSibling.append(error.message);
  throw error;
}});
}})();</script>
</div>
"""

DOCUMENT = """\
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>body {{ margin: 0; background: light-dark(#fcfcfa, #16181b); color-scheme: light dark }}
main {{ max-width: 1800px; margin: auto; padding: clamp(12px, 2vw, 32px) }}</style>
<main>
<h1 class="minifcn-title">{title}</h1>
{fragment}</main>
</html>
"""


class Page:
    """A live view with its poster, for notebooks and files.

    Parameters
    ----------
    title : str
        Heading of the saved file.
    script : str
        Name of a file in ``viewer/`` that defines ``start(root, data)``: it builds the view in the
        empty element ``root``.
    data : object
        What ``start`` gets, as JSON.
    poster : bytes
        A PNG, shown where no script runs.
    alt : str
        The poster in words.
    text : str
        The same in plain text, for terminals and for front ends without pictures.
    """

    def __init__(self, title: str, script: str, data, poster: bytes, alt: str, text: str):
        self.title, self.script, self.data = title, script, data
        self.poster, self.alt, self.text = poster, alt, text

    @property
    def poster_text(self) -> str:
        return base64.b64encode(self.poster).decode()

    def _repr_html_(self) -> str:
        return FRAGMENT.format(
            alt=html.escape(self.alt), poster=self.poster_text,
            style="".join(path.read_text(encoding="utf-8") for path in self.style_sheets()),
            script=(VIEWER / self.script).read_text(encoding="utf-8"), data=to_json(self.data))

    def style_sheets(self) -> list[Path]:
        """The common one, and one with the script's name if there is one."""
        own = (VIEWER / self.script).with_suffix(".css")
        return [VIEWER / "style.css", *([own] if own.exists() else [])]

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        return {"text/html": self._repr_html_(), "image/png": self.poster_text,
                "text/plain": self.text}

    def __repr__(self) -> str:
        return self.text

    def save(self, path: str | Path) -> Path:
        """Write one HTML file that works from disk, without a network.

        Returns
        -------
        path : Path

        Raises
        ------
        FileNotFoundError
            If the folder of ``path`` does not exist.
        """
        page = DOCUMENT.format(title=html.escape(self.title), fragment=self._repr_html_())
        with written_whole(path) as temporary:
            temporary.write_text(page, encoding="utf-8")
        return Path(path)


def to_json(data) -> str:
    """JSON that may stand inside ``<script>``; NaN is null, infinities are 1e999 and -1e999."""
    text = json.dumps(finite(data), separators=(",", ":"), ensure_ascii=False)
    text = text.replace('"\\u0000inf"', "1e999").replace('"\\u0000-inf"', "-1e999")
    return text.replace("</", "<\\/").replace("<!--", "\\u003c!--")


def finite(value):
    """``value`` with what JSON can hold: short numbers, None for NaN, a mark for infinities."""
    if isinstance(value, dict):
        return {str(key): finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [finite(each) for each in value]
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, (complex, np.complexfloating)):
        return str(value)
    if isinstance(value, (float, np.floating)):
        if np.isnan(value):
            return None
        if np.isinf(value):
            return "\0inf" if value > 0 else "\0-inf"
        value = float(str(value))           # the shortest digits of a float32 too
        return int(value) if value == int(value) and abs(value) < 2 ** 53 else value
    return value
