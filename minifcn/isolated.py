"""The other side of the wall of ``isolation.py``: a program that runs a student's file.

Between us and the student's process stand supervisors::

    we -> S, outside -> M, in namespaces of its own (Linux) -> I, their process 1 -> the student's

Each watches the pipe to us, and kills everything below itself when we end or what it watches ends.
In namespaces the student's code sees no process but its own, no network, and can write nowhere but
in a folder in memory. Where the system forbids them, supervisors and limits remain.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import linecache
import math
import os
import signal
import sys
import time
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

LINUX = sys.platform == "linux"

_place = importlib.util.spec_from_file_location("wall", Path(__file__).with_name("isolation.py"))
wall = importlib.util.module_from_spec(_place)
_place.loader.exec_module(wall)


def main() -> None:
    requests, answers = os.dup(0), os.dup(1)  # what is printed goes to 2, by whichever way
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    setup = json.loads(wall.read(requests, math.inf, math.inf)[0])
    scratch = os.path.join(setup["temporary"], f"tmp{os.urandom(8).hex()}")
    os.mkdir(scratch, 0o700)
    setup["scratch"], setup["missing"] = scratch, []

    def inner():
        student(setup, requests, answers)

    def can_leave():
        try:
            return leave(setup)
        except OSError:
            return 1

    def process_1():
        try:
            system("unshare", 0x20000)  # so that only from here on /proc is another
            system("mount", b"proc", b"/proc", b"proc", 0, None)
        except OSError:
            setup["missing"].append("the sight of other processes")
        return supervise(inner, requests)

    def inside():
        leave(setup)
        return supervise(process_1, requests)

    if not hasattr(os, "fork"):
        setup["missing"].append("anything but time: this system has neither fork nor limits")
        inner()
    if not LINUX or supervise(can_leave, requests):
        setup["missing"].append("reading and writing of files, the network, other processes")
        code = supervise(lambda: supervise(inner, requests), requests)
    else:
        code = supervise(inside, requests)
    import shutil

    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(code)


def supervise(inside: Callable[[], int | None], lifeline: int) -> int:
    """Run ``inside`` in a child; at its end, or at ours, kill all that it started. Its exit code.

    ``lifeline`` is the reading end of a pipe that nobody but us holds at the other end.
    """
    import select

    bell, ring = os.pipe()
    os.set_blocking(ring, False)
    signal.set_wakeup_fd(ring, warn_on_full_buffer=False)
    for each in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(each, lambda *_: None)
    control(36, 1)  # PR_SET_CHILD_SUBREAPER: orphans below become ours
    child = os.fork()
    if child == 0:
        code = 1
        try:
            control(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: die with the one above
            os.setsid()
            code = inside() or 0
        except Exception:  # ours: the student's are caught and sent
            traceback.print_exc()
        finally:
            os._exit(code)
    poll = select.poll()
    poll.register(lifeline, 0)  # no event but its end
    poll.register(bell, select.POLLIN)
    code = None
    while code is None:
        if lifeline in dict(poll.poll()) or signal.SIGTERM in os.read(bell, 999):
            code = 1
        while (ended := reap())[0]:
            if ended[0] == child:
                code = os.waitstatus_to_exitcode(ended[1])
    with contextlib.suppress(OSError):
        os.killpg(child, signal.SIGKILL)
    while LINUX and os.getpid() != 1 and (below := below_us()):  # the end of 1 is the end of all
        for each in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        while reap()[0]:
            pass
        time.sleep(0.005)
    return code if code >= 0 else 128 - code


def reap() -> tuple[int, int]:
    with contextlib.suppress(ChildProcessError):
        return os.waitpid(-1, os.WNOHANG)
    return 0, 0


def below_us() -> set[int]:
    """Children, their children, and so on."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
            parents[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
    found: set[int] = set()
    while more := {p for p, q in parents.items() if q in found | {os.getpid()}} - found:
        found |= more
    return found


def system(name: str, *arguments: Any) -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)


def control(option: int, value: int) -> None:
    if LINUX:
        with contextlib.suppress(OSError):  # some sandboxes know few of these
            system("prctl", option, int(value), 0, 0, 0)


def leave(setup: dict) -> None:
    """Leave the network and the other processes; write nowhere but in a small folder in memory."""
    import ctypes

    user, group = os.getuid(), os.getgid()
    system("unshare", 0x20000 | 0x8000000 | 0x10000000 | 0x20000000 | 0x40000000)
    for name, text in {
        "setgroups": "deny",
        "uid_map": f"{user} {user} 1",
        "gid_map": f"{group} {group} 1",
    }.items():
        Path("/proc/self", name).write_text(text)
    os.listdir(os.path.dirname(setup["path"]))  # a folder of another user's, closed to us?
    system("mount", None, b"/", None, 0x4000 | 0x40000, None)  # all mounts private
    for each in setup["hide"]:
        system("mount", b"tmpfs", os.fsencode(each), b"tmpfs", 0, b"size=4096,mode=500")
    system("syscall", 442, -1, b"/", 0x8000, (ctypes.c_uint64 * 4)(1), 32)  # and read-only
    options = f"size={setup['files']},mode=700".encode()
    system("mount", b"tmpfs", setup["scratch"].encode(), b"tmpfs", 0, options)


