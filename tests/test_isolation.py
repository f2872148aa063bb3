"""What runs behind the wall can neither deceive, nor harm, nor outlive those who ask it."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from minifcn import isolation
from minifcn.isolation import Ended, Limits, Raised, Worker, pack, plain, unpack

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="/proc and namespaces are Linux's")
CODE = """
    import os, sys, threading, time
    import numpy as np
    calls = []
    def double(x, **options):
        calls.append(1)
        return 2 * x
    def count():
        return len(calls)
    def give(kind):
        loop = []
        loop.append(loop)
        return {"other": object(), "texts": np.array(["a"]), "objects": np.array([None]),
                "loop": loop, "pair": (np.float32(1), np.arange(6).reshape(2, 3).T),
                "nothing": None, "0": np.zeros((0, 3)), "nan": float("nan")}[kind]
    def fail(kind):
        if kind == "exit":
            os._exit(7)
        if kind == "system exit":
            sys.exit("enough")
        if kind == "interrupt":
            raise KeyboardInterrupt
        if kind == "fault":
            import ctypes
            ctypes.string_at(0)
        if kind == "words":
            class Bad(Exception):
                def __str__(self):
                    raise Bad
            raise Bad
        if kind == "hang":
            while True:
                pass
        deeper = lambda: deeper()
        return deeper()
    def where():
        return os.getcwd(), os.environ["HOME"], sys.argv, sorted(os.environ), os.getppid()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("student")


def write(folder, code, name="homework.py"):
    path = folder / name
    path.write_text(textwrap.dedent(code))
    return path


@pytest.fixture(scope="module")
def worker(folder):
    with Worker(write(folder, CODE)) as worker:
        yield worker


# -- calls ----------------------------------------------------------------------------------------


def test_arguments_go_there_and_results_come_back(worker):
    x = np.arange(6.0).reshape(2, 3)[:, ::2]
    twice = worker.call("double", x, option=(1, "ä", None, [True]), seconds=20)
    assert np.array_equal(twice, 2 * x)
    scalar, array = worker.call("give", "pair", seconds=20)
    assert type(scalar) is np.float32
    assert np.array_equal(array, np.arange(6).reshape(2, 3).T)
    assert array.flags.writeable
    assert worker.call("give", "0", seconds=20).shape == (0, 3)
    assert worker.call("give", "nothing", seconds=20) is None
    assert np.isnan(worker.call("give", "nan", seconds=20))
    assert worker.call("give", "other", seconds=20) == "object"
    assert type(worker.call("give", "objects", seconds=20)) is isolation.Other


@pytest.mark.parametrize(
    "kind, error, words",
    [
        ("system exit", Raised, "SystemExit: enough"),
        ("interrupt", Raised, "KeyboardInterrupt"),
        ("words", Raised, "Bad: Bad without words"),
        ("recursion", Raised, "RecursionError"),
        ("exit", Ended, "ended its process with exit code 7"),
        ("fault", Ended, "SIGSEGV"),
        ("hang", Ended, "stopped after 1 s"),
    ],
)
def test_whatever_a_call_does_the_next_one_works(worker, kind, error, words):
    with pytest.raises(error, match=words):
        worker.call("fail", kind, seconds=1 if kind == "hang" else 20)
    worker.call("double", 1, seconds=20)
    before = worker.call("count", seconds=20)
    assert before == 1 or error is Raised, "after its end the process is a new one"


def test_a_crash_tells_the_students_own_line(folder):
    path = write(folder, "import json\ndef f(x):\n    return json.loads(x)  # mine\n", "lines.py")
    with Worker(path) as worker, pytest.raises(Raised) as caught:
        worker.call("f", "{", seconds=20)
    error = caught.value
    assert (error.line, error.code, error.path) == (3, "return json.loads(x)  # mine", "lines.py")


def test_a_result_that_holds_itself_is_an_error_of_the_students(worker):
    with pytest.raises(Raised, match="RecursionError"):
        worker.call("give", "loop", seconds=20)


def test_the_process_has_a_folder_and_an_environment_of_its_own(worker, monkeypatch):
    monkeypatch.setenv("SECRET", "1")
    worker.start()
    folder, home, argv, names, _ = worker.call("where", seconds=20)
    assert folder == home != os.environ.get("HOME")
    assert argv == [str(worker._setup["path"])]
    assert "SECRET" not in names
    worker.stop()
    assert not os.path.exists(folder)


