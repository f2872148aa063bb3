"""The allocator: memory that serves again, and scratch."""
import gc
import threading

import numpy as np
import pytest

import minifcn
from minifcn.ops import memory


@pytest.fixture
def allocator(monkeypatch):
    new = memory.Allocator()
    monkeypatch.setattr(memory, "allocator", new)
    monkeypatch.setattr(memory.Owner.__del__, "__defaults__", (new.free,))
    return new


def address(array):
    return array.ctypes.data


def kept(allocator):
    return sum(block.memory.nbytes for block in allocator.blocks)


def test_memory_serves_again_when_its_last_view_is_gone(allocator):
    first = memory.empty((1000, 1000), np.float32)
    where, view = address(first), first[500:, ::2]
    del first
    other = memory.empty((1000, 1000), np.float32)
    assert address(other) != where
    del view
    again = memory.empty((1000, 999), np.float32)
    assert address(again) == where


def test_arrays_in_use_never_overlap(allocator):
    rng, alive = np.random.default_rng(0), []
    for _ in range(300):
        size = int(rng.integers(1, 2_000_000))
        array = memory.empty((size,), np.uint8)
        assert array.size == size and address(array) % memory.CACHE_LINE == 0
        array[:] = len(alive) % 251
        alive.append((array, len(alive) % 251))
        if len(alive) > 20:
            array, value = alive.pop(int(rng.integers(20)))
            assert (array == value).all()
    assert all((array == value).all() for array, value in alive)


def test_it_never_holds_more_than_was_once_in_use(allocator):
    for size in (10**6, 4 * 10**6, 2 * 10**6, 10**7, 3 * 10**5) * 5:
        array = memory.empty((size,), np.uint8)
        held = allocator.used + kept(allocator)
        assert held <= allocator.peak
        del array
    assert allocator.used == 0 and allocator.peak <= 10**7 + memory.CACHE_LINE


def test_what_nobody_wants_for_a_while_goes(allocator):
    memory.empty((10**8,), np.uint8)
    gc.collect()
    assert kept(allocator) > 10**8
    for _ in range(memory.LIFETIME + 2):
        memory.empty((memory.LARGE,), np.uint8)
    assert kept(allocator) < 10**7


def test_an_array_too_large_leaves_no_noise_behind(allocator, capsys):
    for _ in range(2):
        with pytest.raises(MemoryError):
            memory.empty((2**60,), np.uint8)
        gc.collect()
    assert allocator.used == 0 and capsys.readouterr().err == ""


def test_what_fits_below_the_peak_is_kept(allocator):
    """All four were freed at once, and once all went with the first that was too much."""
    arrays = [memory.empty((10**7,), np.uint8) for _ in range(4)]
    del arrays
    small = memory.empty((2 * 10**6,), np.uint8)
    assert kept(allocator) == 3 * (10**7 + memory.CACHE_LINE) and small.size


def test_a_server_that_idles_may_give_memory_back(allocator):
    array = memory.empty((10**7,), np.uint8)
    memory.empty((10**6,), np.uint8)
    with memory.scratch(10**6, np.float32):
        pass
    minifcn.release_memory()
    assert kept(allocator) == 0
    array[:] = 1
    del array
    assert kept(allocator) > 10**7
    minifcn.release_memory()
    assert kept(allocator) == allocator.used == 0


def test_scratch_is_lent_once_at_a_time(allocator):
    with memory.scratch(1000, np.float64) as room:
        assert room.shape == (1000,) and room.dtype == np.float64
        with pytest.raises(RuntimeError, match="lent to this thread already"), \
                memory.scratch(10, np.float32):
            pass
        other = []
        thread = threading.Thread(target=lambda: other.append(memory.scratch(10, np.float32)
                                                              .__enter__()))
        thread.start()
        thread.join()
        assert len(other) == 1
    with pytest.raises(ZeroDivisionError), memory.scratch(10, np.float32):
        _ = 1 / 0
    with memory.scratch(10, np.float32):
        pass
