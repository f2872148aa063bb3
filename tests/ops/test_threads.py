"""The thread pool that shares out the tasks of a kernel; forks and kills beside it."""
import os
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import minifcn
from minifcn.ops import threads as module
from minifcn.ops.compiling import JIT_ENABLED
from minifcn.ops.threads import get_threads, load, parallel, set_threads, shared, store

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


@pytest.fixture(params=[1, 2, 5])
def threads(request):
    """More than there are cores, too."""
    before = get_threads()
    set_threads(request.param)
    yield request.param
    set_threads(before)


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
        store(started, task, 1)
        while not load(started, 1 - task):
            pass


@pytest.mark.timeout(120, method="thread")      # nothing else ends a wait in compiled code
def test_other_threads_help():
    """A worker that fell asleep just before the round began misses it: so ring until they met."""
    met = threading.Event()

    def ring():
        while not met.wait(0.001):
            module._pool.wake(2)

    before = get_threads()
    set_threads(2)
    work(2, 1, np.zeros(2))         # there is a pool
    ringer = threading.Thread(target=ring)
    ringer.start()
    try:
        for _ in range(20):
            started, by = np.zeros(2, np.int64), np.zeros(2, np.int64)
            meet(2, started.ctypes.data, by)
            assert sorted(by) == [0, 1]
    finally:
        met.set()
        ringer.join()
        set_threads(before)


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


def in_a_process(code: str, *arguments: str) -> subprocess.CompletedProcess:
    quiet = ["-W", "ignore::DeprecationWarning"]        # from Python 3.12 on, fork warns of threads
    return subprocess.run([sys.executable, *quiet, "-c", textwrap.dedent(code), *arguments],
                          capture_output=True, text=True, timeout=300)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_a_pool_of_its_own():
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


def test_a_process_ends_at_once_while_workers_look_for_work():
    for _ in range(3):
        result = in_a_process("""
            import numpy as np
            from minifcn import ops
            ops.relu_forward(np.ones(10**6, np.float32))
        """)
        assert (result.returncode, result.stderr) == (0, "")


FORKS = """
    import os, signal, sys, threading, time
    import numpy as np
    import minifcn
    from minifcn import ops
    minifcn.set_threads(3)
    x = np.random.default_rng(0).standard_normal((1, 40, 40, 16), np.float32)
    weight = np.ones((3, 3, 16, 16), np.float32)
    expected = ops.conv2d_forward(x, weight, weight[0, 0, 0], 1, 1)
    done = threading.Event()
    wrong = []

    def predict():
        while not done.is_set():
            if (ops.conv2d_forward(x, weight, weight[0, 0, 0], 1, 1) != expected).any():
                wrong.append(1)

    predicting = [threading.Thread(target=predict) for _ in range(2)]
    for thread in predicting:
        thread.start()
    for fork in range(int(sys.argv[1])):
        ends = os.pipe()
        child = os.fork()
        if not child:
            os.close(ends[0])
            while True:
                same = (ops.conv2d_forward(x, weight, weight[0, 0, 0], 1, 1) == expected).all()
                os.write(ends[1], b"." if same else b"!")
        os.close(ends[1])
        assert os.read(ends[0], 1) == b"."      # it computes, so it hangs nowhere
        time.sleep(fork % 7 / 5000)             # killed wherever it is
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ends[0])
    done.set()
    for thread in predicting:
        thread.join()
    assert not wrong
    print("nobody hangs")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("forks", [40, pytest.param(500, marks=pytest.mark.slow)])
def test_forked_workers_that_are_killed_hang_nobody(forks):
    """Numba's pool has a lock that processes share: who died with it stopped all others."""
    result = in_a_process(FORKS, str(forks))
    assert (result.returncode, result.stdout, result.stderr) == (0, "nobody hangs\n", "")


def test_no_kernel_starts_the_threads_of_numba():
    result = in_a_process("""
        import numpy as np, minifcn
        from numba.np.ufunc import parallel
        parallel._launch_threads = None         # whoever calls it fails
        minifcn.FCN(width=1 / 64, fc_channels=2).predict(np.zeros((40, 40, 3), np.uint8))
        assert not parallel._is_initialized
    """)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("threads", [0, -1, 1025, 2.5, "two", None])
def test_a_number_of_threads_that_cannot_be(threads):
    before = get_threads()
    with pytest.raises(ValueError, match=r"threads must be 1\.\.1024"):
        minifcn.set_threads(threads)
    assert get_threads() == before


@pytest.mark.parametrize("variables, expected", [
    ({"MINIFCN_NUM_THREADS": "3"}, "3"),
    ({"MINIFCN_NUM_THREADS": "3", "NUMBA_NUM_THREADS": "2"}, "3"),
    ({"NUMBA_NUM_THREADS": "2"}, "2"),
    ({"MINIFCN_NUM_THREADS": "many"}, "MINIFCN_NUM_THREADS must be 1..1024, not 'many'"),
])
def test_the_environment_sets_the_number_of_threads(monkeypatch, variables, expected):
    for name in ("MINIFCN_NUM_THREADS", "NUMBA_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    result = in_a_process("""
        from minifcn import ops
        try:
            print(ops.get_threads())
        except ValueError as error:
            print(error)
    """)
    assert result.stdout.strip() == expected, result.stderr
