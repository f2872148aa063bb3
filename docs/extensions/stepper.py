"""``{stepper}``: run the code of the block, and show what its last line gives as a notebook would.

The value on the last line is a trace or anything else with ``_repr_html_``. The code itself stands
above it, folded, so that a reader can repeat it.
"""
from __future__ import annotations

import ast
import linecache
from html import escape
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

import minifcn

ROOMS = [Path(minifcn.__file__).parent / room for room in ("teaching", "ops/reference")]


def evaluate(code: str, page: str) -> object:
    """Run all statements; the value of the last one, which is an expression."""
    file = f"<stepper of {page}>"
    linecache.cache[file] = len(code), None, code.splitlines(keepends=True), file
    tree = ast.parse(code)
    last = ast.Expression(tree.body.pop().value)
    names: dict[str, object] = {"__name__": file}
    exec(compile(tree, file, "exec"), names)
    return eval(compile(last, file, "eval"), names)


class Stepper(SphinxDirective):
    has_content = True

    def run(self) -> list[nodes.Node]:
        for path in (path for room in ROOMS for path in room.rglob("*.*")):
            self.env.note_dependency(str(path))     # a page is made anew when one of them changes
        code = "\n".join(self.content)
        shown = evaluate(code, self.env.docname)._repr_html_()
        source = (f'<details class="stepper-code"><summary>The code of this stepper</summary>'
                  f'<pre tabindex="0">{escape(code)}</pre></details>')
        return [nodes.raw("", shown + source, format="html")]


def setup(app):
    app.add_directive("stepper", Stepper)
    return {"parallel_read_safe": True}
