"""Formulas as MathML, made when the site is built: nothing is loaded to show them."""
from __future__ import annotations

from docutils import nodes
from latex2mathml.converter import convert


def visit_inline(writer, node) -> None:
    writer.body.append(convert(node.astext()))
    raise nodes.SkipNode


def visit_block(writer, node) -> None:
    writer.body.append(f'<div class="formula" tabindex="0">'
                       f'{convert(node.astext(), display="block")}</div>')
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", inline_renderers=(visit_inline, None),
                               block_renderers=(visit_block, None))
    return {"parallel_read_safe": True}
