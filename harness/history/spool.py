"""Runs that wait for a history which was away: their results as files of this user's, until it answers."""

from __future__ import annotations

from pathlib import Path

from harness import files, paths
from harness.history import outcomes
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


def take_in(opened: History, where: str | None) -> int:
    """Add the runs that wait for a history which answers, the oldest first; return how many those were.

    Each goes once it is in the history. One that cannot be read stays.
    """
    waiting = sorted(folder(where).glob("*.json"), key=lambda path: str(files.read_json(path)["when"]))
    for path in waiting:
        found = results.read(path)
        opened.add(found)
        outcomes.add(opened, opened.as_known(found))
        path.unlink()
    return len(waiting)
