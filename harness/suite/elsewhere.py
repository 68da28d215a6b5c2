"""What pytest does on a host that runs one cell of another host's run: all is planned, built and named there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.files import read_json
from harness.run.run import RunSettings
from harness.suite import collect, ending, worker
from harness.suite.controller import Controller

HANDED = "HARNESS_CELL"  # in the environment of that pytest: the file of what it was handed


@dataclass(frozen=True)
class CasePlace:
    """Where cases lie on the host that sent them: below `base`, named as seen from `root`."""

    base: str
    root: str

    def nodeid(self, nodeid: str, path: Path, here: Path) -> str:
        """Return a case's id as it is there; `here` is in the place of `base`."""
        file = os.path.relpath(Path(self.base) / path.relative_to(here), self.root)
        return f"{file}::{nodeid.partition('::')[2]}"


class CellController(Controller):
    """The hooks of that pytest."""

    def __init__(self, config: pytest.Config, file: Path) -> None:
        super().__init__(config)
        self.handed: dict[str, Any] = read_json(file)
        self.place = CasePlace(self.handed["base"], self.handed["root"])
        self.here = Path(self.handed["here"]).resolve()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Take part in the run as it was handed over."""
        ending.install()
        self.run = RunSettings.from_json(self.handed["run"])
        worker.take_part(self.config, self.run, whole=False)

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Let a case have the name that it has where the run was started."""
        if item.path.is_relative_to(self.here):
            worker.rename(item, self.place.nodeid(item.nodeid, item.path, self.here))

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leave the cases that have no cell to the one host that is to run them."""
        others = [item for item in items if collect.cell_of(item) is None]
        if others and not self.handed["others"]:
            config.hook.pytest_deselected(items=others)
            items[:] = [item for item in items if item not in others]


def start(config: pytest.Config, file: Path) -> None:
    """Register what runs one cell."""
    config.pluginmanager.register(CellController(config, file), "harness-controller")
