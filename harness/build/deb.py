"""A .deb read as a stream: its files as nodes whose content lies in a spool, nothing unpacked by name."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import posixpath
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, cast

from harness.errors import HostError
from harness.tree.tree import Slice, TreeNode

MAX_FILE = 512 << 20
MAX_UNPACKED = 2 << 30
MAX_MEMBERS = 200_000
# Debian 12's packages still ship the folders that its installed systems have merged into /usr.
MERGED = frozenset({"bin", "sbin", "lib", "lib32", "lib64", "libx32"})


class BadPackageError(HostError):
    """A package that is damaged or hostile."""


def merged(path: str) -> str:
    """Return `path` (relative) as it is named after the merge of / and /usr."""
    return f"usr/{path}" if path.split("/", 1)[0] in MERGED else path


def member_path(name: str, package: str) -> str:
    """Return a member's path in the merged tree, "" for the root; BadPackageError when it could leave the tree."""
    path = posixpath.normpath(name.removeprefix("./") or ".")
    if name.startswith("/") or ".." in name.split("/") or "\0" in name:
        raise BadPackageError(f"package {package} holds the path {name!r}, which leads out of its tree")
    return "" if path == "." else merged(path)


class _Window(io.RawIOBase):
    """The next `size` bytes of a stream, and no more."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self._stream, self._left = stream, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        data = self._stream.read(min(len(view), self._left))
        view[: len(data)] = data
        self._left -= len(data)
        return len(data)


@contextmanager
def _data(path: Path, package: str) -> Iterator[IO[bytes]]:
    with path.open("rb") as stream:
        if stream.read(8) != b"!<arch>\n":
            raise BadPackageError(f"package {package} is no .deb", details=str(path))
        while header := stream.read(60):
            name, size = header[:16].decode("latin-1").strip().rstrip("/"), header[48:58]
            if len(header) != 60 or header[58:] != b"`\n" or not size.strip().isdigit():
                break
            length = int(size)
            if name.startswith("data.tar"):
                window = io.BufferedReader(_Window(stream, length), 1 << 16)
                yield _unpacker(name, window, package)
                return
            stream.seek(length + length % 2, io.SEEK_CUR)
    raise BadPackageError(f"package {package} has no data: the .deb is damaged", details=str(path))


def _unpacker(name: str, stream: IO[bytes], package: str) -> IO[bytes]:
    ending = name.removeprefix("data.tar")
    if ending == ".xz":
        return lzma.open(stream)
    if ending == ".gz":
        return cast(IO[bytes], gzip.open(stream))
    if ending == "":
        return stream
    raise BadPackageError(
        f"package {package} is compressed as {ending[1:]}, which is not supported", hint="take a suite of Debian"
    )


def read(path: Path, package: str, spool: IO[bytes], spool_path: Path) -> dict[str, TreeNode]:
    """Return the package's paths (merged into /usr) with their nodes; contents are appended to `spool`.

    Raises BadPackageError for a damaged .deb, a path that leads out, a device, or more than the limits above.
    """
    nodes: dict[str, TreeNode] = {}
    total = 0
    try:
        with _data(path, package) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            for number, member in enumerate(archive):
                total += member.size
                if number > MAX_MEMBERS or member.size > MAX_FILE or total > MAX_UNPACKED:
                    raise BadPackageError(f"package {package} is too large to unpack")
                place = member_path(member.name, package)
                if place:
                    nodes[place] = _node(member, archive, package, nodes, (spool, spool_path))
    except (tarfile.TarError, lzma.LZMAError, EOFError, gzip.BadGzipFile, UnicodeError) as error:
        raise BadPackageError(f"package {package} is damaged: {error}", details=str(path)) from error
    return nodes


def _node(
    member: tarfile.TarInfo,
    archive: tarfile.TarFile,
    package: str,
    nodes: dict[str, TreeNode],
    spool: tuple[IO[bytes], Path],
) -> TreeNode:
    pax = tuple(sorted(pair for pair in member.pax_headers.items() if pair[0].startswith("SCHILY.xattr.")))
    base = TreeNode(member.type, member.mode & 0o7777, member.uid, member.gid, pax=pax)
    if member.isdir():
        return base
    if member.issym():
        return replace(base, mode=0o777, target=member.linkname)
    if member.islnk():
        target = nodes.get(member_path(member.linkname, package))
        if target is None or target.content is None:
            raise BadPackageError(f"package {package}: {member.name!r} is a hardlink to nothing")
        return target
    content = archive.extractfile(member) if member.isfile() else None
    if content is None:
        raise BadPackageError(f"package {package} holds {member.name!r}, which is neither file, folder nor link")
    stream, path = spool
    offset, digest, size = stream.tell(), hashlib.sha256(), 0
    while block := content.read(1 << 20):
        digest.update(block)
        size += stream.write(block)
    return replace(base, type=tarfile.REGTYPE, content=Slice(path, offset, size), digest=digest.hexdigest())
