"""Results kept by key: made once, whole or not at all, safe with two makers at once and after a kill -9.

An entry is a folder with its files and their digests. Nothing of it is used before its bytes have been compared with
them: an entry that is damaged is named, thrown away, and made again.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from harness import files
from harness.errors import HostError
from harness.text import of_error


def digest_of(value: object) -> str:
    """Return the SHA-256 (hex) of a JSON-like value in its canonical form: the key of what depends on it."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Return a file's SHA-256 (hex), or its digest by another algorithm of hashlib's."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


def file_digests(path: Path, *algorithms: str) -> list[str]:
    """Return a file's digests (hex) by several algorithms of hashlib's; it is read once."""
    found = [hashlib.new(one) for one in algorithms]
    with path.open("rb") as stream:
        while piece := stream.read(PIECE):
            for one in found:
                one.update(piece)
    return [one.hexdigest() for one in found]


PIECE = 1 << 20  # bytes that are read at once
SUMS = "SHA256SUMS"  # an entry's digests, as `sha256sum -c` takes them
CHECKED = "checked"  # what the files of an entry looked like to stat when they were found sound
# kinds whose key is the digest of their one file, SHA-256 or SHA-512 by its length
DOWNLOADS = {"debs": "package.deb", "blobs": "blob"}
ALGORITHMS = {64: "sha256", 128: "sha512"}  # by the digits of a digest
KINDS = ("images", "roots", "layers", "oci-layers", "kernels", "kernel-index", "loaders", *DOWNLOADS)
RECORDS = "resolved"
INDEXES = "apt"  # of mirrors: a folder of apt's for each


def has_digest(path: Path, digest: str) -> bool:
    """Say whether a file is there whose SHA-256 or SHA-512, by the number of digits, is `digest`."""
    algorithm = ALGORITHMS.get(len(digest))
    try:
        with path.open("rb") as stream:
            return algorithm is not None and hashlib.file_digest(stream, algorithm).hexdigest() == digest
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return False


def _files(folder: Path) -> list[str]:
    """Return the relative paths of an entry's files, sorted, without that of its digests."""
    found = [str(path.relative_to(folder)) for path in _below(folder) if not path.is_dir() or path.is_symlink()]
    return sorted(name for name in found if name != SUMS)


def _sums(folder: Path, names: Iterable[str]) -> dict[str, str]:
    return {name: file_digest(folder / name) for name in names}


def _text(sums: Mapping[str, str]) -> bytes:
    return "".join(f"{digest}  {name}\n" for name, digest in sums.items()).encode("utf-8", "surrogateescape")


def seal(folder: Path) -> None:
    """Write the digests of an entry's files into it."""
    (folder / SUMS).write_bytes(_text(_sums(folder, _files(folder))))


def damage(folder: Path) -> str:
    """Return what is wrong with an entry, such as the name of the file that is damaged; "" when it is sound."""
    file = DOWNLOADS.get(folder.parent.name)
    if file is not None:
        return "" if has_digest(folder / file, folder.name) else file
    return damage_of(folder)


def damage_of(folder: Path) -> str:
    """Return the same of a folder with digests, wherever it lies."""
    try:
        said = (folder / SUMS).read_bytes()
        names = _files(folder)
        sums = _sums(folder, names)
    except OSError as error:
        return f"{Path(error.filename or folder).name}: {error.strerror}"
    if said == _text(sums):
        return ""
    lines = set(said.splitlines())
    wrong = [name for name in names if f"{sums[name]}  {name}".encode("utf-8", "surrogateescape") not in lines]
    return wrong[0] if wrong else SUMS


def _look(folder: Path) -> dict[str, list[int]]:
    """Return what stat says of an entry's files: no write to one of them leaves all of it as it was."""
    found = {}
    for name in (*_files(folder), SUMS):
        with suppress(FileNotFoundError):
            status = (folder / name).stat()
            found[name] = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
    return found


def _below(folder: Path) -> Iterator[Path]:
    """Yield all that a folder holds; what goes meanwhile is passed over, which `rglob` does not do."""
    for place, folders, names in os.walk(folder):
        yield from (Path(place, name) for name in (*folders, *names))


