"""Which of many entries must go for the rest to fit: the night's results and the cache stay within what a disk has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.store import usage

MB = 1_000_000


@dataclass(frozen=True)
class Removable:
    """Something that may go: its path, its bytes on the disk, when it was last used (seconds since 1970)."""

    path: Path
    size: int
    used: float


def entry(path: Path) -> Removable:
    """Return what is at a path as it is now; what has gone meanwhile takes nothing."""
    try:
        return Removable(path, usage(path), path.stat().st_mtime)
    except OSError:
        return Removable(path, 0, 0.0)


def surplus(entries: Iterable[Removable], limit: int, *, stay: int = 0) -> Sequence[Removable]:
    """Return what must go, longest unused first, for the rest to take `limit` bytes; `stay` bytes cannot go."""
    rows = sorted(entries, key=lambda one: (one.used, str(one.path)))
    left = stay + sum(one.size for one in rows)
    gone = []
    for one in rows:
        if left <= limit:
            break
        gone.append(one)
        left -= one.size
    return gone
