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
        "cells": [cell.facts() for cell in cells],
    }
