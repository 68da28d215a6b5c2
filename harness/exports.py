"""The cache's downloads kept elsewhere: each a file whose name is its digest, checked as it comes back."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness.errors import HostError, UserError
from harness.hostfaults import explained
from harness.store import DOWNLOADS, Store, has_digest
from harness.text import of_error


@dataclass(frozen=True)
class DownloadKind:
    """Downloads of one kind: ``KIND/DIGEST/FILE`` of the cache, ``DIGEST.suffix`` where they are exported."""

    name: str
    kind: str
    file: str
    suffix: str
    mode: int  # a registry's may be a private one's


KINDS = (
    DownloadKind("packages", "debs", DOWNLOADS["debs"], ".deb", 0o666),
    DownloadKind("blobs", "blobs", DOWNLOADS["blobs"], ".blob", 0o600),
)


def export(store: Store, folder: Path) -> dict[str, int]:
    """Write every download of the cache into `folder`; return how many, by kind. HostError when it cannot."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with explained(folder):
            return {one.name: _export(store, folder, one) for one in KINDS}
    except OSError as error:
        raise HostError(
            f"cannot export the cache: {of_error(error)}", hint="name a folder that you may write"
        ) from error


def _export(store: Store, folder: Path, one: DownloadKind) -> int:
    found = sorted((store.root / one.kind).glob(f"*/{one.file}"))
    for path in found:
        target = folder / f"{path.parent.name}{one.suffix}"
        if not target.exists():
            if store.find(one.kind, path.parent.name) is None:
                continue  # damaged: it has been named and thrown away
            scratch = target.with_name(f".{target.name}.{os.getpid()}")
            try:
                scratch.touch(one.mode)
                shutil.copyfile(path, scratch)
                scratch.replace(target)
            finally:
                scratch.unlink(missing_ok=True)
    return len(found)


def take(store: Store, folder: Path) -> dict[str, int]:
    """Take every download of an exported `folder` into the cache; return how many, by kind.

    Raises UserError when the folder is not there or a file is not what its name says.
    """
    if not folder.is_dir():
        raise UserError(f"no exported cache at {folder}")
    found = {one: sorted(folder.glob(f"*{one.suffix}")) for one in KINDS}
    for path in (path for paths in found.values() for path in paths):
        if not has_digest(path, path.stem):
            raise UserError(f"{path} is damaged: its digest is not its name", hint="export the cache again")
    for one, paths in found.items():
        for path in paths:
            store.make(one.kind, path.stem, partial(_copy, path, one.file))
    return {one.name: len(paths) for one, paths in found.items()}


def _copy(source: Path, file: str, work: Path) -> None:
    shutil.copyfile(source, work / file)
