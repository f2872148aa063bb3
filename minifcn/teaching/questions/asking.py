"""What a question is, how a guess is judged, and what is said about it.

A question is a function that computes everything when it is asked: its text, the right answer, and
the wrong answers that people give, each with the belief behind it. To add one, write a function
that returns a ``Question`` into the module of its topic::

    @asks("conv-same", exposes=[3])
    def _():
        size = conv2d_size(9, kernel=7, stride=1, padding=3)
        return Question("...", answer=size, wrong=[Wrong(9 + 3, "...")], ...)
"""
from __future__ import annotations

import difflib
import html
import math
import numbers
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minifcn.ops import using

# A guess may be rounded: it is right within this share of the answer. Whole numbers are exact.
ROUNDING = 0.002


@dataclass(frozen=True)
class Wrong:
    """A wrong answer that is to be expected, and the belief that leads to it."""

    value: Any
    because: str


@dataclass(frozen=True)
class Question:
    """A question, computed. Text may hold `code`, and blocks indented by four spaces.

    ``answer`` is a whole number, a float, a tuple (a shape, a size), a list (values), or a word
    (then ``words`` holds all words that are understood, each with its plain form).
    """

    text: str
    answer: Any
    wrong: Sequence[Wrong]
    hint: str
    larger_hint: str
    derivation: str
    look: str                               # where to read on
    words: dict[str, str] | None = None


YES_OR_NO = {"yes": "yes", "y": "yes", "true": "yes", "no": "no", "n": "no", "false": "no"}


@dataclass(frozen=True)
class Entry:
    """A question in the table: its name, its function, the beliefs that it exposes."""

    name: str
    compute: Callable[[], Question]
    exposes: tuple[int, ...]


TABLE: dict[str, Entry] = {}


def asks(name: str, exposes: Sequence[int] = ()) -> Callable:
    """Put a function that returns a ``Question`` into the table.

    ``exposes`` are the numbers of the beliefs in ``beliefs.BELIEFS`` that a wrong guess uncovers.
    """
    def add(function):
        if name in TABLE:
            raise ValueError(f"there are two questions with the name {name!r}")
        TABLE[name] = Entry(name, function, tuple(exposes))
        return function
    return add


@dataclass(frozen=True)
class Reply:
    """What ``question`` returns: print it, or leave it at the end of a notebook's cell.

    Attributes
    ----------
    name : str
        Of the question.
    right : bool or None
        None if nothing was guessed, or the guess was no answer of the kind asked for.
    parts : tuple of (heading, text)
    """

    name: str
    right: bool | None
    parts: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        return "\n".join(f"{heading}: {text}" for heading, text in self.parts)

    def _repr_html_(self) -> str:
        colour = {True: "#1a7f37", False: "#bf4b00", None: "#6e7781"}[self.right]
        rows = "".join(f"<div style='margin:0.3em 0'><strong>{html.escape(heading)}</strong> "
                       f"{_as_html(text)}</div>" for heading, text in self.parts)
        return (f"<div class='minifcn-question' data-question='{html.escape(self.name)}' "
                f"style='border-left:4px solid {colour};padding:0.1em 0 0.1em 0.9em;"
                f"max-width:46em'>{rows}</div>")


def question(name: str, guess: Any = None, *, hint: int = 0, reveal: bool = False) -> Reply:
    """Ask a question, or judge a guess.

    The right answer is computed by the code that it is about. Nothing is remembered: guess as
    often as you like.

    Parameters
    ----------
    name : str
        Of the question, such as ``"crop-32s"``; ``minifcn.teaching.questions.names()`` lists all.
    guess : number, tuple, list or word, optional
        Without it the question is asked.
    hint : {0, 1, 2}
        2 gives a larger hint.
    reveal : bool
        Show the answer and how it is found.

    Returns
    -------
    reply : Reply
        ``reply.right`` is True, False, or None where there was no guess that could be judged.

    Raises
    ------
    ValueError
        No question has that name (the nearest one is offered), or ``hint`` is not 0, 1 or 2.

    Examples
    --------
    >>> question("crop-32s", 19).right
    True
    """
    entry = find(name)
    with using("reference"):        # whatever engine, perhaps a student's own, is in use
        asked = entry.compute()
    if hint not in (0, 1, 2):
        raise ValueError(f"hint is {hint!r}; use hint=1 for a hint, hint=2 for a larger one")
    hints = [("Hint:", asked.larger_hint if hint == 2 else asked.hint)]
    if reveal:
        parts = [("Question:", asked.text)]
        right = None
        if guess is not None:
            right, parts = _judge(asked, guess)
        parts += [("Answer:", shown(asked.answer)), ("Why:", asked.derivation),
                  ("Read on:", asked.look)]
        return _reply(name, right, parts)
    if guess is None:
        how = f'`question("{name}", guess)`, where the guess is {kind(asked)}.'
        return _reply(name, None, [("Question:", asked.text), *hints, ("To answer:", how)])
    right, parts = _judge(asked, guess)
    if right:
        parts += [("Why:", asked.derivation), ("Read on:", asked.look)]
    elif right is False:
        foreseen = parts[-1][0] == "Behind it:"
        parts += [("Read on:", asked.look)] if foreseen and not hint else hints
        parts += [("Then:", f'guess again, or ask for `question("{name}", hint=2)`; '
                            f'`question("{name}", reveal=True)` shows the way.')]
    return _reply(name, right, parts)


