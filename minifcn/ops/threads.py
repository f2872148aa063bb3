"""A thread pool that shares out the tasks of a kernel.

Workers wait in compiled code, outside of the interpreter's lock, for a while after each kernel: a
layer of a network follows the other within microseconds, and to wake a sleeping thread takes a
hundred. After that while they go to sleep; who has tasks next wakes them, and begins without them.
One thread at a time leads the pool. A second one that calls a kernel meanwhile does its tasks
alone, since the cores are busy.

The leader lays out a *frame* on its stack: a function that calls the kernel, the counter from which
everybody takes tasks, and the arguments. Workers enter through a door, which the leader closes when
no task is left; it goes on when the last worker has left (a barrier). So nobody touches the
arguments any longer when the call returns.

The kernels' non-temporal stores rely on this: what a thread has stored past the caches is read by
another only after an atomic read-modify-write of the first (a worker leaves through the door, the
leader announces its next frame), which on x86 empties the write-combining buffers.

Reference: R. Blumofe, C. Leiserson, "Scheduling Multithreaded Computations by Work Stealing", JACM
46 (5), 1999, for why tasks should be taken and not dealt.
"""
from __future__ import annotations

import atexit
import functools
import operator
import os
import queue
import threading

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.core.callconv import RETCODE_NONE, RETCODE_OK
from numba.core.compiler_lock import global_compiler_lock
from numba.extending import intrinsic

from .compiling import JIT_ENABLED, block, compiled
from .memory import empty

MOST = 1024         # threads
SHARES = 16         # of the tasks, for each thread: small enough to end together
PATIENCE = 20000    # looks for a frame, some 0.2 ms, before a worker goes to sleep

# What the threads of the pool tell each other, a cache line each
LED, DOOR, FRAMES, FRAME, THREADS, ASLEEP = range(0, 48, 8)
OPEN = 1 << 32      # a bit of the door; below it, the number of workers inside

# A frame: what calls the kernel, the next task, how many there are and to take at a time, what the
# kernel returned if it failed, and why, and its own arguments
CALL, NEXT, TASKS, CHUNK, CODE, REASON, OWN = range(7)

INTEGER = ir.IntType(64)

# ---------------------------------------------------------------------------------------------
# Atomic instructions on an element of 8 bytes, counted from an address
# ---------------------------------------------------------------------------------------------


def _place(builder, address, slot):
    """A pointer to the element."""
    base = builder.inttoptr(address, INTEGER.as_pointer())
    return builder.gep(base, [slot])


@intrinsic
def load(typingctx, address, slot):
    def codegen(context, builder, signature, args):
        return builder.load_atomic(_place(builder, *args), "seq_cst", 8)

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def store(typingctx, address, slot, value):
    def codegen(context, builder, signature, args):
        builder.store_atomic(args[2], _place(builder, *args[:2]), "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


@intrinsic
def add(typingctx, address, slot, value):
    """The element, before ``value`` is added to it."""
    def codegen(context, builder, signature, args):
        return builder.atomic_rmw("add", _place(builder, *args[:2]), args[2], "seq_cst")

    return types.int64(types.int64, types.int64, types.int64), codegen


@intrinsic
def replace(typingctx, address, slot, old, new):
    """Whether the element was ``old``; then it is ``new`` by now."""
    def codegen(context, builder, signature, args):
        swap = builder.cmpxchg(_place(builder, *args[:2]), *args[2:], "seq_cst", "seq_cst")
        return builder.extract_value(swap, 1)

    return types.boolean(*[types.int64] * 4), codegen


@intrinsic
def pause(typingctx):
    """Tell the CPU that this is a loop that waits."""
    def codegen(context, builder, signature, args):
        if builder.module.triple.startswith(("x86_64", "i386", "i686")):
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(builder.module.declare_intrinsic("llvm.x86.sse2.pause", (), kind), [])
        return context.get_dummy_value()

    return types.void(), codegen


# ---------------------------------------------------------------------------------------------
# What all threads do
# ---------------------------------------------------------------------------------------------


@intrinsic
def call_kernel(typingctx, frame, thread, begin, end):
    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(ir.VoidType(), [INTEGER] * 4)
        address = builder.load(_place(builder, args[0], INTEGER(CALL)))
        builder.call(builder.inttoptr(address, kind.as_pointer()), args)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), codegen


@compiled
def work(frame, thread):
    """Take tasks and do them, until none are left."""
    tasks, chunk = load(frame, TASKS), load(frame, CHUNK)
    begin = add(frame, NEXT, chunk)
    while begin < tasks:
        call_kernel(frame, thread, begin, min(begin + chunk, tasks))
        begin = add(frame, NEXT, chunk)


