"""The numbers in the text of the why pages: each is a premise, or follows from the code."""
# ruff: noqa: F401 -- the tables of the pages use these names
import math
import re
from pathlib import Path

import numpy as np
import pytest

import minifcn
from minifcn.models.geometry import GEOMETRIES, Geometry, plan
from minifcn.ops import bilinear_kernel, reference
from minifcn.ops.checks import conv2d_size

WHY = Path(__file__).parents[2] / "docs" / "why"
PAGES = sorted(page for page in WHY.glob("*.md") if page.stem != "index")
NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?(?!\w)")
SMALL = 10      # numbers up to this are read off the example on the page


def least(builds) -> int:
    """The smallest padding for which a network can be planned."""
    for padding in range(200):
        try:
            builds(padding)
        except ValueError:
            continue
        return padding
    raise AssertionError("no padding works")


def receptive_field(layer: str) -> int:
    field, step = 1, 1
    for each in plan(500, 32).steps[1:]:
        field, step = field + (each.kernel - 1) * step, step * each.stride
        if each.name == layer:
            return field
    raise AssertionError(layer)


def gmac(side: int, geometry: str) -> float:
    return minifcn.FCN(stride=32, geometry=geometry, seed=None).summary(side, side).macs


def conv(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    y = reference.conv2d_forward(x.reshape(1, 1, -1, 1), weight.reshape(1, -1, 1, 1), np.zeros(1))
    return y.ravel()


def counts(inputs: int, kernel: int, stride: int) -> np.ndarray:
    """How many inputs reach each output of a transposed convolution."""
    y = reference.conv_transpose2d_forward(np.ones((1, 1, inputs, 1)), np.ones((1, kernel, 1, 1)),
                                           None, (1, stride))
    return y.ravel()


NAMES = {name: value for name, value in globals().items() if not name.startswith("_")}


def split(page: Path) -> tuple[str, dict[str, str]]:
    """The prose without code, and the table of its numbers."""
    text = page.read_text()
    prose = re.sub(r"```.*?```|`[^`]*`|<!--.*?-->|\]\([^)]*\)", " ", text, flags=re.DOTALL)
    found = re.search(r"<!-- numbers\n(.*?)\n-->", text, re.DOTALL)
    lines = found.group(1).splitlines() if found else []
    return prose, dict(line.split(" = ", 1) for line in lines)


def value_of(number: str) -> float:
    return float(number.replace(",", ""))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_number_of_the_text_stands_in_its_table(page):
    prose, table = split(page)
    known = {value_of(number) for number in table if NUMBER.fullmatch(number)}
    known |= {value_of(number) for number in table.get("given", "").split()}
    unknown = [number for number in NUMBER.findall(prose)
               if value_of(number) not in known
               and not (value_of(number) <= SMALL and value_of(number).is_integer())]
    assert not unknown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_number_of_the_table_follows_from_the_code(page):
    for number, expression in split(page)[1].items():
        if number == "given":
            continue
        value = eval(expression, dict(NAMES))
        if NUMBER.fullmatch(number):
            decimals = len(number.partition(".")[2]) if "e" not in number else 12
            assert round(float(value), decimals) == value_of(number), expression
        else:
            assert value is True, expression


def test_the_pages_are_the_ones_of_the_index():
    index = (WHY / "index.md").read_text()
    assert sorted(page.stem for page in PAGES) == sorted(re.findall(r"^[a-z0-9-]+$", index, re.M))
