"""What all processes of a run share: where results go, the cells, and how patient and how greedy to be."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.build.settings import Settings
from harness.files import read_json
from harness.run.cells import Cell, from_json, to_json
from harness.run.events import Events
from harness.run.folder import RunFolder
from harness.run.known import Excuse

SLOT_WAIT_S = 0.05


@dataclass(frozen=True)
class RunSettings:
    """One run of cases. ``slots`` is how many guests may be up at once, ``patience`` multiplies every time limit.

    ``explain``: each cell boots once more in exact time, step by step. ``known``: failures that do not count yet.
    """

    folder: RunFolder
    cells: tuple[Cell, ...]
    slots: int
    patience: float
    settings: Settings = field(default_factory=Settings)
    explain: bool = False
    known: tuple[Excuse, ...] = ()

    @property
    def events(self) -> Events:
        """Where everybody tells what happens."""
        return self.folder.events

    def to_json(self) -> dict[str, Any]:
        """Return the run as plain data, for another process."""
        return {
            "folder": str(self.folder),
            "cells": to_json(self.cells),
            "slots": self.slots,
            "patience": self.patience,
            "settings": self.settings.to_json(),
            "explain": self.explain,
            "known": [asdict(one) for one in self.known],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> RunSettings:
        """Return the run that `to_json` made the data of."""
        return cls(
            folder=RunFolder(Path(data["folder"])),
            cells=tuple(from_json(data["cells"])),
            slots=data["slots"],
            patience=data["patience"],
            settings=Settings.from_json(data["settings"]),
            explain=data["explain"],
            known=tuple(Excuse(**row) for row in data["known"]),
        )

    def groups(self) -> dict[str, str]:
        """Return the group of each case that has a cell, by its id; empty before anything is collected."""
        path = self.folder.groups
        found: dict[str, str] = read_json(path) if path.exists() else {}
        return found

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait for the right to have a guest up, and give it back; a process that dies gives its own back.

        Who has one must not wait for another: those who have the others could be waiting as well.
        """
        from filelock import FileLock, Timeout

        folder = self.folder.slots
        folder.mkdir(exist_ok=True)
        locks = [FileLock(folder / str(number)) for number in range(self.slots)]
        while True:
            for lock in locks:
                try:
                    lock.acquire(blocking=False)
                except Timeout:
                    continue
                try:
                    yield
                finally:
                    lock.release()
                return
            time.sleep(SLOT_WAIT_S)