def test_what_lies_beside_the_file_comes_last(folder):
    for name in ("json", "random", "numpy", "minifcn", "struct"):
        write(folder, "raise ImportError('a trap')", f"{name}.py")
    write(folder, "value = 5", "my_helper.py")
    path = write(folder, "import json, random, numpy, struct, my_helper\n"
                         "def f():\n    return my_helper.value", "beside.py")
    with Worker(path) as worker:
        assert worker.call("f", seconds=20) == 5


def test_what_the_checker_can_import_from_elsewhere_the_file_can_too(folder, tmp_path, monkeypatch):
    write(tmp_path, "value = 7", "elsewhere.py")
    monkeypatch.syspath_prepend(tmp_path)
    with Worker(write(folder, "import elsewhere\nf = lambda: elsewhere.value", "e.py")) as worker:
        assert worker.call("f", seconds=20) == 7


@pytest.mark.parametrize("source", [
    "\ufeffword = 'ä'".encode(), "# coding: latin-1\nword = 'ä'".encode("latin-1"),
])  # fmt: skip
def test_a_file_may_have_a_mark_or_another_coding(folder, source):
    path = folder / "coded.py"
    path.write_bytes(source + b"\ndef f():\n    return word\n")
    with Worker(path) as worker:
        assert worker.call("f", seconds=20) == "ä"


def test_a_thread_left_running_and_floods_of_output_harm_nobody(folder):
    path = write(folder, """
        import os, threading, time
        def forever():
            while True:
                time.sleep(0.001)
        threading.Thread(target=forever).start()
        def f():
            for _ in range(3000):
                os.write(1, b"x" * 20000)
            print("end")
            return 1
    """, "flood.py")
    with Worker(path, limits=Limits(output=1000)) as worker:
        assert worker.call("f", seconds=60) == 1
    assert len(worker.printed) <= 1000


def test_prints_are_kept_and_made_harmless(folder):
    code = r"print('a\x1b[2J\udc80ä'); import os; f = lambda: os._exit(0)"
    path = write(folder, code, "prints.py")
    with Worker(path) as worker:
        with pytest.raises(Ended):
            worker.call("f", seconds=20)
        assert worker.printed == "a\\x1b[2J\\udc80ä\n"


# -- limits ---------------------------------------------------------------------------------------


@LINUX
def test_memory_files_and_time_are_limited(folder):
    path = write(folder, """
        import os, resource
        import numpy as np
        def memory():
            return np.ones(4 << 30, np.uint8).sum()
        def file():
            with open("large", "wb") as file:
                for _ in range(100):
                    file.write(bytes(1 << 20))
        def spin():
            while True:
                pass
        def core():
            return resource.getrlimit(resource.RLIMIT_CORE)[0]
    """, "limits.py")
    with Worker(path, limits=Limits(memory=2 << 30, files=10 << 20, cpu=2)) as worker:
        with pytest.raises(Raised, match="MemoryError"):
            worker.call("memory", seconds=60)
        with pytest.raises((Raised, Ended), match=r"OSError|SIGXFSZ"):
            worker.call("file", seconds=60)
        assert worker.call("core", seconds=60) == 0
        with pytest.raises(Ended, match="CPU time"):
            worker.call("spin", seconds=60)


@LINUX
def test_in_namespaces_nothing_else_is_written_reached_or_seen(folder):
    victim = write(folder, "safe", "victim.txt")
    path = write(folder, f"""
        import os, socket
        def write():
            open({str(victim)!r}, "w").write("harm")
        def connect(port):
            socket.create_connection(("127.0.0.1", port), 5)
        def processes():
            return [int(each) for each in os.listdir("/proc") if each.isdigit()]
        def undo():
            import ctypes
            libc = ctypes.CDLL(None)
            return libc.umount2(b"/proc", 2), libc.mount(None, b"/", None, 0x1020, None)
    """, "apart.py")
    import socket

    with Worker(path) as worker, socket.create_server(("127.0.0.1", 0)) as server:
        worker.start()
        if any("network" in each for each in worker.missing):
            pytest.skip("this system forbids namespaces")
        with pytest.raises(Raised, match="Read-only"):
            worker.call("write", seconds=20)
        with pytest.raises(Raised, match=r"unreachable|refused"):
            worker.call("connect", server.getsockname()[1], seconds=20)
        assert worker.call("undo", seconds=20) == (-1, -1)
        assert max(worker.call("processes", seconds=20)) < 10
    assert victim.read_text() == "safe"


