"""A word for whoever waits: what is being done and for how long, once nothing was said for two seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

SILENT_S = 2.0  # nobody waits longer without a word
AGAIN_S = 10.0  # and then not longer for the next one
TICK_S = 0.25


@dataclass
class Wait:
    """What is being done since when, and when something was said last, in seconds of one clock."""

    doing: str
    since: float
    last: float
    reminded: bool = False

    def heard(self, doing: str, now: float) -> None:
        """Take in what was said: it is what is being done from now on."""
        self.doing, self.since, self.last, self.reminded = doing, now, now, False

    def word(self, now: float) -> str:
        """Return what is to be said now, or an empty text."""
        if now - self.last < (AGAIN_S if self.reminded else SILENT_S):
            return ""
        self.last, self.reminded = now, True
        return f"{self.doing}: {now - self.since:.0f} s so far"


_waits: list[Wait] = []  # of the process: one, that of the command that it is
_quiet: list[object] = []  # those who have the terminal for themselves


def heard(doing: str) -> None:
    """Take in that somebody was told what is being done."""
    for wait in _waits:
        wait.heard(doing.splitlines()[-1] if doing.strip() else wait.doing, time.monotonic())


@contextmanager
def quiet() -> Iterator[None]:
    """Say nothing meanwhile: a console is a person's, or somebody else shows how far it is."""
    mark = object()
    _quiet.append(mark)
    try:
        yield
    finally:
        for wait in _waits:  # first: whoever looks in between is not to count the quiet as a wait
            wait.heard(wait.doing, time.monotonic())
        _quiet.remove(mark)


@contextmanager
def watched(doing: str, say: Callable[[str], None]) -> Iterator[None]:
    """Let `say` tell meanwhile what is being done, at first `doing`, whenever nothing was heard for two seconds."""
    now = time.monotonic()
    wait, over = Wait(doing, now, now), threading.Event()

    def watch() -> None:
        while not over.wait(TICK_S):
            if not _quiet and (word := wait.word(time.monotonic())):
                say(word)

    thread = threading.Thread(target=watch, name="waiting", daemon=True)
    _waits.append(wait)
    thread.start()
    try:
        yield
    finally:
        over.set()
        _waits.remove(wait)
        thread.join()
