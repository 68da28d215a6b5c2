"""An evidence archive: one ``.tar.zst`` of which every bit is accounted for, and which no reader has to believe.

It is two frames of zstd (RFC 8878), which ``tar --zstd`` and ``zstd`` read as one. The first is not compressed, and
holds ``envelope.json`` alone: what was signed. That names the second frame's SHA-256, and every file in it with its
size and its SHA-256. So a reader knows each byte of the tar before it reads it: it compares headers, and parses none.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any, cast

from harness.certify import contents
from harness.certify.contents import ArchiveMember
from harness.errors import EvidenceError, UserError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ENVELOPE = "envelope.json"
LEVEL = 9
BLOCK = 512
CHUNK = 1 << 20
MAX_ENVELOPE = 4 << 20  # bytes
_MAGIC = bytes.fromhex("28b52ffd")
_DESCRIPTOR = 0xE0  # the size in eight bytes, one segment, no checksum, no dictionary
_RAW_BLOCK = 0x20000  # bytes at most, RFC 8878, 3.1.1.2.4
_HEAD = 16 + BLOCK  # bytes up to the end of the first tar header
_END = bytes(2 * BLOCK)
_ZEROS = bytes(CHUNK)
# A stranger's frame could ask for 2 GiB of memory.
_BOUNDED: dict[int, int] = {zstd.DecompressionParameter.window_log_max: 25}


@dataclass(frozen=True)
class Body:
    """The second frame: the digest and size of its bytes, and the files in it, by name."""

    sha256: str
    size: int
    members: tuple[ArchiveMember, ...]


def pack(files: Mapping[str, Path | bytes], out: Path) -> Body:
    """Write the second frame of `files` by name to `out`: sorted, without times and owners.

    UserError: it cannot be written, or holds what a reader would refuse.
    """
    if not safe(list(files)):
        raise UserError("a file's name is one that no evidence can hold", details="\n".join(sorted(files)))
    members = []
    try:
        with zstd.open(out, "wb", level=LEVEL) as stream:
            for name in sorted(files):
                members.append(_add(cast(IO[bytes], stream), name, files[name]))
            stream.write(_END)
        with out.open("rb") as packed:
            digest = hashlib.file_digest(packed, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"cannot write {error.filename or out}: {error.strerror}") from error
    body = Body(digest, out.stat().st_size, tuple(members))
    if why := contents.refusal(members, body.size):
        raise UserError(
            f"the evidence would hold {why}", hint="a disk as qcow2 leaves out what is empty; names are plain ASCII"
        )
    return body


def _add(stream: IO[bytes], name: str, content: Path | bytes) -> ArchiveMember:
    size = len(content) if isinstance(content, bytes) else content.stat().st_size
    stream.write(_header(name, size))
    digest = hashlib.sha256()
    with BytesIO(content) if isinstance(content, bytes) else content.open("rb") as source:
        left = size
        while left:
            data = source.read(min(CHUNK, left))
            if not data:
                raise OSError(0, "the file became shorter while it was read", str(content))
            digest.update(data)
            stream.write(data)
            left -= len(data)
    stream.write(bytes(-size % BLOCK))
    return ArchiveMember(name, size, digest.hexdigest())


def _header(name: str, size: int) -> bytes:
    """Return the tar header of a file: its name and size, and no time and no owner."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict")


def envelope_frame(content: bytes) -> bytes:
    """Return the first frame: a tar's beginning with ``envelope.json`` in it, each byte given by `content`."""
    data = _header(ENVELOPE, len(content)) + content + bytes(-len(content) % BLOCK)
    blocks = [data[at : at + _RAW_BLOCK] for at in range(0, len(data), _RAW_BLOCK)]
    parts = [_MAGIC, bytes([_DESCRIPTOR]), struct.pack("<Q", len(data))]
    for number, block in enumerate(blocks, 1):
        parts += [(len(block) << 3 | (number == len(blocks))).to_bytes(3, "little"), block]
    return b"".join(parts)


def join(envelope: bytes, body: Path, out: Path) -> None:
    """Write an archive of its two frames by one rename. UserError where it cannot be written."""
    scratch = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with scratch.open("wb") as stream, body.open("rb") as packed:
            stream.write(envelope_frame(envelope))
            while data := packed.read(CHUNK):
                stream.write(data)
        scratch.replace(out)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise UserError(f"cannot write {out}: {error.strerror}", hint="-o FILE.tar.zst") from error