# -- hostile answers ------------------------------------------------------------------------------

GARBAGE = {
    "noise": "b'x' * 1000",
    "silence": "b''",
    "too long": "struct.pack('>IQ', 1 << 31, 0) + b' ' * 100",
    "promised": "struct.pack('>IQ', 10, 1 << 60)",
    "empty list": "frame(b'[]')",
    "wrong keys": "frame(b'{\"list\": 3}')",
    "wrong reply": "frame(b'{\"dict\": [[\"value2\", 3]]}')",
    "deep": "frame(b'[' * 100000)",
    "long number": "frame(b'1' * 100000)",
    "no JSON": "frame(bytes(range(256)))",
    "no array": "frame(b'{\"array\": 5}', b'12345')",
}  # fmt: skip


@pytest.mark.parametrize("kind", GARBAGE)
def test_whatever_it_sends_is_no_traceback_of_ours(folder, kind):
    path = write(folder, f"""
        import os, struct
        def frame(header, payload=b""):
            return struct.pack(">IQ", len(header), len(payload)) + header + payload
        def f():
            for pipe in range(3, 20):       # the pipe to us is one of these
                try:
                    os.write(pipe, {GARBAGE[kind]})
                    os.close(pipe)
                except OSError:
                    pass
            os._exit(0)
    """, "garbage.py")
    with Worker(path) as worker, pytest.raises(Ended, match=r"no answer|exit code"):
        worker.call("f", seconds=20)


def npy(shape="(3,)", descr="<f8", data=bytes(24), order="False"):
    head = f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + data


@pytest.mark.parametrize(
    "payload",
    [
        npy("(1152921504606846976,)"),
        npy("(0, 1180591620717411303424)", data=b""),
        npy("(1,) * 3"),
        npy("(2,)"),
        npy("(-3,)"),
        npy(descr="|O8"),
        npy(descr="<f3"),
        npy(descr="<U6"),
        npy("(" + "1, " * 65 + ")", data=bytes(8)),
        npy(order="print(1)"),
        b"",
        b"\x80\x04N.",
    ],
)
def test_an_array_that_lies_about_itself_is_refused(payload):
    with pytest.raises(Exception):  # noqa: B017 - whatever it is, Worker makes Ended of it
        unpack(json.dumps({"array": len(payload)}).encode(), payload)


def test_a_good_array_in_the_same_form_is_accepted():
    assert np.array_equal(unpack(b'{"array": %d}' % len(npy()), npy()), np.zeros(3))


def test_pack_and_unpack_agree_on_every_kind_of_number():
    for name in "?bBhHiIlLefdgFD":
        array = np.ones((2, 1, 3), name, order="F")
        message = pack({"a": [array, array[0, 0, 0], None]})
        header, payload = isolation.SIZES.unpack_from(message)
        start = isolation.SIZES.size
        back = unpack(message[start : start + header], message[start + header :])["a"]
        assert back[0].dtype == back[1].dtype == array.dtype
        assert np.array_equal(back[0], array)
        assert len(message) == start + header + payload


def test_texts_are_made_harmless_and_short():
    assert plain("\x1b]0;x\x07\ud800\u202eä\n") == "\\x1b]0;x\\x07\\ud800\\u202eä\n"
    assert len(plain("x" * 10_000_000)) == 400


# -- endings --------------------------------------------------------------------------------------

HIDES = """
    import os, time
    def hide():
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                while True:
                    time.sleep(0.01)
            os._exit(0)
    hide()
    def hang():
        hide()
        print("hanging", flush=True)
        while True:
            pass
    def kill(how):
        if how == "parent":
            os.kill(os.getppid(), 9)
        if how == "all":
            os.kill(-1, 9)
        if how == "group":
            os.killpg(0, 9)
        if how == "stop":
            os.kill(os.getppid(), 19)
        return 1
"""
CHECKER = """
import signal, sys
for name in ("SIGHUP", "SIGINT", "SIGTERM"):    # whoever starts the tests may ignore some of them
    signal.signal(getattr(signal, name), signal.SIG_DFL)
from minifcn.isolation import Worker
with Worker(sys.argv[1]) as worker:
    worker.start()
    print("started", flush=True)
    worker.call("hang", seconds=600)
"""


