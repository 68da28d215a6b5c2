"""Text that strangers wrote, made safe to show: nothing in it moves a cursor, turns a line around or hides."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

LONGEST_LINE = 500  # characters of a stranger's line in a message
LONGEST_TEXT = 100_000  # characters of a stranger's text of several lines
LONGEST_WORD = 300  # characters of a word in a message: more is no name that anybody reads
LONGEST_MESSAGE = 3000  # characters of a message
MOST_NAMES = 12  # that are listed where one of them was meant
CUT = "..."
_NUMBER = re.compile(r"^\[Errno \d+\] ")
_LONG_WORD = re.compile(rf"\S{{{LONGEST_WORD + 1},}}")


def one_line(text: str, limit: int | None = LONGEST_LINE) -> str:
    """Return a stranger's text for one line of at most `limit` characters; what was cut ends in three dots.

    Where the caller has bounded it already, `limit` is None.

    Control characters (line ends too), terminal codes, marks of direction and halves of surrogates, which invalid
    UTF-8 becomes, stand there as escapes: ``\\n``, ``\\x1b``, ``\\u202e``.
    """
    return _bounded(text, "", limit)


def lines(text: str, limit: int | None = LONGEST_TEXT) -> str:
    """Return a stranger's text like `one_line`, with its line ends and tabs as they are."""
    return _bounded(text, "\n\t", limit)


def message(text: str) -> str:
    """Return a message with what is too long in it shortened in its middle: whoever wrote it is quoted there."""
    return _middle(_LONG_WORD.sub(lambda found: _middle(found[0], LONGEST_WORD), text), LONGEST_MESSAGE)


def names(known: Iterable[str]) -> str:
    """Return names as a list to choose from, of many the first ones and how many more there are."""
    every = list(known)
    more = len(every) - MOST_NAMES
    return ", ".join(every) if more <= 1 else f"{', '.join(every[:MOST_NAMES])} and {more} more"


def of_error(error: BaseException) -> str:
    """Return what an exception says; an OSError without its number, as ``a/b: Permission denied``.

    Of the many that `shutil.copytree` collects the first one.
    """
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        _, target, why = error.args[0][0]
        return f"{target}: {_NUMBER.sub('', str(why)).partition(': ')[0]}"
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    name = error.filename.decode("utf-8", "replace") if isinstance(error.filename, bytes) else error.filename
    return f"{name}: {error.strerror}" if isinstance(name, (str, Path)) else error.strerror


def visible(letter: str) -> str:
    """Return a character as it is where it can be seen, else as an escape."""
    if letter.isprintable():
        return letter
    return repr(letter)[1:-1]


def _middle(text: str, limit: int) -> str:
    end = limit // 4
    return text if len(text) <= limit else text[: limit - end - len(CUT)] + CUT + text[-end:]


def _bounded(text: str, kept: str, limit: int | None) -> str:
    start = text if limit is None else text[: limit + 1]  # an escape is longer than what it stands for, never shorter
    shown = start if start.isprintable() else "".join(sign if sign in kept else visible(sign) for sign in start)
    return shown if limit is None or len(shown) <= limit else shown[: max(0, limit - len(CUT))] + CUT
