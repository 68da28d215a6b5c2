"""Boards that a person has taken by hand: a word in the lab's folder, which no process has to stay alive for.

Runs wait for such a board as for one that somebody uses, whoever took it. What a person starts on it (``harness boot``,
``harness machine``) goes on where it is the same person.
"""

from __future__ import annotations

import getpass
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from harness.board import locks


@dataclass(frozen=True)
class TakenBoard:
    """Who has taken a board, since when (UTC), until when (UTC; empty: until it is given back), and why."""

    user: str
    since: str
    until: str = ""
    why: str = ""

    def __str__(self) -> str:
        until = f", until {self.until}" if self.until else ""
        return f"{self.user}, by hand since {self.since}{until}{f': {self.why}' if self.why else ''}"

    @property
    def is_over(self) -> bool:
        """Whether its time has passed; a time that cannot be read has none."""
        with suppress(ValueError):
            return bool(self.until) and datetime.fromisoformat(self.until) <= datetime.now(UTC)
        return False


def taken(names: Iterable[str]) -> TakenBoard | None:
    """Return who has taken one of a board's things by hand; None where nobody has, or that time is over."""
    return next((one for name in names for one in _read(name) if not one.is_over), None)


def lapsed(names: Iterable[str]) -> TakenBoard | None:
    """Return what this user has taken by hand and whose time is over, though nobody has struck it out."""
    return next((one for name in names for one in _read(name) if one.is_over and is_mine(one)), None)


def is_mine(found: TakenBoard) -> bool:
    """Say whether it is this process's user who has taken it."""
    return found.user == getpass.getuser()


def take(names: Iterable[str], until: datetime | None, why: str) -> TakenBoard:
    """Write down that this user has taken a board's things, until a moment (local) or until they are given back."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    end = until.astimezone(UTC).isoformat(timespec="seconds") if until else ""
    found = TakenBoard(getpass.getuser(), now, end, why)
    for name in names:
        locks.write(_file(name), asdict(found))
    return found


def give(names: Iterable[str]) -> bool:
    """Strike out who has taken a board's things; say whether anybody had."""
    files = [path for name in names if (path := _file(name)).exists()]
    for path in files:
        path.unlink(missing_ok=True)
    return bool(files)


def _read(name: str) -> Iterator[TakenBoard]:
    found = locks.read(_file(name))
    if found and all(isinstance(one, str) for one in found.values()):
        with suppress(TypeError):  # a file of another kind
            yield TakenBoard(**found)


def _file(name: str) -> Path:
    return locks.lab() / f"{name}.taken.json"
