"""The threads that share out the tasks of a kernel.

Helpers wait in compiled code, outside of the interpreter's lock, for a while after each piece of
work: a layer of a network follows the other within microseconds, and to wake a sleeping thread
takes a hundred. After that while they go to sleep; who has work next rings for them, and begins
without them. One thread at a time leads the crew. A second one that calls a kernel meanwhile does
its tasks alone, since the cores are busy.

A kernel that is called with ``thread < 0`` is asked to lead. ``shared`` then leaves the address of
a *round* with the crew: a function that takes tasks and calls the kernel with them, and the
arguments of this very call to pass on. Helpers enter through a door, which the leader closes when
no task is left; the last one out lets it go on. So nobody touches the arguments any longer when the
call returns.

Reference: R. Blumofe, C. Leiserson, "Scheduling Multithreaded Computations by Work Stealing", JACM
46 (5), 1999, for why tasks should be taken and not dealt.
"""
from __future__ import annotations

import atexit
import functools
import os
import queue
import threading

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.core.callconv import RETCODE_NONE, RETCODE_OK
from numba.extending import intrinsic

from .compiling import JIT_ENABLED, compiled
from .memory import empty

SHARES = 16         # of the tasks, for each thread: small enough to end together
PATIENCE = 20000    # looks at the door without work, some 0.2 ms, before a helper goes to sleep

# A cache line each, in elements, of what the threads tell each other
LED, DOOR, ROUND, FUNCTION, ARGUMENTS, THREADS, ASLEEP = range(0, 56, 8)
OPEN = 1 << 32      # a bit of the door; below it, the number of helpers inside

# The frame of a round: the next task, how many there are and to take at a time, what the kernel
# returned if it failed, and why, and its own arguments
NEXT, TASKS, CHUNK, CODE, REASON, OWN = range(6)


def _integer(value: int) -> ir.Constant:
    return ir.Constant(ir.IntType(64), value)


def _place(builder, address, slot):
    """A pointer to an element of the crew's memory."""
    base = builder.inttoptr(address, ir.IntType(64).as_pointer())
    return builder.gep(base, [slot if isinstance(slot, ir.Value) else _integer(slot)])


def _load(builder, address, slot):
    return builder.load_atomic(_place(builder, address, slot), "seq_cst", 8)


def _store(builder, value, address, slot):
    builder.store_atomic(value, _place(builder, address, slot), "seq_cst", 8)


def _pause(builder):
    """Tell the CPU that this is a loop that waits."""
    if builder.module.triple.startswith(("x86_64", "i386", "i686")):
        kind = ir.FunctionType(ir.VoidType(), [])
        builder.call(builder.module.declare_intrinsic("llvm.x86.sse2.pause", (), kind), [])


def _wait_until_empty(builder, address):
    """Until nobody is behind the door."""
    look, done = builder.append_basic_block("look"), builder.append_basic_block("done")
    builder.branch(look)
    builder.position_at_end(look)
    _pause(builder)
    door = _load(builder, address, DOOR)
    builder.cbranch(builder.icmp_signed("==", door, _integer(0)), done, look)
    builder.position_at_end(done)


# ---------------------------------------------------------------------------------------------
# The leader
# ---------------------------------------------------------------------------------------------


