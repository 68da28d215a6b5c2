"""The dialogue with a boot loader, as YAML has it: a pattern that is waited for, words that are typed then."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from harness.errors import UserError
from harness.patterns import compiled
from harness.spec.models.board import LoaderStep
from harness.system.text import Stripper

MOST_KEPT = 64 << 10  # bytes in which a pattern is looked for
# A boot loader is a shell of its own: what is filled in must not be able to end a word and begin a command of it.
_SAFE = re.compile(r"[A-Za-z0-9 ._,:=/@+%~-]*")
_NAME = re.compile(r"(?<!\$)\{(kernel|initrd|cmdline|folder|here|url)\}")  # ${name} is the boot loader's own


def filled(text: str, names: Mapping[str, str]) -> str:
    """Return `text` with its names filled in."""
    return _NAME.sub(lambda match: names[match[1]], text)


def typed(step: LoaderStep, names: Mapping[str, str]) -> bytes:
    """Return what is typed at a step; UserError when a value has a sign that a boot loader takes for its own."""
    if step.send is None:
        return b""
    for name in _NAME.findall(step.send):
        unambiguous(name, names[name])
    return filled(step.send, names).encode() + (b"\r" if step.enter else b"")


def unambiguous(name: str, value: str) -> str:
    """Return `value`, called `name`; UserError when it has a sign that a boot loader takes for its own."""
    if not _SAFE.fullmatch(value):
        raise UserError(
            f"the {name} has signs that a boot loader would take for its own: {value!r}",
            hint="letters, digits, spaces and . _ , : = / @ + % ~ - can be typed there",
        )
    return value


class Dialogue:
    """Says what to type, as the board's words come; begins anew whenever the board does."""

    def __init__(self, steps: Sequence[LoaderStep], names: Mapping[str, str]) -> None:
        """UserError when what is to be typed cannot be."""
        self._rows = [(compiled(step.wait), step.wait, typed(step, names)) for step in steps]
        self.begin()

    def begin(self) -> None:
        """Start from the first step: the board has been switched on, or restarts."""
        self._next, self._heard, self._stripper = 0, b"", Stripper()

    def skip(self) -> None:
        """There is none: what starts is started by a system that runs there."""
        self._next = len(self._rows)

    @property
    def awaited(self) -> str:
        """What the boot loader has still to say; empty when the dialogue is over."""
        if self._next == len(self._rows):
            return ""
        return f"its boot loader did not say {self._rows[self._next][1]!r} (step {self._next + 1} of {len(self._rows)})"

    def hear(self, data: bytes) -> bytes:
        """Return what to type now that `data` has come."""
        if self._next == len(self._rows):
            return b""
        self._heard = (self._heard + self._stripper.feed(data))[-MOST_KEPT:]
        answer = b""
        while self._next < len(self._rows) and (found := self._rows[self._next][0].search(self._heard)):
            answer += self._rows[self._next][2]
            self._heard = self._heard[found.end() :]
            self._next += 1
        return answer
