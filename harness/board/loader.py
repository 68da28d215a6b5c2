"""The dialogue with a boot loader, as YAML has it: what is waited for, what is typed or pressed then, and what ends it.

Pure: bytes and times in, bytes to type out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.board.refusals import REFUSALS
from harness.errors import UserError
from harness.patterns import Pattern, compiled
from harness.spec.models.board import KEYS, LoaderStep
from harness.system.text import Stripper

MOST_KEPT = 64 << 10  # bytes in which a pattern is looked for
ECHO_S = 3.0  # for what was typed to come back
MOST_TYPED = 3  # times that a line is typed
CLEAR = b"\x15"  # Ctrl-U: the line so far is taken back, in all loaders that edit lines
# A boot loader is a shell of its own: what is filled in must not be able to end a word and begin a command of it.
_SAFE = re.compile(r"[A-Za-z0-9 ._,:=/@+%~-]*")
_NAME = re.compile(r"(?<!\$)\{(kernel|initrd|cmdline|folder|here|url)\}")  # ${name} is the boot loader's own


def filled(text: str, names: Mapping[str, str]) -> str:
    """Return `text` with its names filled in."""
    return _NAME.sub(lambda match: names[match[1]], text)


def typed(step: LoaderStep, names: Mapping[str, str]) -> bytes:
    """Return what a step sends; UserError when a value has a sign that a boot loader takes for its own."""
    if step.key:
        return key_bytes(step.key)
    if step.send is None:
        return b""
    for name in _NAME.findall(step.send):
        unambiguous(name, names[name])
    return filled(step.send, names).encode()


def key_bytes(key: str) -> bytes:
    """Return what a key sends: a name of `KEYS`, or ``ctrl-`` and a letter."""
    if key in KEYS:
        return KEYS[key].encode()
    return bytes([ord(key[-1]) & 0x1F])


def is_unambiguous(value: str) -> bool:
    """Say whether no boot loader takes a sign of a value for its own."""
    return bool(_SAFE.fullmatch(value))


def unambiguous(name: str, value: str) -> str:
    """Return `value`, called `name`; UserError when it has a sign that a boot loader takes for its own."""
    if not is_unambiguous(value):
        raise UserError(
            f"the {name} has signs that a boot loader would take for its own: {value!r}",
            hint="letters, digits, spaces and . _ , : = / @ + % ~ - can be typed there",
        )
    return value


@dataclass(frozen=True)
class _Row:
    """A step, ready to be used; ``fails`` are whose words end it, and their patterns."""

    wait: Pattern
    step: LoaderStep
    data: bytes
    fails: tuple[tuple[str, Pattern], ...]

    @property
    def end(self) -> bytes:
        return b"\r" if self.step.send is not None and self.step.enter else b""


class Dialogue:
    """Says what to type, as the board's words come; begins anew whenever the board does."""

    def __init__(self, steps: Sequence[LoaderStep], names: Mapping[str, str]) -> None:
        """UserError when what is to be typed cannot be."""
        usual = tuple((one.loader, compiled(one.pattern)) for one in REFUSALS) if steps else ()
        self._rows = [_Row(compiled(one.wait), one, typed(one, names), _fails(one, usual)) for one in steps]
        self.begin()

    def begin(self) -> None:
        """Start from the first step: the board has been switched on, or restarts."""
        self._next, self._heard, self._stripper = 0, b"", Stripper()
        self._echo, self._times, self._due = b"", 0, 0.0  # what is to come back, how often typed, when it is late
        self._repeated: _Row | None = None  # the step whose key is pressed until the next one's words are seen
        self._pressed_s = 0.0
        self._judging = False  # a refusal is one only of what was asked
        self.refused = ""

    def skip(self) -> None:
        """There is none: what starts is started by a system that runs there."""
        self._next, self._judging = len(self._rows), False

    def left(self) -> None:
        """The kernel speaks: what comes now are no boot loader's words."""
        self._judging, self._repeated = False, None

    @property
    def over(self) -> bool:
        """Whether every step is done."""
        return self._next == len(self._rows) and not self._echo

    @property
    def awaited(self) -> str:
        """What the boot loader has still to say; empty when the dialogue is over."""
        if self.over:
            return ""
        if self._echo:
            return f"its boot loader did not show what was typed ({self._where(self._next - 1)})"
        row = self._rows[self._next]
        return f"its boot loader did not say {row.step.wait!r} ({self._where(self._next)})"

    def press(self, now_s: float) -> bytes:
        """Return what to type though nothing came: a key that is pressed again and again, a line that came not back."""
        if self._echo and now_s >= self._due:
            return self._type_again(now_s)
        row = self._repeated
        if row is None or row.step.repeat is None or now_s - self._pressed_s < row.step.repeat:
            return b""
        self._pressed_s = now_s
        return row.data + row.end

    @property
    def presses(self) -> bool:
        """Whether `press` is to be asked often."""
        return bool(self._echo) or self._repeated is not None

    def hear(self, data: bytes, now_s: float = 0.0) -> bytes:
        """Return what to type now that `data` has come at `now_s`; `refused` has the loader's words once it refuses."""
        if self._next == len(self._rows) and not self._echo and not self._judging:
            return b""
        self._heard = (self._heard + self._stripper.feed(data))[-MOST_KEPT:]
        answer = b""
        while not self.refused:
            if self._echo:
                if not self._came_back():
                    break
                answer += self._rows[self._next - 1].end
            found = self._rows[self._next].wait.search(self._heard) if self._next < len(self._rows) else None
            if self._refuses(found.end() if found else len(self._heard)) or found is None:
                break
            self._heard = self._heard[found.end() :]
            answer += self._step(self._rows[self._next], now_s)
        return answer

    def _step(self, row: _Row, now_s: float) -> bytes:
        self._next, self._repeated = self._next + 1, None
        if not (row.data + row.end):
            return b""
        if row.step.repeat is None:
            self._judging = True
        else:
            self._repeated, self._pressed_s = row, now_s
        if row.step.echo and row.data and row.step.send:
            self._echo, self._times, self._due = row.data, 1, now_s + ECHO_S
            return row.data
        return row.data + row.end

    def _came_back(self) -> bool:
        at = _unwrapped(self._heard).find(self._echo)
        if at >= 0:
            self._echo, self._heard = b"", b""
        return at >= 0

    def _type_again(self, now_s: float) -> bytes:
        if self._times >= MOST_TYPED:
            self.refused = f"what was typed came back otherwise {MOST_TYPED} times ({self._where(self._next - 1)})"
            return b""
        self._times, self._due, self._heard = self._times + 1, now_s + ECHO_S, b""
        return CLEAR + self._echo

    def _refuses(self, before: int) -> bool:
        """Look whether the loader refuses in the words before this place."""
        if not self._judging or not self._next:
            return False
        for loader, pattern in self._rows[self._next - 1].fails:
            if (match := pattern.search(self._heard[:before])) is not None:
                words = self._heard[: match.end()].decode(errors="replace").strip().splitlines()
                self.refused = f"{loader} said {words[-1].strip()[:200]!r} ({self._where(self._next - 1)})"
                return True
        return False

    def _where(self, index: int) -> str:
        return f"step {index + 1} of {len(self._rows)}"


def _fails(step: LoaderStep, usual: Iterable[tuple[str, Pattern]]) -> tuple[tuple[str, Pattern], ...]:
    if step.fail is None:
        return tuple(usual)
    return tuple(("its boot loader", compiled(text)) for text in step.fail)


def _unwrapped(text: bytes) -> bytes:
    """Return what came back without the ends of lines that a loader's editor puts in."""
    return text.replace(b"\r", b"").replace(b"\n", b"")
