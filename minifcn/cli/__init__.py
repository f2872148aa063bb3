"""The command line. Each command is a module of its own name, light to import.

It has ``HELP`` (a line), ``EXAMPLE``, ``add_arguments(parser)`` and ``run(arguments)``; what takes
long to import is imported in ``run``.

Exit codes: 0 done; 1 ``check`` or ``doctor`` found something wrong; 2 a mistake in the arguments or
files, said in one line; 130 stopped by Ctrl-C (143 by SIGTERM), after saving.
"""
from __future__ import annotations

import argparse
import importlib
import os
import shlex
import shutil
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import minifcn
from minifcn.cli import terminal
from minifcn.files import shortened

COMMANDS = ("demo", "data", "train", "evaluate", "predict", "explore", "summary", "step",
            "check", "course", "fetch", "inspect", "convert", "export", "doctor")


class Parser(argparse.ArgumentParser):
    """Mistakes take one line, like all others."""

    def parse_known_args(self, args=None, namespace=None):
        words = list(sys.argv[1:] if args is None else args)
        for word in words:
            if word.startswith("--") and word.endswith("=--"):      # some Pythons drop this value
                self.error(f"{word[:-3]} needs a value, not --")
        return super().parse_known_args(words, namespace)

    def error(self, message):
        self.exit(2, f"{self.prog}: {shortened(message)} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    warnings.showwarning = lambda message, *_, **__: fail(str(message))
    with terminal.prepared():
        return _main(argv)


def _main(argv: Sequence[str] | None) -> int:
    try:
        parser = build_parser()
        if "_ARGCOMPLETE" in os.environ:        # the shell asks how a line may go on
            import argcomplete
            argcomplete.autocomplete(parser)
        arguments, unknown = parser.parse_known_args(argv)
        if unknown:
            arguments.parser.error(unexpected(unknown[0], arguments.parser))
        if arguments.threads is not None:
            set_threads(arguments.threads)
        return arguments.run(arguments) or 0
    except KeyboardInterrupt:
        return fail("interrupted", 130)
    except BrokenPipeError:         # of ``minifcn summary | head``
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except MemoryError as error:
        return fail(f"out of memory: {error}")
    except (OSError, ValueError) as error:
        return fail(one_line(error))


def fail(message: str, code: int = 2) -> int:
    print(f"minifcn: {message}", file=sys.stderr)
    return code


def one_line(error: Exception) -> str:
    """What is wrong, without an error number, on one line."""
    reason = getattr(error, "strerror", None) or str(error)
    name = getattr(error, "filename", None)
    name = os.fsdecode(name) if isinstance(name, bytes) else name
    return shortened(" ".join((f"{name}: {reason}" if name else reason).split()))


def unexpected(word: str, parser: argparse.ArgumentParser) -> str:
    """What to say about an argument that a command does not have."""
    from minifcn.cli.config import nearest

    if not word.startswith("-"):
        return f"unexpected argument {word!r}"
    word = word.split("=")[0]
    return f"there is no option {word}{nearest(word, list(parser._option_string_actions))}"


def program() -> str:
    """How this program was called: what a command begins with that works when it is pasted."""
    called = Path(sys.argv[0])
    if called.stem == "__main__":
        return shlex.join([sys.executable, "-m", "minifcn"])
    found = shutil.which("minifcn")
    same = called.stem != "minifcn" or (found and os.path.abspath(found) == os.path.abspath(called))
    return "minifcn" if same else shlex.quote(str(called))


def set_threads(threads: int) -> None:
    from minifcn.ops.threads import set_threads
    try:
        set_threads(threads)
    except ValueError as error:
        raise ValueError(f"--{error}") from error


def add_common(parser) -> None:
    """The arguments of every command."""
    parser.add_argument("--quiet", action="store_true", help="no progress, for scripts")
    parser.add_argument("--threads", type=int, metavar="N", help="that compute (default: one for "
                        "each core)")


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(prog="minifcn", description="Fully convolutional networks for semantic "
                    "segmentation, on the CPU, with every layer written by hand.")
    parser.add_argument("--version", action="version", version=f"minifcn {minifcn.__version__}")
    commands = parser.add_subparsers(metavar="command", required=True)
    for name in COMMANDS:
        command = importlib.import_module(f"minifcn.cli.{name}")
        added = commands.add_parser(
            name, help=command.HELP, description=f"{command.HELP[0].upper()}{command.HELP[1:]}.",
            epilog="Example:\n" + "\n".join(f"  minifcn {line}"
                                            for line in command.EXAMPLE.splitlines()),
            formatter_class=argparse.RawDescriptionHelpFormatter)
        add_common(added)
        command.add_arguments(added)
        added.set_defaults(run=command.run, parser=added)
    return parser
