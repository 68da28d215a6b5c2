"""What is told of a run before anything is built, also of one that could not begin."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import __version__
from harness.run import revision
from harness.run.cells import Cell
from harness.run.inputs import shown


def facts(
    plan: Path | None, source: Path | None, cells: Sequence[Cell] = (), shard: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the facts of a ``run`` event; `source` is the file whose folder's commit counts."""
    return {
        "harness": __version__,
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "run": uuid.uuid4().hex,
        "plan": shown(plan) if plan else None,
        "source": revision.of(source) if source else None,
        "shard": shard,
        "cells": [{**cell.facts(), "path": path} for cell, path in zip(cells, paths(source, cells), strict=True)],
    }


def paths(source: Path | None, cells: Sequence[Cell]) -> list[str]:
    """Return of each cell where its image's YAML lies in the project that `source` is of; empty where it does not."""
    found: dict[str, str] = {}
    for cell in cells:
        first = cell.sources[0] if cell.sources else ""
        if first not in found:
            found[first] = revision.in_project(source.resolve().parent, Path(first)) if source and first else ""
    return [found[cell.sources[0] if cell.sources else ""] for cell in cells]