@contextmanager
def opened(path: Path) -> Iterator[tuple[bytes, IO[bytes]]]:
    """Give an archive's envelope and, where its second frame begins, the file.

    UserError: it cannot be read, or is not an evidence archive at all; EvidenceError: it is not as it was written.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            raise UserError(f"{path} is not an evidence archive: it is not a file")
        with path.open("rb") as stream:
            yield _envelope(stream), stream
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error


def _envelope(stream: IO[bytes]) -> bytes:
    start = stream.read(_HEAD)
    name = start[_HEAD - BLOCK :][: len(ENVELOPE) + 1]
    if len(start) < _HEAD or start[:5] != _MAGIC + bytes([_DESCRIPTOR]) or name != f"{ENVELOPE}\0".encode():
        raise UserError(
            f"{stream.name} is not an evidence archive", hint="harness verify takes what harness certify wrote"
        )
    size: int = struct.unpack("<Q", start[5:13])[0]
    if not BLOCK < size <= MAX_ENVELOPE or size % BLOCK:
        raise changed(ENVELOPE, f"it says that it takes {size} bytes")
    count = -(-size // _RAW_BLOCK)
    frame = start + stream.read(13 + size + 3 * count - _HEAD)
    # the content's length is in its header, and that is compared below with all else
    first = frame[16 : 16 + BLOCK]
    try:
        length = int(first[124:135], 8)
    except ValueError:
        raise changed(ENVELOPE, "its header is damaged") from None
    payload = b"".join(frame[16 + at * (_RAW_BLOCK + 3) :][:_RAW_BLOCK] for at in range(count))
    content = payload[BLOCK : BLOCK + length]
    if len(content) != length or envelope_frame(content) != frame:
        raise changed(ENVELOPE, "what stands around it is not as it was written")
    return content


def changed(name: str, how: str) -> EvidenceError:
    """Return the error that names what is not as it was signed."""
    return EvidenceError(f"{name} was changed: {how}", hint="ask whoever gave you the archive for a whole one")


class _Hashing:
    """The second frame's bytes on their way to the decompressor."""

    def __init__(self, stream: IO[bytes], most: int) -> None:
        self._stream, self._left = stream, most
        self.digest, self.size = hashlib.sha256(), 0

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(min(CHUNK if size < 0 else size, self._left))
        self._left -= len(data)
        self.digest.update(data)
        self.size += len(data)
        return data


Take = Callable[[ArchiveMember], IO[bytes] | None]


def read(stream: IO[bytes], body: Body, take: Take) -> None:
    """Read the second frame and compare all of it with what was signed; EvidenceError names what was changed.

    `take` returns where a file's bytes go, or None; they are only to be believed when this has returned.
    """
    left = os.fstat(stream.fileno()).st_size - stream.tell()
    if left < body.size:
        raise changed("the archive's compressed data", f"it has {left} bytes, not {body.size}")
    source = _Hashing(stream, body.size)
    at = "the archive's compressed data"
    try:
        with zstd.open(cast(Any, source), "rb", options=_BOUNDED) as data:
            for member in body.members:
                at = member.name
                with take(member) or BytesIO() as sink:
                    _member(cast(IO[bytes], data), member, sink)
            at = "the archive's end"
            if data.read(len(_END)) != _END or data.read(1):
                raise changed(at, "it is not as it was written")
    except (zstd.ZstdError, EOFError) as error:
        raise changed(at, f"it cannot be unpacked ({error})") from error
    while source.read():
        pass  # what the decompressor did not want counts all the same
    if stream.read(1):
        raise changed("the archive's end", "more follows")
    if source.size != body.size or source.digest.hexdigest() != body.sha256:
        raise changed("the archive's compressed data", "it unpacks to the same, but is not as it was written")


def _member(data: IO[bytes], member: ArchiveMember, sink: IO[bytes]) -> None:
    if _exactly(data, BLOCK) != _header(member.name, member.size):
        raise changed(member.name, "its header in the tar is not as it was written")
    digest, left = hashlib.sha256(), member.size
    keep = not isinstance(sink, BytesIO)
    while left:
        part = _exactly(data, min(CHUNK, left))
        digest.update(part)
        if not keep:
            pass
        elif part == _ZEROS[: len(part)]:
            sink.seek(len(part), os.SEEK_CUR)  # a hole takes no room
        else:
            sink.write(part)
        left -= len(part)
    if keep:
        sink.truncate()
    if digest.hexdigest() != member.sha256 or any(_exactly(data, -member.size % BLOCK)):
        raise changed(member.name, "its SHA-256 is not the one that was signed")


def _exactly(data: IO[bytes], size: int) -> bytes:
    parts, left = [], size
    while left:
        part = data.read(left)
        if not part:
            raise EOFError("it ends too early")
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def safe(names: Sequence[str]) -> bool:
    """Say whether names can be files of one folder: relative, plain, each once, and none another's folder."""
    folders = {"/".join(name.split("/")[:count]) for name in names for count in range(1, name.count("/") + 1)}
    return len(set(names)) == len(names) and not folders & set(names) and all(map(_plain, names))


def _plain(name: str) -> bool:
    parts = name.split("/")
    return len(name) <= 100 and name.isascii() and name.isprintable() and all(
        part and part not in (".", "..") and "\\" not in part for part in parts
    )  # fmt: skip
