"""Results kept by key: made once, whole or not at all, safe with two makers at once and after a kill -9."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from harness.errors import HostError


def digest_of(value: object) -> str:
    """Return the SHA-256 (hex) of a JSON-like value in its canonical form: the key of what depends on it."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """Return a file's SHA-256 (hex)."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def usage(*paths: Path) -> int:
    """Return the bytes that files and whole folders take on the disk, hardlinks counted once."""
    seen: dict[tuple[int, int], int] = {}
    for path in paths:
        for file in (path, *path.rglob("*")) if path.is_dir() else (path,):
            try:
                status = file.lstat()
            except OSError:
                continue  # gone meanwhile: somebody is building
            seen[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(seen.values())


_held: dict[Path, IO[str]] = {}  # what this process uses, until it ends


def _holders(inode: int) -> list[int]:
    try:
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return []
    # such as: 1: FLOCK  ADVISORY  READ 1234 08:01:5678 0 EOF
    rows = [line.split() for line in lines if "->" not in line]
    return sorted({int(row[4]) for row in rows if len(row) > 5 and row[5].endswith(f":{inode}")})


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
        self.hold()
        final = self.path(kind, key)
        if final.is_dir():
            with suppress(OSError):  # a cache that this user cannot write
                os.utime(final)  # when it was last used, for who must choose what goes
            return final
        with self.telling(kind):
            return self._make(final, kind, key, maker)

    def hold(self) -> None:
        """Keep `alone` of other processes away for as long as this process lives: it uses what is here."""
        if self.root in _held:
            return
        try:
            stream = self._users()
        except OSError:
            return  # a cache that this user cannot write is not cleaned by this user either
        fcntl.flock(stream, fcntl.LOCK_SH)
        _held[self.root] = stream

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Have the store to oneself: others wait. HostError when a process is using it."""
        with self._users() as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                users = ", ".join(map(str, _holders(os.fstat(stream.fileno()).st_ino))) or "unknown"
                raise HostError(
                    f"the cache is in use: {self.root}",
                    details=f"by the processes: {users}",
                    hint="wait until they have ended, or end them",
                ) from None
            yield

    def _users(self) -> IO[str]:
        locks = self.root / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        return (locks / "users").open("a")

    def discard(self, path: Path) -> None:
        """Remove `path`, a result's folder or a file, at once or not at all, as others see it."""
        (self.root / "tmp").mkdir(exist_ok=True)
        # should this be killed halfway, `sweep` takes the rest
        grave = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-discard-", dir=self.root / "tmp"))
        path.replace(grave / path.name)
        shutil.rmtree(grave)

    @contextmanager
    def telling(self, what: str) -> Iterator[None]:
        """Turn a full disk and a cache that cannot be written, met while writing `what`, into HostError."""
        try:
            yield
        except HostError as error:
            # a program that wrote there tells it in its own words
            if os.strerror(errno.ENOSPC) in error.details:
                raise self._full(what) from error
            raise
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise self._full(what) from error
            if error.errno in (errno.EACCES, errno.EROFS, errno.ENOTDIR):
                raise HostError(
                    f"cannot write to the cache: {error}", hint="set HARNESS_CACHE to a folder you may write"
                ) from error
            raise

    def _full(self, what: str) -> HostError:
        return HostError(
            f"the disk is full: could not write {what} into {self.root}",
            hint="free space there, `harness clean`, or set HARNESS_CACHE to a folder on another disk",
        )

    def _make(self, final: Path, kind: str, key: str, maker: Callable[[Path], None]) -> Path:
        from filelock import FileLock  # here, for a build of nothing must start quickly

        locks, scratch = self.root / "locks", self.root / "tmp"
        for folder in (final.parent, locks, scratch):
            folder.mkdir(parents=True, exist_ok=True)
        with FileLock(locks / f"{kind}-{key}.lock"):
            if final.is_dir():
                return final
            # what a killed maker leaves here is swept by `sweep`
            work = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-{kind}-", dir=scratch))
            try:
                work.chmod(0o755)
                maker(work)
                work.replace(final)
            finally:
                shutil.rmtree(work, ignore_errors=True)
        return final

    def sweep(self) -> int:
        """Remove what killed makers left behind; return how many folders went: none while a process uses the store.

        Whether a maker lives is asked of its lock, which ends with it: its pid may mean another process in a container.
        """
        try:
            with self.alone():
                left = list((self.root / "tmp").glob("*-*"))
                for folder in left:
                    shutil.rmtree(folder, ignore_errors=True)
                return len(left)
        except (HostError, OSError):
            return 0  # in use, or not this user's to write
