"""The paths of a root in the making: in a database on the disk, so that millions of them take little memory."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TOP = 0  # the id of the root folder
CACHE = 16 << 10  # KiB of the database that are kept in memory
WAITING = 10_000  # rows that are written at once
_TABLE = """CREATE TABLE place (parent INTEGER, name BLOB, id INTEGER, is_dir INTEGER, layer INTEGER, kind TEXT,
 source INTEGER, PRIMARY KEY (parent, name)) WITHOUT ROWID"""
# a folder that comes again stays the same folder, with what is in it
_PUT = """INSERT INTO place VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
 id = CASE WHEN is_dir AND excluded.is_dir THEN id ELSE excluded.id END,
 is_dir = excluded.is_dir, layer = excluded.layer, kind = excluded.kind, source = excluded.source"""
_ROW = "SELECT id, is_dir, layer, kind, source FROM place WHERE parent = ? AND name = ?"
_BELOW = "SELECT name, id, is_dir, layer, kind, source FROM place WHERE parent = ? ORDER BY name"


class RootPlace(NamedTuple):
    """What is at a path: its folder's `id`, which layer put it there, tarfile's letter, and where its row is.

    One ``source`` at two paths is one file with two names.
    """

    id: int
    is_dir: bool
    layer: int
    kind: str
    source: int


class Places:
    """Folders by their ids, and what is in them by name. `folder` takes the database; nothing of it is left there."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix="places-") as file:
            # one transaction that never ends: what the memory does not hold goes to the file, and nothing waits for it
            self._db = sqlite3.connect(file.name, isolation_level=None, check_same_thread=False)
            for words in ("journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE",
                          f"cache_size = -{CACHE}"):  # fmt: skip
                self._db.execute(f"PRAGMA {words}")
            self._db.execute("BEGIN EXCLUSIVE")
            self._db.execute(_TABLE)
        self._waiting: list[tuple[int, bytes, int, bool, int, str, int]] = []
        self._ids = TOP

    def put(self, parent: int, name: str, layer: int, kind: str, source: int, *, is_dir: bool = False) -> int:
        """Put something into a folder; return the id that it has where it is a folder that was not there."""
        if is_dir:
            self._ids += 1
        self._waiting.append((parent, _bytes(name), self._ids if is_dir else TOP, is_dir, layer, kind, source))
        if len(self._waiting) >= WAITING:
            self._write()
        return self._ids

    def look(self, parent: int, name: str) -> RootPlace | None:
        """Return what a folder has under a name."""
        self._write()
        row = self._db.execute(_ROW, (parent, _bytes(name))).fetchone()
        return RootPlace(*row) if row else None

    def remove(self, parent: int, name: str) -> None:
        """Take what a folder has under a name out of it, with all that is below."""
        self._write()
        self._db.execute("DELETE FROM place WHERE parent = ? AND name = ?", (parent, _bytes(name)))

    def clear(self, parent: int) -> None:
        """Take all out of a folder."""
        self._write()
        self._db.execute("DELETE FROM place WHERE parent = ?", (parent,))

    def walk(self) -> Iterator[tuple[str, RootPlace]]:
        """Yield every path with what is there: folders before what is in them, names in the order of their bytes."""
        self._write()
        todo = [("", self._db.execute(_BELOW, (TOP,)))]
        while todo:
            above, rows = todo[-1]
            row = rows.fetchone()
            if row is None:
                todo.pop()
                continue
            path, place = above + row[0].decode("utf-8", "surrogateescape"), RootPlace(*row[1:])
            yield path, place
            if place.is_dir:
                todo.append((f"{path}/", self._db.execute(_BELOW, (place.id,))))

    def close(self) -> None:
        """Forget all."""
        self._db.close()

    def _write(self) -> None:
        if self._waiting:
            self._db.executemany(_PUT, self._waiting)
            self._waiting.clear()


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
