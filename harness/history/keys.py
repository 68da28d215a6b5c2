"""Small things that all of the history shares: keys and their digests, and moments as text."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.run.results_model import CellResult

SHORT = 16  # hexadecimal digits of a key's digest
WHEN = "%Y-%m-%dT%H:%M:%SZ"


def now() -> str:
    """Return the time, as the history writes it."""
    return datetime.now(UTC).strftime(WHEN)


def seconds(when: str) -> int:
    """Return a moment in seconds since 1970; ValueError when the text is none."""
    return int(datetime.strptime(when, WHEN).replace(tzinfo=UTC).timestamp())


def facts(key: Mapping[str, str]) -> str:
    """Return a key as JSON that is the same for the same key."""
    return json.dumps(key, sort_keys=True, ensure_ascii=False)


def parsed(text: str) -> dict[str, str]:
    """Return the key that `facts` made the text of."""
    found: dict[str, str] = json.loads(text)
    return found


def digest(key: Mapping[str, str]) -> str:
    """Return what stands for a key, or a set of inputs, in the history; empty for none, as sizes have."""
    return hashlib.sha256(facts(key).encode()).hexdigest()[:SHORT] if key else ""


def images(rows: Iterable[tuple[str, str]]) -> list[str]:
    """Return by what name each of a run's cells is known, given its image and machine: none twice on one machine.

    A.yml and A.yml+B.yml have the same first file: the one that comes later in the plan is A.yml#2.
    """
    seen: Counter[tuple[str, str]] = Counter()
    found = []
    for cell in rows:
        seen[cell] += 1
        found.append(cell[0] if seen[cell] == 1 else f"{cell[0]}#{seen[cell]}")
    return found


def pairs_of(rows: Iterable[CellResult]) -> list[tuple[str, CellResult]]:
    """Return a run's cells, each with the name by which its image is known; other formats of one are others."""
    from harness.run.results_model import labelled

    cells = list(rows)
    names = images((labelled(row.path or row.image, row.format), row.machine) for row in cells)
    return list(zip(names, cells, strict=True))
