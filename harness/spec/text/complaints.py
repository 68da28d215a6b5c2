"""What is wrong in a file a person wrote: where it is, what was expected, and what they may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError
from harness.text import one_line

KeyPath = tuple[str | int, ...]
MOST_SHOWN = 50  # of one error's complaints: who has more of them reads the first ones first
MOST_CHARACTERS = 240  # of one part of a complaint


@dataclass(frozen=True)
class Fault:
    """What is wrong with one value."""

    what: str
    expected: str = ""
    suggestion: str = ""


@dataclass(frozen=True)
class Problem:
    """A mistake as a check sees it: at a key's path, not yet at a place in a file."""

    path: KeyPath
    what: str
    expected: str = ""
    suggestion: str = ""
    at_key: bool = False  # the key itself is wrong, not its value


@dataclass(frozen=True)
class Complaint:
    """A mistake at its place. ``line`` and ``column`` count from 1."""

    file: Path
    line: int
    column: int
    key_path: str
    what: str
    expected: str = ""
    suggestion: str = ""

    def __str__(self) -> str:
        where = f"{_tame(str(self.file))}:{self.line}:{self.column}: "
        key_path = f"{_tame(self.key_path)}: " if self.key_path else ""
        expected = f", expected {_tame(self.expected)}" if self.expected else ""
        suggestion = f", did you mean {_tame(self.suggestion)}?" if self.suggestion else ""
        return where + key_path + _tame(self.what) + expected + suggestion


def _tame(text: str) -> str:
    """Shorten a part of a complaint, and spell out what would otherwise steer a terminal: a stranger wrote it."""
    return one_line(text, MOST_CHARACTERS)


class SpecError(UserError):
    """All complaints about one file or several; its text has one line for each."""

    def __init__(self, complaints: Sequence[Complaint]) -> None:
        self.complaints = tuple(sorted(set(complaints), key=lambda c: (str(c.file), c.line, c.column, c.what)))
        files = list(dict.fromkeys(str(complaint.file) for complaint in self.complaints))
        count = len(self.complaints)
        lines = [str(complaint) for complaint in self.complaints[:MOST_SHOWN]]
        if count > MOST_SHOWN:
            lines.append(f"... and {count - MOST_SHOWN} more")
        mistakes = "1 mistake" if count == 1 else f"{count} mistakes"
        super().__init__(f"{mistakes} in {', '.join(files)}", details="\n".join(lines))


def spell(path: Iterable[str | int]) -> str:
    """Return a key path as people write it: ``services[0].image``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word most like `word`, or an empty text when none is like it."""
    folded = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(word.lower()[:100], folded, n=1, cutoff=0.6)
    return folded[found[0]] if found else ""


def brief(value: object) -> str:
    """Return a short way to name a value found in a file: ``the text 'abc'``, ``a list``, ``nothing``."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case int() | float():
            return f"the number {value}"
        case str():
            return f"the text {value if len(value) <= 40 else value[:37] + '...'!r}"
        case dict():
            return "a mapping"
    return "a list"