@compiled
def lead(pool, frame, threads):
    """Do the tasks of a frame, together with the workers if nobody else leads them."""
    store(frame, CHUNK, max(1, load(frame, TASKS) // (threads * SHARES)))
    if not replace(pool, LED, 0, 1):
        work(frame, 0)
        return
    store(pool, FRAME, frame)
    store(pool, THREADS, threads)
    store(pool, DOOR, OPEN)
    add(pool, FRAMES, 1)
    work(frame, 0)
    add(pool, DOOR, -OPEN)
    while load(pool, DOOR) != 0:
        pause()
    store(pool, LED, 0)


@compiled
def help_out(pool, thread):
    """Take part in all frames, until there has been none for a while."""
    seen, looks = -1, 0
    while looks < PATIENCE:
        looks += 1
        pause()
        now = load(pool, FRAMES)
        if now == seen:
            continue
        seen = now
        door = load(pool, DOOR)
        while door >= OPEN and not replace(pool, DOOR, door, door + 1):
            door = load(pool, DOOR)
        if door >= OPEN:
            if thread < load(pool, THREADS):
                work(load(pool, FRAME), thread)
                looks = 0
            add(pool, DOOR, -1)
    store(pool, ASLEEP + 8 * thread, 1)


# ---------------------------------------------------------------------------------------------
# How a kernel becomes a frame
# ---------------------------------------------------------------------------------------------


def _calling(function):
    """In LLVM, call(frame, thread, begin, end): the kernel, with its arguments from the frame.

    ``function`` is the kernel: (result, reason of failure, thread, begin, end, its own arguments).
    """
    result_type, reason_type = (argument.type.pointee for argument in function.args[:2])
    own = function.args[5:]
    frame_type = ir.LiteralStructType([*[INTEGER] * REASON, reason_type,
                                       *(argument.type for argument in own)])
    kind = ir.FunctionType(ir.VoidType(), [frame_type.as_pointer(), *[INTEGER] * 3])
    call = ir.Function(function.module, kind, function.name + ".call")
    call.linkage = "internal"
    frame, thread, begin, end = call.args
    builder = ir.IRBuilder(call.append_basic_block())
    field = functools.partial(cgutils.gep_inbounds, builder, frame, 0)
    values = [builder.load(field(i)) for i in range(OWN, OWN + len(own))]
    result, reason = builder.alloca(result_type), builder.alloca(reason_type)
    code = builder.call(function, [result, reason, thread, begin, end, *values])
    failed = builder.and_(builder.icmp_signed("!=", code, RETCODE_OK),
                          builder.icmp_signed("!=", code, RETCODE_NONE))
    with builder.if_then(failed, likely=False):
        builder.store(builder.sext(code, INTEGER), field(CODE))
        builder.store(builder.load(reason), field(REASON))
        builder.store(builder.load(field(TASKS)), field(NEXT))      # nobody need go on
    builder.ret_void()
    return call, frame_type


@intrinsic
def shared(typingctx, thread, begin, end):
    """To begin a kernel with: True if it was asked to lead, and all tasks are done by now.

    Then ``thread`` is minus the number of threads, ``begin`` the address of the pool's state, and
    ``end`` the number of tasks.
    """
    leader = typingctx.resolve_value_type(lead)
    of_leader = leader.get_call_type(typingctx, (types.int64,) * 3, {})

    def codegen(context, builder, signature, args):
        thread, pool, tasks = args
        function = builder.function
        call, frame_type = _calling(function)
        frame = cgutils.alloca_once(builder, frame_type)
        field = functools.partial(cgutils.gep_inbounds, builder, frame, 0)
        leads = builder.icmp_signed("<", thread, INTEGER(0))
        with builder.if_then(leads, likely=False):
            for i, value in {CALL: builder.ptrtoint(call, INTEGER), NEXT: INTEGER(0), TASKS: tasks,
                             CODE: INTEGER(0), **dict(enumerate(function.args[5:], OWN))}.items():
                builder.store(value, field(i))
            context.get_function(leader, of_leader)(
                builder, (pool, builder.ptrtoint(frame, INTEGER), builder.neg(thread)))
            code = builder.trunc(builder.load(field(CODE)), RETCODE_OK.type)
            with builder.if_then(builder.icmp_signed("!=", code, RETCODE_OK), likely=False):
                builder.store(builder.load(field(REASON)), function.args[1])
                builder.ret(code)
        return leads

    return types.boolean(types.int64, types.int64, types.int64), codegen


if not JIT_ENABLED:
    def shared(thread, begin, end):
        """Plain Python does its tasks alone."""
        return False


# ---------------------------------------------------------------------------------------------
# The pool
# ---------------------------------------------------------------------------------------------


class Pool:
    """Workers, as many as were ever asked for, and the memory in which all threads meet."""

    def __init__(self):
        self.state = empty((ASLEEP + 8 * MOST,), np.int64)
        self.state[:] = 0
        self.address = self.state.ctypes.data
        self.bells: list[queue.SimpleQueue] = []
        self.workers: list[threading.Thread] = []

    def wake(self, threads: int) -> None:
        """See to it that so many threads are at hand, the leader among them."""
        while len(self.workers) < threads - 1:
            bell, thread = queue.SimpleQueue(), len(self.workers) + 1
            worker = threading.Thread(target=self.live, args=(thread, bell), daemon=True,
                                      name=f"minifcn-{thread}")
            bell.put(True)
            worker.start()
            self.bells.append(bell)
            self.workers.append(worker)
        for thread in range(1, threads):
            if self.state[ASLEEP + 8 * thread]:
                self.state[ASLEEP + 8 * thread] = 0
                self.bells[thread - 1].put(True)

    def live(self, thread: int, bell: queue.SimpleQueue) -> None:
        while bell.get():
            help_out(self.address, thread)

    def dismiss(self) -> None:
        for bell in self.bells:
            bell.put(False)
        for worker in self.workers:
            worker.join()


_pool: Pool | None = None
_lock = threading.Lock()        # of the pool, while workers are started or woken
_threads: int | None = None     # until somebody asks


@atexit.register
def _dismiss() -> None:
    """At the end of the process: nobody may be in compiled code when that is taken down."""
    if _pool is not None:
        _pool.dismiss()


def _begin_anew() -> None:
    """A forked child has none of its parent's threads."""
    global _pool
    _pool = None
    _lock.release()
    global_compiler_lock.release()


if hasattr(os, "register_at_fork"):     # no child may inherit a lock that another thread holds
    os.register_at_fork(
        before=lambda: (global_compiler_lock.acquire(), _lock.acquire()),
        after_in_parent=lambda: (_lock.release(), global_compiler_lock.release()),
        after_in_child=_begin_anew)


def set_threads(threads: int) -> None:
    """Set the number of threads that compute, for the whole process.

    At the start it is ``MINIFCN_NUM_THREADS``, or what Numba would take: ``NUMBA_NUM_THREADS``, or
    the number of cores that this process may run on. No result depends on it, by a single bit.

    Parameters
    ----------
    threads : int
        At least 1; more than there are cores is slower, but allowed.

    Raises
    ------
    ValueError
        If it is not from 1 to 1024.

    Examples
    --------
    >>> before = get_threads()
    >>> set_threads(2)
    >>> get_threads()
    2
    >>> set_threads(before)
    """
    global _threads
    _threads = _checked("threads", threads)


def get_threads() -> int:
    """The number of threads that compute."""
    global _threads
    if _threads is None:
        given = os.environ.get("MINIFCN_NUM_THREADS")
        _threads = _checked("MINIFCN_NUM_THREADS", given or config.NUMBA_NUM_THREADS)
    return _threads


def _checked(name: str, threads) -> int:
    try:
        number = int(threads) if isinstance(threads, str) else operator.index(threads)
    except (TypeError, ValueError):
        number = 0
    if not 1 <= number <= MOST:
        raise ValueError(f"{name} must be 1..{MOST}, not {threads!r}")
    return number


def parallel(function):
    """Decorate a kernel that does the tasks ``begin`` to ``end``: all threads share them out.

    The kernel is written as ``kernel(thread, begin, end, *arguments)``, begins with
    ``if shared(thread, begin, end): return``, and is called as ``kernel(tasks, *arguments)``. Each
    thread takes a few tasks at a time until none are left, so which thread does what is a matter of
    chance: a task must own what it writes. ``thread`` counts the threads of one call from 0, for
    scratch memory; who sizes that by a number of threads passes it on as ``threads=``.

    Numba's own ``prange`` is not used. It takes two to four seconds more to compile each kernel;
    its threads wait spinning without end, so that a second process on the machine slows it a
    hundred times; and it dies in forked processes, and with some of its threading layers in several
    Python threads.
    """
    if "shared" not in function.__code__.co_names:
        raise TypeError(f"{function.__name__} must begin with: if shared(thread, begin, end)")
    kernel = block(function)

    @functools.wraps(function)
    def call(tasks: int, *arguments, threads: int | None = None) -> None:
        global _pool
        threads = min(threads or get_threads(), tasks) if JIT_ENABLED else 1
        if threads <= 1:
            kernel(0, 0, tasks, *arguments)
            return
        with _lock:
            pool = _pool = _pool or Pool()
            pool.wake(threads)
        kernel(-threads, pool.address, tasks, *arguments)

    return call