def _make_round(function):
    """In LLVM, round(frame, thread): take tasks and do them, until none are left.

    ``function`` is the kernel: (result, reason of failure, thread, begin, end, its own arguments).
    """
    result_type, reason_type = (argument.type.pointee for argument in function.args[:2])
    own = function.args[5:]
    frame_type = ir.LiteralStructType([*[ir.IntType(64)] * 3, ir.IntType(32), reason_type,
                                       *(argument.type for argument in own)])
    kind = ir.FunctionType(ir.VoidType(), [frame_type.as_pointer(), ir.IntType(64)])
    round_ = ir.Function(function.module, kind, function.name + ".round")
    round_.linkage = "internal"
    frame, thread = round_.args
    entry, take, work, done = (round_.append_basic_block(name)
                               for name in ("entry", "take", "work", "done"))
    builder = ir.IRBuilder(entry)
    field = functools.partial(cgutils.gep_inbounds, builder, frame, 0)
    tasks, chunk = builder.load(field(TASKS)), builder.load(field(CHUNK))
    # Numba counts references to an array by its fields 0 and 1. The leader's is enough here, and
    # all threads would count in the same cache line.
    values = [ir.Constant(argument.type, None)
              if argument.type == cgutils.voidptr_t and argument.name.endswith((".0", ".1"))
              else builder.load(field(i)) for i, argument in enumerate(own, OWN)]
    result, reason = builder.alloca(result_type), builder.alloca(reason_type)
    builder.branch(take)
    builder.position_at_end(take)
    begin = builder.atomic_rmw("add", field(NEXT), chunk, "seq_cst")
    builder.cbranch(builder.icmp_signed("<", begin, tasks), work, done)
    builder.position_at_end(work)
    end = builder.add(begin, chunk)
    end = builder.select(builder.icmp_signed("<", end, tasks), end, tasks)
    code = builder.call(function, [result, reason, thread, begin, end, *values])
    failed = builder.and_(builder.icmp_signed("!=", code, RETCODE_OK),
                          builder.icmp_signed("!=", code, RETCODE_NONE))
    with builder.if_then(failed, likely=False):
        builder.store(code, field(CODE))
        builder.store(builder.load(reason), field(REASON))
        builder.store(tasks, field(NEXT))       # nobody need go on
    builder.branch(take)
    builder.position_at_end(done)
    builder.ret_void()
    return round_, frame_type


@intrinsic
def shared(typingctx, thread, begin, end):
    """To begin a kernel with: True if it was asked to lead, and all tasks are done by now.

    Then ``begin`` is the address of the crew's memory, and ``end`` the number of tasks.
    """
    def codegen(context, builder, signature, args):
        thread, crew, tasks = args
        function = builder.function
        round_, frame_type = _make_round(function)
        frame = cgutils.alloca_once(builder, frame_type)
        field = functools.partial(cgutils.gep_inbounds, builder, frame, 0)
        leads = builder.icmp_signed("<", thread, _integer(0))
        with builder.if_then(leads, likely=False):
            threads = builder.neg(thread)
            chunk = builder.sdiv(tasks, builder.mul(threads, _integer(SHARES)))
            chunk = builder.select(builder.icmp_signed(">", chunk, _integer(0)), chunk, _integer(1))
            no_reason = ir.Constant(frame_type.elements[REASON], None)
            for i, value in enumerate([_integer(0), tasks, chunk, RETCODE_OK, no_reason,
                                       *function.args[5:]]):
                builder.store(value, field(i))
            mine = builder.cmpxchg(_place(builder, crew, LED), _integer(0), _integer(1),
                                   "seq_cst", "seq_cst")
            with builder.if_else(builder.extract_value(mine, 1)) as (together, alone):
                with together:
                    _store(builder, builder.ptrtoint(round_, ir.IntType(64)), crew, FUNCTION)
                    _store(builder, builder.ptrtoint(frame, ir.IntType(64)), crew, ARGUMENTS)
                    _store(builder, threads, crew, THREADS)
                    _store(builder, _integer(OPEN), crew, DOOR)
                    builder.atomic_rmw("add", _place(builder, crew, ROUND), _integer(1), "seq_cst")
                    builder.call(round_, [frame, _integer(0)])
                    builder.atomic_rmw("sub", _place(builder, crew, DOOR), _integer(OPEN),
                                       "seq_cst")
                    _wait_until_empty(builder, crew)
                    _store(builder, _integer(0), crew, LED)
                with alone:
                    builder.call(round_, [frame, _integer(0)])
            code = builder.load(field(CODE))
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
# The helpers
# ---------------------------------------------------------------------------------------------


@intrinsic
def _look(typingctx, crew, slot):
    def codegen(context, builder, signature, args):
        _pause(builder)
        return _load(builder, *args)

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def _write(typingctx, crew, slot, value):
    def codegen(context, builder, signature, args):
        crew, slot, value = args
        _store(builder, value, crew, slot)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


@intrinsic
def _entered(typingctx, crew, door):
    """Go in, if the door is still as it was seen."""
    def codegen(context, builder, signature, args):
        crew, door = args
        swap = builder.cmpxchg(_place(builder, crew, DOOR), door, builder.add(door, _integer(1)),
                               "seq_cst", "seq_cst")
        return builder.extract_value(swap, 1)

    return types.boolean(types.int64, types.int64), codegen


