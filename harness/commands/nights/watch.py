"""Runs pytest for `harness matrix`: shows what it tells, and ends it when a person or the deadline says so."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from harness.errors import EXIT_INTERRUPTED, UserError
from harness.run.events import Events
from harness.show import run_view as view

TICK_S = 0.1
GRACE_S = 20.0  # for an interrupted pytest to end its guests and write what it has
EXIT_DEADLINE = -1  # no process ends with that by itself
UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_SPAN = re.compile(r"(\d{1,5})([mhd])")
_HOUR = re.compile(r"(\d{1,2}):(\d{2})")


@dataclass(frozen=True)
class Deadline:
    """When a run ends with what it has. ``text`` is how a person gave it."""

    text: str
    at: datetime


def deadline(text: str, now: datetime) -> Deadline:
    """Return the moment that `text` means: ``8h``, ``06:30`` (the next), or a date and time; UserError otherwise."""
    if span := _SPAN.fullmatch(text):
        return Deadline(text, now + timedelta(**{UNITS[span[2]]: int(span[1])}))
    try:
        if hour := _HOUR.fullmatch(text):
            at = now.replace(hour=int(hour[1]), minute=int(hour[2]), second=0, microsecond=0)
            return Deadline(text, at if at > now else at + timedelta(days=1))
        at = datetime.fromisoformat(text)
    except ValueError:
        hint = "a span (90m, 8h, 2d), an hour (06:30), or a date and time (2026-12-01T06:30)"
        raise UserError(f"{text!r} is no deadline", hint=hint) from None
    at = at if at.tzinfo is None else at.astimezone().replace(tzinfo=None)
    if at <= now:
        raise UserError(f"the deadline {text} has passed")
    return Deadline(text, at)


def run(argv: Sequence[str], folder: Path, log: Path, until: Deadline | None = None) -> int:
    """Run pytest while showing the events that it tells in `folder`; its own words are added to `log`.

    Return its exit code, 130 when it was interrupted, EXIT_DEADLINE when it was ended by the deadline.
    """
    events = Events(folder)
    events.skip()
    with log.open("ab") as words, view.View() as shown:
        # its own session: Ctrl-C reaches it once, from here, and not a second time while it cleans up
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=words, stderr=subprocess.STDOUT, start_new_session=True
        )
        before = signal.signal(signal.SIGTERM, _interrupt)
        try:
            while process.poll() is None:
                shown.feed(events.news(), time.monotonic())
                if until and datetime.now() >= until.at:
                    shown.say(f"the deadline, {until.text}, has come: ending the guests")
                    _end(process)
                    return EXIT_DEADLINE
                time.sleep(TICK_S)
        except KeyboardInterrupt:
            shown.say("interrupted: ending the guests")
            _end(process)
            return EXIT_INTERRUPTED
        finally:
            signal.signal(signal.SIGTERM, before)
            if process.poll() is None:
                _kill(process)
            shown.feed(events.news(), time.monotonic())
    return process.returncode


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


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
