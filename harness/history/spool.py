"""Runs that wait for a history which was away: their results as files of this user's, until it answers."""

from __future__ import annotations

from pathlib import Path

from harness import files, paths
from harness.errors import UserError
from harness.history import keeping
from harness.history.place import find
from harness.history.store import History
from harness.run import results
from harness.run.results_model import Results
from harness.store import digest_of

FOLDER = "waiting-runs"


def folder(where: str | None) -> Path:
    """Return where the runs lie that wait for the history at `where`; another history has another folder."""
    return paths.data_dir() / FOLDER / digest_of(find(where).text)[:16]


def keep(where: str | None, found: Results) -> Path:
    """Keep a run's results until the history answers; return where they lie."""
    place = folder(where)
    place.mkdir(parents=True, exist_ok=True)
    return files.write(place / f"{found.run}.json", results.dumped(found))


def take_in(opened: History, where: str | None) -> list[str]:
    """Add the runs that wait for a history which answers, the oldest first.

    Each goes once it is in the history. One that cannot be read stays, and is returned in words: it keeps no other out.
    """
    waiting, unread = [], []
    for path in sorted(folder(where).glob("*.json")):
        try:
            waiting.append((results.read(path), path))
        except UserError as error:
            unread.append(f"a run that waits for the history stays out of it: {error.message}")
    for found, path in sorted(waiting, key=lambda one: one[0].when):
        keeping.keep(opened, found)
        path.unlink()
    return unread
