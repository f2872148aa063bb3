"""Tiny arrays on busy cores: starting threads would take longer than the work."""

import numba
import pytest


@pytest.fixture(autouse=True)
def one_thread():
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)
