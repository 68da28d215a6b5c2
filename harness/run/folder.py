"""The folder that a run writes to: made ready, but never at the price of what somebody else keeps there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from harness import __version__
from harness.errors import UserError
from harness.run import events, results
from harness.run.run import GROUPS, SLOTS

CELLS = "cells"
NAMES = (results.FILE, events.FILE, GROUPS, CELLS, SLOTS)
BEGIN = "begin"
LOCK = ".lock"


def take(folder: Path, also: Iterable[str] = ()) -> Path:
    """Make `folder` ready for a run and return it: what an earlier run left under NAMES and `also` goes.

    One that another process of the same run has begun stays as it is. UserError when there is something of these names
    that no run left, or when the folder cannot be had.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if _is_begun(folder):
            return folder
        there = [folder / name for name in chain(NAMES, also) if (folder / name).exists()]
        if there and not is_ours(folder):
            raise UserError(
                f"{folder} already has {', '.join(path.name for path in there)}, which no earlier run left there",
                hint="give --results a new folder, or one that an earlier run has written",
            )
        if (folder / results.FILE).exists():
            (folder / results.FILE).replace(folder / results.PREVIOUS)
        for path in there:
            if path.name != results.FILE:
                _remove(path)
        events.Events(folder).tell(BEGIN, harness=__version__)
    except OSError as error:
        raise UserError(f"cannot write results to {folder}: {error.strerror}", hint="--results DIR") from None
    return folder


def resume(folder: Path) -> Path:
    """Return the folder of a run that goes on: nothing in it goes, but what a crash left unfinished.

    UserError when no run has begun there.
    """
    try:
        begun = any(event["event"] == "run" for event in events.mend(folder))
    except OSError:
        begun = False
    if not begun:
        raise UserError(f"there is no run in {folder} to go on with", hint="leave --resume out, or name its --results")
    return folder


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder; UserError when one is at work there. Ends with the process, however it ends."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise UserError(f"another run is writing to {folder}", hint="give --results another folder") from None
    except OSError as error:
        raise UserError(f"cannot write results to {folder}: {error.strerror}", hint="--results DIR") from None
    try:
        yield
    finally:
        lock.release()


def new(base: Path, name: str) -> Path:
    """Return a fresh folder in `base`; a second one of the same name gets a number."""
    try:
        base.mkdir(parents=True, exist_ok=True)
        number = 1
        while True:
            folder = base / (name if number == 1 else f"{name}-{number}")
            try:
                folder.mkdir()
            except FileExistsError:
                number += 1
                continue
            return folder
    except OSError as error:
        raise UserError(f"cannot write results to {base}: {error.strerror}", hint="--results DIR") from None


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _is_begun(folder: Path) -> bool:
    """Say whether a run has just begun here and done no more."""
    return [event["event"] for event in _events(folder)] == [BEGIN]


def is_ours(folder: Path) -> bool:
    """Say whether a run of the harness has written here."""
    return bool(_events(folder)) or _is_results(folder / results.FILE)


def _events(folder: Path) -> list[events.Event]:
    try:
        found = events.read(folder)
    except ValueError:
        return []  # somebody else's file of that name
    return found if all(isinstance(event, dict) and "event" in event for event in found) else []


def _is_results(path: Path) -> bool:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and {"schema", "cells"} <= set(found)
