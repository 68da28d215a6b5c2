"""The folder that a run writes to: the one place that knows the names in it.

It is made ready, but never at the price of what somebody else keeps there. What a boot leaves in its own folder below
`cells` is named by `harness.system.folder`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness import __version__, paths
from harness.errors import UserError
from harness.files import read_json
from harness.run import events as events_
from harness.run import results as results_
from harness.run.events import Event, Events
from harness.run.results_model import Results
from harness.system.folder import RECORD, TRANSCRIPT, BootFolder

RESULTS = paths.RESULTS  # what an image is named by must tell it from a folder of these
PREVIOUS, EVENTS, GATE = "previous.json", "events.jsonl", "gate.json"
JUNIT, SUMMARY, PAGE, LOG = "junit.xml", "summary.md", "report.html", "pytest.log"
METRICS, BENCHMARK = "metrics.txt", "benchmark.json"
CELLS, GROUPS, SLOTS, INPUTS, LOCK = "cells", "groups.json", "slots", "inputs.json", ".lock"
# what gives way to a new run; `previous.json` is made of what gave way
OURS = (RESULTS, EVENTS, GATE, JUNIT, SUMMARY, PAGE, METRICS, BENCHMARK, LOG, CELLS, GROUPS, SLOTS, INPUTS)
BEGIN = "begin"
HINT = "--results DIR"


@dataclass(frozen=True)
class RunFolder:
    """A run's folder."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def results(self) -> Path:
        """What the run found."""
        return self.path / RESULTS

    @property
    def previous(self) -> Path:
        """The results of the run before, which this one is compared with."""
        return self.path / PREVIOUS

    @property
    def gate(self) -> Path:
        """What ``--against`` came to, figure by figure."""
        return self.path / GATE

    @property
    def junit(self) -> Path:
        """The results for CI servers."""
        return self.path / JUNIT

    @property
    def summary(self) -> Path:
        """The results in a few lines of Markdown."""
        return self.path / SUMMARY

    @property
    def metrics(self) -> Path:
        """The figures as OpenMetrics."""
        return self.path / METRICS

    @property
    def benchmark(self) -> Path:
        """The figures as continuous-benchmark services read them."""
        return self.path / BENCHMARK

    @property
    def page(self) -> Path:
        """The results as a page for people."""
        return self.path / PAGE

    @property
    def log(self) -> Path:
        """What pytest said."""
        return self.path / LOG

    @property
    def inputs(self) -> Path:
        """What was read when the run began: plan, machines, images."""
        return self.path / INPUTS

    @property
    def groups(self) -> Path:
        """Which cases share a guest."""
        return self.path / GROUPS

    @property
    def slots(self) -> Path:
        """The locks of the guests that may be up at once."""
        return self.path / SLOTS

    @property
    def event_file(self) -> Path:
        """What happened, in order."""
        return self.path / EVENTS

    @property
    def events(self) -> Events:
        """Where everybody tells what happens."""
        return Events(self.event_file)

    def read_events(self) -> list[Event]:
        """Return all that has happened."""
        return events_.read(self.event_file)

    def read_results(self) -> Results:
        """Return what the run found; UserError when there is nothing to be read."""
        return results_.read(self.results)

    def write_results(self, found: Results) -> None:
        """Write what the run found."""
        results_.write(self.results, found)

    def cell(self, cell: str) -> Path:
        """Return the folder of a cell's boots."""
        return self.path / CELLS / cell

    def boot(self, cell: str, name: str) -> BootFolder:
        """Return the folder of one boot of a cell, ``exact/1`` for instance."""
        return BootFolder(self.cell(cell) / name)

    def boots(self, cell: str) -> list[BootFolder]:
        """Return the folders of a cell's boots that left something; none where the id is not a name of a folder."""
        base = self.cell(cell)
        if base.resolve().parent != (self.path / CELLS).resolve():
            return []  # a cell's id is a name, whatever somebody has made of it
        return [BootFolder(path) for path in sorted({
            found.parent for name in (TRANSCRIPT, RECORD) for found in base.glob(f"**/{name}")})]  # fmt: skip

    @staticmethod
    def relative(path: str, cell: str) -> str:
        """Return a path below a cell's folder as it is below its run's, wherever that was; as it is if it is none."""
        _, within, rest = path.rpartition(f"/{CELLS}/{cell}/")
        return f"{within[1:]}{rest}" if within else path

    def moved(self, path: str) -> Path | None:
        """Return where a file of another run's cells lies here, None where it does not."""
        place = self.path / CELLS / path.rpartition(f"/{CELLS}/")[2]
        return place if f"/{CELLS}/" in path and place.exists() else None

    def take(self) -> RunFolder:
        """Make the folder ready for a run and return it: what an earlier run left goes.

        One that another process of the same run has begun stays as it is. UserError when there is something of these
        names that no run left, or when the folder cannot be had.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if self._is_begun():
                return self
            self.check()
            there = self._there()
            if _has_cells(self.results):  # a run that could not begin is nothing to be compared with
                self.results.replace(self.previous)
            for path in there:
                if os.path.lexists(path):  # the results may have become the previous ones
                    _remove(path)
            self.events.tell(BEGIN, harness=__version__)
        except OSError as error:
            raise UserError(f"cannot write results to {self.path}: {error.strerror}", hint=HINT) from None
        return self

    def resume(self) -> RunFolder:
        """Make the folder of a run ready to go on: nothing in it goes, but what a crash left unfinished.

        UserError when no run has begun there.
        """
        self.check(resume=True)
        try:
            events_.mend(self.event_file)
        except OSError as error:
            raise UserError(f"cannot write results to {self.path}: {error.strerror}", hint=HINT) from None
        return self

    def check(self, *, resume: bool = False) -> None:
        """See that a run may begin here, or go on; UserError when not. Nothing is made or changed."""
        if resume:
            try:
                told, _ = events_.whole(self.event_file)
            except OSError:
                told = []
            if not any(event["event"] == "run" for event in told):
                hint = "leave --resume out, or name its --results"
                raise UserError(f"there is no run in {self.path} to go on with", hint=hint)
        elif (there := self._there()) and not self.is_ours():
            names = ", ".join(path.name for path in there)
            raise UserError(
                f"{self.path} already has {names}, which no earlier run left there",
                hint="give --results a new folder, or one that an earlier run has written",
            )

    def _there(self) -> list[Path]:
        return [self.path / name for name in OURS if os.path.lexists(self.path / name)]

    @contextmanager
    def held(self, *, resume: bool = False) -> Iterator[None]:
        """Keep other runs out; UserError when one is at work there. Ends with the process, however it ends.

        What `check` refuses is refused before anything is made.
        """
        from filelock import FileLock, Timeout

        self.check(resume=resume)
        lock = FileLock(self.path / LOCK)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock.acquire(blocking=False)
        except Timeout:
            raise UserError(f"another run is writing to {self.path}", hint="give --results another folder") from None
        except OSError as error:
            raise UserError(f"cannot write results to {self.path}: {error.strerror}", hint=HINT) from None
        try:
            yield
        finally:
            lock.release()

    def is_ours(self) -> bool:
        """Say whether a run of the harness has written here."""
        return bool(self._events()) or _is_results(self.results)

    def _is_begun(self) -> bool:
        """Say whether a run has just begun here and done no more."""
        return [event["event"] for event in self._events()] == [BEGIN]

    def _events(self) -> list[Event]:
        try:
            found = self.read_events()
        except (ValueError, OSError):
            return []  # somebody else's file of that name
        return found if all(isinstance(event, dict) and "event" in event for event in found) else []

    def keep_previous(self, latest: RunFolder) -> None:
        """Let the run here be compared with the latest one, or with what that one was, had it nothing of its own."""
        for path in (latest.results, latest.previous):
            if _has_cells(path):
                shutil.copyfile(path, self.previous)
                return


def results_file(path: Path) -> Path:
    """Return the results that a path names: a file itself, or those of a run's folder."""
    return path if path.is_file() else RunFolder(path).results


def results_files(path: Path) -> list[Path]:
    """Return the results in a run's folder, else those of the runs that lie in it."""
    own = RunFolder(path).results
    return [own] if own.exists() else sorted(path.glob(f"*/{RESULTS}"))


def new(base: Path, name: str) -> RunFolder:
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
            return RunFolder(folder)
    except OSError as error:
        raise UserError(f"cannot write results to {base}: {error.strerror}", hint=HINT) from None


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _data(path: Path) -> dict[str, object]:
    try:
        found = read_json(path)
    except UserError:
        return {}
    return found if isinstance(found, dict) else {}


def _is_results(path: Path) -> bool:
    return {"schema", "cells"} <= _data(path).keys()


def _has_cells(path: Path) -> bool:
    return bool(_data(path).get("cells"))
