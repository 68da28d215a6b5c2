"""What a pytest under test leaves behind, and the environment it runs in."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiers import LEAN

HERE = Path(__file__).parent


@dataclass
class Inner:
    """A pytest that ended."""

    code: int
    text: str
    folder: Path

    @property
    def results(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "results/results.json").read_text())
        return found

    @property
    def cells(self) -> dict[str, Any]:
        return {row["id"]: row for row in self.results["cells"]}

    @property
    def log(self) -> list[list[str]]:
        path = self.folder / "log"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def messages(self) -> list[str]:
        return [row["message"] for row in self.results["other"]["failures"]]

    def count(self, word: str) -> int:
        return sum(words[0] == word for words in self.log)


def environment(folder: Path, settings: dict[str, Any]) -> dict[str, str]:
    # xdist sets COLUMNS for what its workers start
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_") and name != "COLUMNS"}
    return {
        **own,
        "PYTEST_ADDOPTS": LEAN,
        "PYTHONPATH": str(HERE),
        "FAKE_CELLS": json.dumps(settings),
        "FAKE_LOG": str(folder / "log"),
    }
