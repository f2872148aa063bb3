"""Tiny arrays on busy cores: starting threads would take longer than the work."""

import pytest

from minifcn import ops


@pytest.fixture(autouse=True)
def one_thread():
    before = ops.get_threads()
    ops.set_threads(1)
    yield
    ops.set_threads(before)