def names() -> list[str]:
    """Names of all questions, topic by topic."""
    return list(TABLE)


def find(name: str) -> Entry:
    """The question of that name, or a ValueError that offers the nearest one."""
    if isinstance(name, str) and name in TABLE:
        return TABLE[name]
    near = difflib.get_close_matches(str(name).lower(), TABLE, n=1, cutoff=0.0)
    raise ValueError(f"there is no question {name!r}; did you mean {near[0]!r}? "
                     "minifcn.teaching.questions.names() lists all")


def shown(value: Any) -> str:
    """An answer as a person writes it."""
    if isinstance(value, str):
        return value
    if isinstance(value, (tuple, list, np.ndarray)):
        inner = ", ".join(shown(each).replace(",", "") for each in value)
        return f"({inner})" if isinstance(value, tuple) else f"[{inner}]"
    if isinstance(value, numbers.Integral):
        return f"{int(value):,}"
    return f"{float(value):.6g}"


def kind(asked: Question) -> str:
    """What an answer looks like, in words."""
    answer = asked.answer
    if isinstance(answer, str):
        return "the word yes or no" if asked.words is YES_OR_NO else "a word in quotes"
    if isinstance(answer, tuple):
        return f"a tuple of {len(answer)} whole numbers"
    if isinstance(answer, list):
        return f"a list of {len(answer)} numbers"
    if isinstance(answer, numbers.Integral):
        return "a whole number"
    return "a number, to four digits"


def same(guess: Any, value: Any) -> bool:
    """Whether a guess says the same as a value: numbers rounded a little, words in any case."""
    if isinstance(value, str) or isinstance(guess, (str, bool, np.bool_)):
        return isinstance(guess, str) and isinstance(value, str) and \
            guess.strip().lower() == value.lower()
    try:
        a, b = np.asarray(guess), np.asarray(value)
    except ValueError:      # a list of lists of different lengths
        return False
    if a.shape != b.shape or a.dtype.kind not in "iuf":
        return False
    if b.dtype.kind in "iu":
        return bool((a == b).all())
    return all(map(_near, a.ravel().tolist(), b.ravel().tolist()))


def _near(guess: float, value: float) -> bool:
    if math.isnan(value) or math.isinf(value):
        return math.isnan(guess) if math.isnan(value) else guess == value
    return abs(guess - value) <= (ROUNDING * abs(value) if value else 1e-9)


def _judge(asked: Question, guess: Any) -> tuple[bool | None, list[tuple[str, str]]]:
    """Whether a guess is right, and what is to be said first."""
    guess = _plain(asked, guess)
    if same(guess, asked.answer):
        return True, [("Right:", shown(asked.answer) + ".")]
    for wrong in asked.wrong:
        if same(guess, wrong.value):
            return False, [("Not", f"{shown(wrong.value)}."), ("Behind it:", wrong.because)]
    complaint = _complaint(asked, guess)
    if complaint:
        return None, [("No answer yet:", f"{complaint}; the guess should be {kind(asked)}.")]
    return False, [("Not", f"{_short(guess)}.")]


def _plain(asked: Question, guess: Any) -> Any:
    """The guess in its plain form: no NumPy scalars, and words as the table of words has them."""
    if isinstance(guess, np.ndarray):
        guess = guess.tolist()
    elif isinstance(guess, np.generic):
        guess = guess.item()
    if asked.words and isinstance(guess, (str, bool)):
        word = " ".join(str(guess).lower().split()).rstrip(".!")
        return asked.words.get(word, word)
    if isinstance(guess, numbers.Real) and not isinstance(guess, (bool, int, float)):
        return float(guess)         # a Fraction
    return guess


def _complaint(asked: Question, guess: Any) -> str | None:
    """What is wrong with a guess that is no answer of the kind asked for; None if it is one."""
    answer = asked.answer
    if isinstance(answer, str):
        if not isinstance(guess, str):
            return f"{_short(guess)} is not a word"
        return None if guess in asked.words.values() else f"{_short(guess)} is no word I know here"
    if isinstance(guess, str):
        return f"{_short(guess)} is text: leave the quotes away"
    if isinstance(answer, (tuple, list)):
        if not isinstance(guess, (tuple, list)):
            return f"{_short(guess)} is a single value" if _is_number(guess) else \
                f"{_short(guess)} is not a tuple or list"
        if not all(_is_number(each) for each in guess):
            return f"{_short(guess)} does not hold plain numbers only"
        if len(guess) != len(answer):
            return f"{_short(guess)} has {len(guess)} values, not {len(answer)}"
        return None
    if not _is_number(guess):
        return f"{_short(guess)} is not one number"
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _reply(name: str, right: bool | None, parts: list[tuple[str, str]]) -> Reply:
    return Reply(name, right, tuple((heading.rstrip(":"), text.strip("\n"))
                                    for heading, text in parts))


def _as_html(text: str) -> str:
    """Paragraphs, `code`, and blocks indented by four spaces."""
    blocks = []
    for block in re.split(r"\n\n+", html.escape(text, quote=False)):
        if all(line.startswith("    ") for line in block.splitlines()):
            lines = "\n".join(line[4:] for line in block.splitlines())
            blocks.append(f"<pre style='white-space:pre-wrap;margin:0.4em 0'>{lines}</pre>")
        else:
            blocks.append("<span>" + re.sub(r"`([^`]+)`", r"<code>\1</code>", block) + "</span>")
    return "".join(blocks)