# -- the student's process ------------------------------------------------------------------------


def student(setup: dict, requests: int, answers: int) -> None:
    """Load the student's file, then answer calls until they end."""
    for each in (signal.SIGTERM, getattr(signal, "SIGCHLD", None)):
        if each:
            signal.signal(each, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    os.chdir(setup["scratch"])
    names = ("HOME", "TMPDIR", "TEMP", "TMP", "NUMBA_CACHE_DIR", "MPLCONFIGDIR")
    os.environ.update(dict.fromkeys(names, setup["scratch"]), MPLBACKEND="agg")
    for stream in (sys.stdout, sys.stderr):  # whole lines at once, whatever ends the process
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    sys.path += [each for each in setup["folders"] if each not in sys.path]
    limit(setup)
    wall.write(answers, wall.pack(setup["missing"]))

    path, source = setup["path"], setup["source"].encode("latin-1")
    folder = os.path.dirname(path)
    sys.argv = sys.orig_argv = [path]
    sys.modules.update(dict.fromkeys(setup["refuse"]))  # None there stops an import
    probes = [_probe(each) for each in setup["probes"]]
    sys.path.append(folder)
    name = Path(path).stem
    if name in sys.stdlib_module_names or name in sys.modules:
        name = "homework"
    module = types.ModuleType(name)
    module.__file__ = path
    sys.modules.update({name: module, "__main__": types.ModuleType("__main__")})

    def load():
        text = importlib.util.decode_source(source)
        linecache.cache[path] = len(text), None, text.splitlines(True), path
        exec(compile(source, path, "exec"), module.__dict__)

    def work(whose, name, arguments, options):
        if whose == "student":
            return getattr(module, name)(*arguments, **options)
        function = next(vars(each)[name] for each in probes if name in vars(each))
        return function(module, *arguments, **options)

    process, answer = os.getpid(), _answer(folder, load)
    while os.getpid() == process:  # and not a copy of it, made by the student
        wall.write(answers, answer)
        request = wall.read(requests, math.inf, math.inf)
        if request is None:
            break
        answer = _answer(folder, work, *wall.unpack(*request))
    os._exit(0)


def _probe(path: str) -> types.ModuleType:
    place = importlib.util.spec_from_file_location(Path(path).stem, path)
    probe = importlib.util.module_from_spec(place)
    place.loader.exec_module(probe)
    return probe


def _answer(folder: str, work: Callable, *arguments: Any) -> bytes:
    try:
        return wall.pack({"value": work(*arguments)})
    except BaseException as error:
        line, code, path = 0, "", ""
        for frame in traceback.extract_tb(error.__traceback__):
            if os.path.dirname(frame.filename) == folder:
                line, code, path = frame.lineno or 0, frame.line or "", frame.filename
        if isinstance(error, SyntaxError) and os.path.dirname(str(error.filename)) == folder:
            line, code, path = error.lineno or 0, (error.text or "").strip(), error.filename
        words = f"{type(error).__name__} without words"
        with contextlib.suppress(Exception):  # the student's own classes may fail here
            words = str(error.msg if isinstance(error, SyntaxError) else error)[:2000]
        raised = type(error).__name__, words, line, code[:500], os.path.basename(path)
        return wall.pack({"raised": raised})


def limit(setup: dict) -> None:
    """Set the limits that the system has; those that it lacks are added to ``missing``."""
    try:
        import resource
    except ImportError:
        return
    tasks = 0
    if LINUX:  # the limit counts all processes and threads of the user
        for entry in os.scandir("/proc"):
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and entry.stat().st_uid == os.getuid():
                    tasks += len(os.listdir(f"/proc/{entry.name}/task"))
    for name, words, value in (
        ("RLIMIT_CORE", "core dumps", 0),
        ("RLIMIT_CPU", "CPU time", setup["cpu"]),
        ("RLIMIT_AS", "memory", setup["memory"]),
        ("RLIMIT_FSIZE", "the size of files", setup["files"]),
        ("RLIMIT_NPROC", "the number of processes", setup["processes"] + tasks),
    ):
        try:
            which = getattr(resource, name)
            hard = resource.getrlimit(which)[1]
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(which, (value, value))
        except (AttributeError, OSError, ValueError):
            setup["missing"].append(words)
    if os.getuid() == 0:
        setup["missing"].append("the number of processes (nothing limits root's)")
    if LINUX:
        _drop_rights()


def _drop_rights() -> None:
    """So that what ``leave`` has closed stays closed, to root too."""
    import ctypes

    control(38, 1)  # PR_SET_NO_NEW_PRIVS
    for right in range(64):
        control(24, right)  # PR_CAPBSET_DROP
    header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    with contextlib.suppress(OSError):
        system("capset", header, none)


if __name__ == "__main__":
    main()
