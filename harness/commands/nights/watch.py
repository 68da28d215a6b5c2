"""Runs pytest for `harness matrix`: shows what it tells, and ends it when a person or the deadline says so."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from harness.errors import EXIT_INTERRUPTED
from harness.moments import moment
from harness.run.folder import RunFolder
from harness.show import run_view as view

TICK_S = 0.1
GRACE_S = 20.0  # for an interrupted pytest to end its guests and write what it has
EXIT_DEADLINE = -1000  # no process ends with that by itself, nor by a signal
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _uptime() -> float:
    """Return the seconds since this host was started, those included in which it was suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True)
class Deadline:
    """When a run ends with what it has. ``text`` is how a person gave it.

    A span (``seconds`` from `since`) is counted by a clock that nobody sets and that goes on while the host is
    suspended; a moment is the wall clock's.
    """

    text: str
    at: datetime
    seconds: float | None = None
    since: float = field(default_factory=_uptime)

    def has_come(self) -> bool:
        """Say whether it is time."""
        if self.seconds is not None:
            return _uptime() - self.since >= self.seconds
        return datetime.now() >= self.at


def deadline(text: str, now: datetime) -> Deadline:
    """Return the deadline that `text` means: ``8h``, ``06:30`` (the next), or a date and time; UserError otherwise."""
    found = moment(text, now, "deadline")
    return Deadline(text, found.at, found.seconds)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt meanwhile.

    Also a SIGINT that was inherited as ignored, as what a script starts in the background has it; what is started
    meanwhile inherits none that is. A SIGHUP that is ignored stays so: that is what nohup is for.
    """

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with _handled(interrupt):
        yield


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let none of these signals end what is being written; it takes no longer than its own limits of time."""
    with _handled(lambda *_: None):
        yield


@contextmanager
def _handled(handler: Callable[..., None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    wanted = [one for one in ENDING if one != signal.SIGHUP or signal.getsignal(one) is not signal.SIG_IGN]
    before = {one: signal.signal(one, handler) for one in wanted}
    try:
        yield
    finally:
        for one, handler_ in before.items():
            signal.signal(one, handler_)


def run(argv: Sequence[str], folder: RunFolder, *, env: Mapping[str, str], until: Deadline | None = None) -> int:
    """Run pytest while showing the events that it tells in `folder`; its own words are added to the log there.

    Return its exit code (negative: the signal that ended it), 130 when it was interrupted, EXIT_DEADLINE when it was
    ended by the deadline. To be called within `interruptible`.
    """
    events = folder.events
    events.skip()
    with folder.log.open("ab") as words, view.View() as shown:
        # its own session: Ctrl-C reaches it once, from here, and not a second time while it cleans up
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=words, stderr=subprocess.STDOUT, start_new_session=True, env=env
        )
        try:
            while process.poll() is None:
                shown.feed(events.news(), time.monotonic())
                if until and until.has_come():
                    shown.say(f"the deadline, {until.text}, has come: ending the guests")
                    _end(process)
                    return EXIT_DEADLINE
                time.sleep(TICK_S)
        except KeyboardInterrupt:
            shown.say("interrupted: ending the guests")
            _end(process)
            return EXIT_INTERRUPTED
        finally:
            if process.poll() is None:
                _kill(process)
            shown.feed(events.news(), time.monotonic())
    return process.returncode


def _end(process: subprocess.Popen[bytes]) -> None:
    """Interrupt pytest and its workers; what does not end in time, or at a second Ctrl-C, is killed."""
    with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt, ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
        process.wait(GRACE_S)
    # workers and guests as well: pytest may have gone before them
    _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