@intrinsic
def _leave(typingctx, crew):
    def codegen(context, builder, signature, args):
        builder.atomic_rmw("sub", _place(builder, args[0], DOOR), _integer(1), "seq_cst")
        return context.get_dummy_value()

    return types.void(types.int64), codegen


@intrinsic
def _do_round(typingctx, crew, thread):
    def codegen(context, builder, signature, args):
        crew, thread = args
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(64), ir.IntType(64)])
        function = builder.inttoptr(_load(builder, crew, FUNCTION), kind.as_pointer())
        builder.call(function, [_load(builder, crew, ARGUMENTS), thread])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@compiled
def _help(crew, thread):
    """Take part in all rounds, until there has been none for a while."""
    seen, looks = -1, 0
    while looks < PATIENCE:
        looks += 1
        now = _look(crew, ROUND)
        if now == seen:
            continue
        seen = now
        door = _look(crew, DOOR)
        while door >= OPEN and not _entered(crew, door):
            door = _look(crew, DOOR)
        if door >= OPEN:
            if thread < _look(crew, THREADS):
                _do_round(crew, thread)
                looks = 0
            _leave(crew)
    _write(crew, ASLEEP + 8 * thread, 1)


class Crew:
    """Helpers, as many as Numba's threads but one, and the memory in which they meet."""

    def __init__(self):
        self.size = config.NUMBA_NUM_THREADS
        self.memory = empty((ASLEEP + 8 * self.size,), np.int64)
        self.memory[:] = 0
        self.address = self.memory.ctypes.data
        self.bells = [queue.SimpleQueue() for _ in range(self.size)]
        self.memory[ASLEEP::8] = 1
        self.helpers = [threading.Thread(target=self._live, args=(thread,), daemon=True,
                                         name=f"minifcn-{thread}")
                        for thread in range(1, self.size)]
        for helper in self.helpers:
            helper.start()
        atexit.register(self.dismiss)

    def _live(self, thread: int) -> None:
        while self.bells[thread].get():
            _help(self.address, thread)

    def wake(self, threads: int) -> None:
        """Ring for the first helpers, where they are asleep."""
        for thread in range(1, threads):
            if self.memory[ASLEEP + 8 * thread]:
                self.memory[ASLEEP + 8 * thread] = 0
                self.bells[thread].put(True)

    def dismiss(self) -> None:
        """At the end of the process: nobody may be in compiled code when that is taken down."""
        for bell in self.bells:
            bell.put(False)
        for helper in self.helpers:
            helper.join()


_crew = functools.cache(Crew)
_hiring = threading.Lock()


def _begin_anew() -> None:
    """A forked child has none of its parent's threads."""
    _crew.cache_clear()
    _hiring.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hiring.acquire, after_in_parent=_hiring.release,
                        after_in_child=_begin_anew)


def parallel(function):
    """Decorate a kernel that does the tasks ``begin`` to ``end``: all threads share them out.

    The kernel is written as ``kernel(thread, begin, end, *arguments)``, begins with
    ``if shared(thread, begin, end): return``, and is called as ``kernel(tasks, *arguments)``. Each
    thread takes a few tasks at a time until none are left, so which thread does what is a matter of
    chance: a task must own what it writes. ``thread`` counts the threads of one call from 0, for
    scratch memory.

    Numba's own ``prange`` is not used. It takes two to four seconds more to compile each kernel;
    its threads wait spinning without end, so that a second process on the machine slows it a
    hundred times; and it dies in forked processes, and with some of its threading layers in several
    Python threads.
    """
    if "shared" not in function.__code__.co_names:
        raise TypeError(f"{function.__name__} must begin with: if shared(thread, begin, end)")
    kernel = compiled(function)

    @functools.wraps(function)
    def call(tasks: int, *arguments) -> None:
        threads = min(numba.get_num_threads(), tasks) if JIT_ENABLED else 1
        if threads <= 1:
            kernel(0, 0, tasks, *arguments)
            return
        with _hiring:
            crew = _crew()
            crew.wake(threads)
        kernel(-threads, crew.address, tasks, *arguments)

    return call