def usage(*paths: Path) -> int:
    """Return the bytes that files and whole folders take on the disk, hardlinks counted once."""
    seen: dict[tuple[int, int], int] = {}
    for path in paths:
        for file in (path, *_below(path)) if path.is_dir() else (path,):
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
    """A folder of finished results, ``KIND/KEY/``; what is there is complete, for it came by one rename.

    `progress` is told of what was damaged.
    """

    def __init__(self, root: Path, progress: Callable[[str], None] = lambda _: None) -> None:
        self.root, self.progress = root, progress
        self._sound: dict[Path, dict[str, list[int]]] = {}  # entries whose bytes this object has compared

    def path(self, kind: str, key: str) -> Path:
        """Return where the result of `key` is or would be."""
        return self.root / kind / key

    def has(self, kind: str, key: str) -> bool:
        """Say whether the result of `key` is there."""
        return self.path(kind, key).is_dir()

    def make(self, kind: str, key: str, maker: Callable[[Path], None], *, unread: bool = False) -> Path:
        """Return the folder of `key`; when it is missing or damaged, let `maker` fill a fresh folder first.

        One maker runs at a time for one key, in whatever process; the others wait and take its result.
        `unread`: the caller reads none of its bytes, so that what looks to stat as it did when it was found sound
        will do. Raises HostError when the disk is full or the cache cannot be written.
        """
        self.hold()
        final = self.path(kind, key)
        if self._is_sound(final, unread=unread):
            with suppress(OSError):  # a cache that this user cannot write
                os.utime(final)  # when it was last used, for who must choose what goes
            return final
        with self.telling(kind):
            made = self._make(final, kind, key, maker)
            if unread:
                self._note(made)
            return made

    def looks_sound(self, kind: str, key: str) -> bool:
        """Say whether the result of `key` is there and looks as it did when it was found sound; reads none of it."""
        folder = self.path(kind, key)
        return folder.is_dir() and (self._sound.get(folder) or self._looked(folder)) == _look(folder)

    def find(self, kind: str, key: str) -> Path | None:
        """Return the folder of `key` if it is there and sound; what is damaged is thrown away."""
        final = self.path(kind, key)
        if not final.is_dir():
            return None
        with self.telling(kind):
            if self._is_sound(final):
                return final
            self._throw_away(final)
        return None

    def verify(self) -> Iterator[tuple[Path, str]]:
        """Compare all that is here with its digests; yield each entry, and what of it is damaged, "" for nothing."""
        for kind in KINDS:
            for folder in sorted((self.root / kind).glob("*")):
                if set(folder.name) <= set("0123456789abcdef"):  # others are not ours
                    yield folder, damage(folder)
        for folder in sorted(self.root.glob(f"{INDEXES}/*/lists")):
            yield folder, damage_of(folder)
        for path in sorted((self.root / RECORDS).glob("*.json")):
            yield path, "" if self.recall(path.stem) is not None else "the answer"

    def remember(self, key: str, value: object) -> None:
        """Keep a JSON-like value, an answer of a mirror or registry, with its digest."""
        path = self._private() / RECORDS / f"{key}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_json(path, {"sha256": digest_of(value), "value": value}, mode=0o600)

    def recall(self, key: str) -> Any:
        """Return the value that was kept for `key`; None when there is none, or it is damaged."""
        path = self.root / RECORDS / f"{key}.json"
        try:
            data = json.loads(path.read_bytes())
            if data["sha256"] == digest_of(data["value"]):
                return data["value"]
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            pass
        self.progress(f"{RECORDS}/{path.name} is damaged in the cache: asking again")
        return None

    def _is_sound(self, folder: Path, *, unread: bool = False) -> bool:
        if not folder.is_dir():
            return False
        look = _look(folder)
        if look in (self._sound.get(folder), self._looked(folder) if unread else None):
            return True
        if damage(folder):
            return False
        self._sound[folder] = look
        if unread:
            self._note(folder)
        return True

    def _looked(self, folder: Path) -> dict[str, list[int]] | None:
        try:
            found = json.loads((self.root / CHECKED / f"{folder.name}.json").read_bytes())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def _note(self, folder: Path) -> None:
        """Leave a note that this is what an entry looks like whose bytes have just been compared."""
        with suppress(OSError):  # a cache that this user cannot write: it is read again next time
            path = self.root / CHECKED / f"{folder.name}.json"
            path.parent.mkdir(exist_ok=True)
            files.write_json(path, self._sound[folder])

    def _throw_away(self, folder: Path) -> None:
        wrong = damage(folder)
        if wrong:  # else another process has just made it again
            name = f"{folder.parent.name}/{folder.name[:16]}"
            self.progress(f"{name} is damaged in the cache ({wrong}): thrown away, to be had again")
            self._sound.pop(folder, None)
            self.discard(folder)

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

    def _private(self) -> Path:
        """Return the store's folder, made for its user alone: private registries' and hosts' files lie in it."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self.root

    def _users(self) -> IO[str]:
        locks = self._private() / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        return (locks / "users").open("a")

    def discard(self, path: Path) -> None:
        """Remove `path`, a result's folder or a file, at once or not at all, as others see it."""
        (self.root / "tmp").mkdir(parents=True, exist_ok=True)
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
                    f"cannot write to the cache: {of_error(error)}", hint="set HARNESS_CACHE to a folder you may write"
                ) from error
            raise

    def _full(self, what: str) -> HostError:
        return HostError(
            f"the disk is full: could not write {what} into {self.root}",
            hint="free space there, `harness clean`, or set HARNESS_CACHE to a folder on another disk",
        )

    def _make(self, final: Path, kind: str, key: str, maker: Callable[[Path], None]) -> Path:
        from filelock import FileLock  # here, for a build of nothing must start quickly

        locks, scratch = self._private() / "locks", self.root / "tmp"
        for folder in (final.parent, locks, scratch):
            folder.mkdir(parents=True, exist_ok=True)
        with FileLock(locks / f"{kind}-{key}.lock"):
            if self._is_sound(final):
                return final
            if final.is_dir():
                self._throw_away(final)
            # what a killed maker leaves here is swept by `sweep`
            # (made for its user alone, and so it stays, wherever the cache lies: see `_private`)
            work = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-{kind}-", dir=scratch))
            try:
                maker(work)
                if kind not in DOWNLOADS:  # those have been compared with their key as they came
                    seal(work)
                work.replace(final)
                self._sound[final] = _look(final)
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
