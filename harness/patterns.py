"""Regular expressions that strangers may write: RE2's, whose time grows with the text alone, whatever the pattern."""

from __future__ import annotations

from typing import Protocol

LONGEST = 200  # characters of a pattern


class PatternMatch(Protocol):
    """Where a pattern was found."""

    def end(self) -> int:
        """Return where it ends."""


class Pattern(Protocol):
    """A compiled pattern."""

    def search(self, text: bytes) -> PatternMatch | None:
        """Return where it is found first in `text`, else None."""


def compiled(text: str) -> Pattern:
    """Return the pattern; ValueError with RE2's words when it is none (look-around and back references are none)."""
    import re2  # only who boots or checks a foreign OS needs it

    options = re2.Options()
    options.log_errors = False
    try:
        made: Pattern = re2.compile(text, options)
    except re2.error as error:
        words = error.args[0]
        raise ValueError(words.decode(errors="replace") if isinstance(words, bytes) else str(words)) from None
    return made
