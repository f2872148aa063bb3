"""The threads that share out the tasks of a kernel, and the memory that serves again."""
import gc
import os
import subprocess
import sys
import textwrap
import threading
import time

import numba
import numpy as np
import pytest

from minifcn.ops import memory
from minifcn.ops.compiling import JIT_ENABLED
from minifcn.ops.crew import _crew, _look, _write, parallel, shared

pytestmark = pytest.mark.skipif(not JIT_ENABLED, reason="tasks are shared out in compiled code")


@parallel
def count(thread, begin, end, done, by):
    if shared(thread, begin, end):
        return
    for task in range(begin, end):
        done[task] += 1
        by[task] = thread


@parallel
def work(thread, begin, end, steps, results):
    if shared(thread, begin, end):
        return
    for task in range(begin, end):
        x = float(task)
        for _ in range(steps):
            x = x * 1.0000001 + 1e-9
        results[task] = x


@parallel
def divide(thread, begin, end, numbers, results):
    if shared(thread, begin, end):
        return
    for task in range(begin, end):
        results[task] = 12 // numbers[task]


@pytest.fixture(params=[1, 2, numba.config.NUMBA_NUM_THREADS])
def threads(request):
    before = numba.get_num_threads()
    numba.set_num_threads(min(request.param, numba.config.NUMBA_NUM_THREADS))
    yield numba.get_num_threads()
    numba.set_num_threads(before)


@pytest.mark.parametrize("tasks", [0, 1, 2, 3, 7, 64, 1000])
def test_each_task_is_done_once_by_one_of_the_threads(threads, tasks):
    for _ in range(50):
        done, by = np.zeros(tasks + 3, np.int64), np.zeros(tasks + 3, np.int64)
        count(tasks, done, by)
        assert (done[:tasks] == 1).all() and not done[tasks:].any()
        assert by.min() >= 0 and by.max() < threads


@parallel
def meet(thread, begin, end, started, by):
    """Two tasks, each of which waits until the other has begun: one thread alone never ends."""
    if shared(thread, begin, end):
        return
    for task in range(begin, end):
        by[task] = thread
        _write(started, task, 1)
        while not _look(started, 1 - task):
            pass


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")
@pytest.mark.timeout(120, method="thread")      # nothing else ends a wait in compiled code
def test_other_threads_help():
    """A helper that fell asleep just before the round began misses it: so ring until they met."""
    met = threading.Event()

    def ring():
        while not met.wait(0.001):
            _crew().wake(2)

    work(2, 1, np.zeros(2))         # there is a crew
    ringer = threading.Thread(target=ring)
    ringer.start()
    try:
        for _ in range(20):
            started, by = np.zeros(2, np.int64), np.zeros(2, np.int64)
            meet(2, address(started), by)
            assert sorted(by) == [0, 1]
    finally:
        met.set()
        ringer.join()


def test_it_helps_again_after_a_long_sleep():
    for pause in (0, 0.01, 0.1):
        time.sleep(pause)
        results = np.zeros(200)
        work(200, 100, results)
        assert results.all()


def test_several_python_threads_at_once(threads):
    expected = np.zeros(50)
    work(50, 1000, expected)
    wrong = []

    def run():
        for _ in range(100):
            results = np.zeros(50)
            work(50, 1000, results)
            if (results != expected).any():
                wrong.append(results)

    runners = [threading.Thread(target=run) for _ in range(6)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    assert not wrong


def test_an_error_in_a_task_is_raised(threads):
    numbers = np.ones(100, np.int64)
    numbers[70] = 0
    for _ in range(20):
        with pytest.raises(ZeroDivisionError):
            divide(100, numbers, np.zeros(100, np.int64))
    results = np.zeros(100, np.int64)
    numbers[70] = 3
    divide(100, numbers, results)
    assert results[70] == 4 and (np.delete(results, 70) == 12).all()


def test_a_kernel_that_does_not_share_is_refused():
    with pytest.raises(TypeError, match="alone must begin with"):
        @parallel
        def alone(thread, begin, end, x):
            pass


def test_references_to_the_arrays_are_given_back(threads):
    done, by = np.zeros(100, np.int64), np.zeros(100, np.int64)
    before = sys.getrefcount(done)
    for _ in range(100):
        count(100, done, by)
    assert sys.getrefcount(done) == before


def in_a_process(code: str) -> subprocess.CompletedProcess:
    quiet = ["-W", "ignore::DeprecationWarning"]        # from Python 3.12 on, fork warns of threads
    return subprocess.run([sys.executable, *quiet, "-c", textwrap.dedent(code)],
                          capture_output=True, text=True, timeout=120)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_a_crew_of_its_own():
    result = in_a_process("""
        import os, numpy as np
        from minifcn import ops
        x = np.random.default_rng(0).standard_normal((2, 20, 20, 16), np.float32)
        expected = ops.max_pool2d_forward(x)[0]
        child = os.fork()
        same = all((ops.max_pool2d_forward(x)[0] == expected).all() for _ in range(50))
        if not child:
            os._exit(0 if same else 1)
        assert same and os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    """)
    assert (result.returncode, result.stderr) == (0, "")


def test_a_process_ends_at_once_while_helpers_look_for_work():
    for _ in range(3):
        result = in_a_process("""
            import numpy as np
            from minifcn import ops
            ops.relu_forward(np.ones(10**6, np.float32))
        """)
        assert (result.returncode, result.stderr) == (0, "")


# ---------------------------------------------------------------------------------------------
# Memory
# ---------------------------------------------------------------------------------------------


@pytest.fixture
def shelf(monkeypatch):
    new = memory.Shelf()
    monkeypatch.setattr(memory, "shelf", new)
    monkeypatch.setattr(memory.Lent.__del__, "__defaults__", (new.give_back,))
    return new


def address(array):
    return array.ctypes.data


def test_memory_serves_again_when_its_last_view_is_gone(shelf):
    first = memory.empty((1000, 1000), np.float32)
    where, view = address(first), first[500:, ::2]
    del first
    other = memory.empty((1000, 1000), np.float32)
    assert address(other) != where
    del view
    again = memory.empty((1000, 999), np.float32)
    assert address(again) == where


def test_arrays_in_use_never_overlap(shelf):
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


def test_it_never_holds_more_than_was_once_in_use(shelf):
    for size in (10**6, 4 * 10**6, 2 * 10**6, 10**7, 3 * 10**5) * 5:
        array = memory.empty((size,), np.uint8)
        held = shelf.lent + sum(block.nbytes for _, block in shelf.blocks)
        assert held <= shelf.most
        del array
    assert shelf.lent == 0 and shelf.most <= 10**7 + memory.CACHE_LINE


def test_what_nobody_wants_for_a_while_goes(shelf):
    memory.empty((10**8,), np.uint8)
    gc.collect()
    assert sum(block.nbytes for _, block in shelf.blocks) > 10**8
    for _ in range(memory.WHILE + 2):
        memory.empty((memory.LARGE,), np.uint8)
    assert sum(block.nbytes for _, block in shelf.blocks) < 10**7


def test_an_array_too_large_leaves_no_noise_behind(shelf, capsys):
    for _ in range(2):
        with pytest.raises(MemoryError):
            memory.empty((2**60,), np.uint8)
        gc.collect()
    assert shelf.lent == 0 and capsys.readouterr().err == ""
