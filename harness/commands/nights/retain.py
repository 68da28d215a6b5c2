"""Keeps what runs leave behind within a plan's limits: runs of before, and the cache."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from harness import paths
from harness.commands.host import clean
from harness.errors import HostError, UserError
from harness.retention import MB, entry, surplus
from harness.run.folder import RunFolder
from harness.spec.models.plan import DiskLimits
from harness.store import Store

RUN = re.compile(r"\d{8}-\d{6}(-\d+)?")  # how `harness matrix` names a run's folder


def after_run(disk: DiskLimits, folder: Path) -> Iterator[str]:
    """Remove what is too much by a plan's limits after the run in `folder`; yield what to tell of it.

    Runs of before go where the harness has named the folders itself; the run that has just ended always stays.
    """
    if disk.results is not None and RUN.fullmatch(folder.name):
        gone = runs(folder.parent, round(disk.results * MB), folder)
        if gone:
            yield f"removed {len(gone)} older run{'s' * (len(gone) > 1)} in {folder.parent}: {', '.join(gone)}"
    if disk.cache is not None:
        store = Store(paths.cache_dir())
        try:
            if freed := clean.shrink(store, round(disk.cache * MB), dry_run=False):
                yield f"removed {sum(one.size for one in freed) / MB:,.1f} MB, longest unused, from {store.root}"
        except HostError as error:
            yield f"did not shrink the cache: {error.message}"


def runs(base: Path, limit: int, spared: Path | None = None, *, dry_run: bool = False) -> list[str]:
    """Remove runs in `base`, oldest first, until they take `limit` bytes together; return the names of those.

    The newest run, the `spared` one, one that is being written and whatever is not a run stay.
    """
    found = sorted(path for path in base.iterdir() if _is_run(path))
    keep = {spared, *found[-1:]}
    rows = {path: entry(path) for path in found}
    stay = sum(row.size for path, row in rows.items() if path in keep)
    gone = []
    for one in surplus((row for path, row in rows.items() if path not in keep), limit, stay=stay):
        if dry_run or _remove(one.path):
            gone.append(one.path.name)
    return gone


def _is_run(path: Path) -> bool:
    return bool(RUN.fullmatch(path.name)) and not path.is_symlink() and path.is_dir() and RunFolder(path).is_ours()


def _remove(run: Path) -> bool:
    try:
        with RunFolder(run).held():
            shutil.rmtree(run)
    except UserError:
        return False  # another process is at work in it
    return True
