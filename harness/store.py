"""Results kept by key: made once, whole or not at all, safe with two makers at once and after a kill -9."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from harness.errors import HostError


def digest_of(value: object) -> str:
    """Return the SHA-256 (hex) of a JSON-like value in its canonical form: the key of what depends on it."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """Return a file's SHA-256 (hex)."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class Store:
    """A folder of finished results, ``KIND/KEY/``; what is there is complete, for it came by one rename."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, kind: str, key: str) -> Path:
        """Return where the result of `key` is or would be."""
        return self.root / kind / key

    def has(self, kind: str, key: str) -> bool:
        """Say whether the result of `key` is there."""
        return self.path(kind, key).is_dir()

    def make(self, kind: str, key: str, maker: Callable[[Path], None]) -> Path:
        """Return the folder of `key`; when it is missing, let `maker` fill a fresh folder first.

        One maker runs at a time for one key, in whatever process; the others wait and take its result.
        Raises HostError when the disk is full or the cache cannot be written.
        """
        final = self.path(kind, key)
        if final.is_dir():
            return final
        with self.telling(kind):
            return self._make(final, kind, key, maker)

    @contextmanager
    def telling(self, what: str) -> Iterator[None]:
        """Turn a full disk and a cache that cannot be written, met while writing `what`, into HostError."""
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise HostError(
                    f"the disk is full: could not write {what} into {self.root}",
                    hint="free space there, `harness clean`, or set HARNESS_CACHE to a folder on another disk",
                ) from error
            if error.errno in (errno.EACCES, errno.EROFS, errno.ENOTDIR):
                raise HostError(
                    f"cannot write to the cache: {error}", hint="set HARNESS_CACHE to a folder you may write"
                ) from error
            raise

    def _make(self, final: Path, kind: str, key: str, maker: Callable[[Path], None]) -> Path:
        locks, scratch = self.root / "locks", self.root / "tmp"
        for folder in (final.parent, locks, scratch):
            folder.mkdir(parents=True, exist_ok=True)
        with FileLock(locks / f"{kind}-{key}.lock"):
            if final.is_dir():
                return final
            # the name holds the owner's pid: what a killed maker left is swept by `sweep`
            work = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-{kind}-", dir=scratch))
            try:
                work.chmod(0o755)
                maker(work)
                work.replace(final)
            finally:
                shutil.rmtree(work, ignore_errors=True)
        return final

    def sweep(self) -> int:
        """Remove what killed makers left behind; return how many folders went."""
        gone = 0
        for left in (self.root / "tmp").glob("*-*"):
            pid = left.name.split("-", 1)[0]
            if not pid.isdigit() or not Path("/proc", pid).exists():
                shutil.rmtree(left, ignore_errors=True)
                gone += 1
        return gone
