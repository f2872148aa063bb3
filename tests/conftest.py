"""What all tests share: threads, hypothesis, and the engines that most tests run on."""
import os

# Before Numba is imported: two workers on two cores shall not start four threads each, but
# every worker has two, or nothing would ever run in parallel.
workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
threads = str(max(2, len(os.sched_getaffinity(0)) // workers
                  if hasattr(os, "sched_getaffinity") else 2))
for variable in ("MINIFCN_NUM_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(variable, threads)
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

import minifcn  # noqa: E402
from minifcn.ops.compiling import JIT_ENABLED  # noqa: E402

# derandomised: a red test is red again; the first call compiles, so there is no deadline, and the
# fixture `engine` keeps no state between examples
settings.register_profile(
    "ci",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("ci")

pytest_plugins = ["tests.browser"]

ENGINES = ("reference", "fast") if JIT_ENABLED else ("reference",)


@pytest.fixture(params=ENGINES)
def engine(request):
    """The test runs once with each engine in use; the value is its name."""
    with minifcn.using(request.param):
        yield request.param
