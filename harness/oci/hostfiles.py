"""The named parts of an image that lies on the host: files of a folder, or members of an archive."""

from __future__ import annotations

import gzip
import os
import posixpath
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import IO, Protocol

from harness.errors import ImageError, UserError
from harness.files import regular
from harness.oci.blobs import CHUNK, Receiver
from harness.oci.tarstream import BadTarError, Tar, TarMember

MOST_MEMBERS = 10_000  # of an archive: three for each layer, and some
LARGEST_ARCHIVE = 128 << 30  # bytes, unpacked
MOST_LINKS = 5  # from one member to another: `docker save` links a layer that it has saved already
GZIP = b"\x1f\x8b"


class OpenPart:
    """One of the parts, open to be read: ``size`` bytes of it are left."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self._stream, self.size = stream, size

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes, fewer at the end."""
        data = self._stream.read(min(size, self.size))
        self.size = self.size - len(data) if data else 0
        return data

    def chunks(self) -> Iterator[bytes]:
        """Give all that is left."""
        while data := self.read(CHUNK):
            yield data


class HostFiles(Protocol):
    """The parts by their names."""

    def open(self, name: str) -> AbstractContextManager[OpenPart]:
        """Give a part. Raises FileNotFoundError when it is not there."""
        ...

    def close(self) -> None:
        """Let go of what is open."""
        ...


class Folder:
    """The files of a folder. Raises UserError when there is none."""

    def __init__(self, root: Path) -> None:
        self.root = root
        if not root.is_dir():
            raise UserError(f"there is no folder {root}")

    @contextmanager
    def open(self, name: str) -> Iterator[OpenPart]:
        """Give a file."""
        with _regular(self.root / name) as stream:
            yield OpenPart(stream, os.fstat(stream.fileno()).st_size)

    def close(self) -> None:
        """Nothing is open."""


class Archive:
    """The members of a tar, plain or packed with gzip; one that is packed is unpacked into `scratch` first.

    Raises UserError when there is no such file, ImageError when it is no such archive.
    """

    def __init__(self, path: Path, scratch: Path) -> None:
        self._path = path
        self._work: Path | None = None
        try:
            with _regular(path) as stream:
                packed = stream.read(len(GZIP)) == GZIP
            if packed:
                scratch.mkdir(parents=True, exist_ok=True)
                self._work = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-archive-", dir=scratch))
                _unpack(path, self._work / "archive.tar")
            self._members = self._index()
        except FileNotFoundError:
            raise UserError(f"there is no {path}") from None
        except (BadTarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
            self.close()
            raise ImageError(f"{path} is not a tar archive: {error}") from None
        except BaseException:
            self.close()
            raise

    def _tar(self) -> Path:
        return self._work / "archive.tar" if self._work else self._path

    def _index(self) -> dict[str, tuple[TarMember, int]]:
        found: dict[str, tuple[TarMember, int]] = {}
        with _regular(self._tar()) as stream:
            for member in Tar(stream).members():
                found[posixpath.normpath(member.name)] = (member, stream.tell())
                if len(found) > MOST_MEMBERS:
                    raise BadTarError(f"more than {MOST_MEMBERS} members")
        return found

    @contextmanager
    def open(self, name: str) -> Iterator[OpenPart]:
        """Give a member, also by a link to it."""
        for _ in range(MOST_LINKS + 1):
            member, offset = self._members.get(posixpath.normpath(name), (None, 0))
            if member is not None and member.type == tarfile.REGTYPE:
                with _regular(self._tar()) as stream:
                    stream.seek(offset)
                    yield OpenPart(stream, member.size)
                return
            if member is None or member.type not in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                break
            here = posixpath.dirname(name) if member.type == tarfile.SYMTYPE else ""
            name = posixpath.join(here, member.target)
        raise FileNotFoundError(name)

    def close(self) -> None:
        """Remove what was unpacked."""
        if self._work:
            shutil.rmtree(self._work, ignore_errors=True)


@contextmanager
def _regular(path: Path) -> Iterator[IO[bytes]]:
    """Open a plain file; FileNotFoundError: there is none."""
    with ExitStack() as stack:
        try:
            stream = stack.enter_context(regular(path))
        except (FileNotFoundError, NotADirectoryError):
            raise FileNotFoundError(path) from None
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}") from None
        yield stream


def _unpack(path: Path, target: Path) -> None:
    with gzip.open(path) as packed, target.open("wb") as plain:
        size = 0
        while data := packed.read(CHUNK):
            size += len(data)
            if size > LARGEST_ARCHIVE:
                raise BadTarError(f"it unpacks to more than {LARGEST_ARCHIVE} bytes")
            plain.write(data)


def read_all(files: HostFiles, name: str, limit: int, what: str) -> bytes:
    """Return a part whole. Raises ImageError, which calls the image `what`, when it is absent or over `limit` bytes."""
    with opened(files, name, what) as part:
        if part.size > limit:
            raise ImageError(f"{what}: {name[:200]!r} is larger than {limit} bytes")
        return b"".join(part.chunks())


@contextmanager
def opened(files: HostFiles, name: str, what: str) -> Iterator[OpenPart]:
    """Give a part. Raises ImageError, which calls the image `what`, when it is absent."""
    try:
        with files.open(name) as part:
            yield part
    except FileNotFoundError:
        raise ImageError(
            f"{what} has no {name[:200]!r}", hint="it is damaged, or of another kind: make it again"
        ) from None


def send(files: HostFiles, name: str, receiver: Receiver, what: str) -> None:
    """Send a part to the store. Raises ImageError when it is absent, ContentError when it is another."""
    receiver.restart()
    with opened(files, name, what) as part:
        for data in part.chunks():
            receiver.write(data)