def descendants(root):
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
            parents[int(name), fields[19]] = int(fields[1])  # with its start, against reuse
        except OSError:
            pass
    found, known = set(), {root}
    while more := {each for each, parent in parents.items() if parent in known} - found:
        found |= more
        known |= {pid for pid, _ in more}
    return found


def lives(process):
    pid, start = process
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return fields[19] == start and fields[0] != "Z"
    except OSError:
        return False


def all_gone(processes):
    for _ in range(2000):
        if not any(map(lives, processes)):
            return True
        time.sleep(0.01)
    return False


def end_checkers(folder, temporary, how, count):
    """Start checkers that hang, end them, and see to it that nothing is left."""
    path = write(folder, HIDES, "hides.py")
    environment = {**os.environ, "TMPDIR": str(temporary)}
    checkers = [
        subprocess.Popen([sys.executable, "-c", CHECKER, str(path)], env=environment,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for _ in range(count)
    ]  # fmt: skip
    below = set()
    try:
        for each in checkers:
            assert each.stdout.readline() == "started\n"
        for each in checkers:
            for _ in range(2000):
                mine = descendants(each.pid)
                if len(mine) >= 6:  # supervisors, the student's process, and two that hide
                    break
                time.sleep(0.01)
            assert len(mine) >= 6
            below |= mine
            each.send_signal(how)
    finally:
        for each in checkers:
            if not below:
                each.kill()
            each.wait(60)
            each.stdout.close()
    assert all_gone(below)
    assert not os.listdir(temporary)


ENDS = [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL, signal.SIGINT]


@LINUX
@pytest.mark.parametrize("how", ENDS)
def test_when_the_checker_ends_nothing_of_it_goes_on(folder, tmp_path, how):
    end_checkers(folder, tmp_path, how, 1)


@LINUX
@pytest.mark.slow
@pytest.mark.parametrize("how", ENDS)
def test_after_fifty_checkers_nothing_is_left(folder, tmp_path, how):
    for _ in range(10):
        end_checkers(folder, tmp_path, how, 5)


@LINUX
@pytest.mark.parametrize("how", ["parent", "all", "group", "stop"])
def test_a_student_who_kills_reaches_only_himself(folder, how):
    with Worker(write(folder, HIDES, "kills.py")) as worker:
        worker.start()
        below = descendants(worker._process.pid)
        try:
            assert worker.call("kill", how, seconds=20) == 1
        except Ended as error:
            assert "SIGKILL" in str(error)
    assert all_gone(below)


@LINUX
@pytest.mark.parametrize(
    "old, new, missing",
    [
        ("0x20000 | 0x8000000", "1 | 0x8000000", "the network"),
        ('b"/proc", b"proc"', 'b"/proc", b"none"', "the sight of other processes"),
    ],
)
def test_where_the_kernel_refuses_the_supervisors_suffice(
    folder, monkeypatch, tmp_path, old, new, missing
):
    for name in ("isolation.py", "isolated.py"):
        text = (isolation.Path(isolation.__file__).with_name(name)).read_text()
        assert old in text or name == "isolation.py"
        (tmp_path / name).write_text(text.replace(old, new))
    monkeypatch.setattr(isolation, "__file__", str(tmp_path / "isolation.py"))
    with Worker(write(folder, HIDES, "plain.py")) as worker:
        worker.start()
        assert any(missing in each for each in worker.missing)
        below = descendants(worker._process.pid)
        try:
            for _ in range(3):  # it may be answered before the signal has come through
                worker.call("kill", "parent", seconds=20)
        except Ended as error:
            assert "SIGKILL" in str(error)
    assert all_gone(below)
    assert worker.printed == ""


def test_a_process_limit_is_said_not_to_hold_for_root(worker):
    worker.start()
    said = any("root" in each for each in worker.missing)
    assert said == (hasattr(os, "getuid") and os.getuid() == 0)
