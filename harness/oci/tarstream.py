"""A tar as a stream of members, read strictly and in bounded memory.

The standard library's tarfile is not used: it reads a header of any length into memory, searches it in quadratic time,
and takes a damaged header for the end of the archive. The format is POSIX.1-2001's (pax) with GNU tar's long names.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple, Protocol
from zlib import adler32

from harness.oci import sparse

BLOCK = 512
CHUNK = 1 << 20
MAX_HEADER = 1 << 20  # bytes of one extended header: the kernel lets one file have 64 KiB of extended attributes
MAX_PATH = 4096  # Linux's PATH_MAX, the end included
XATTR = "SCHILY.xattr."
_ZERO = bytes(BLOCK)
_NUMBER = re.compile(r"[0-9]{1,20}")
_BARE = (tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE)  # nothing follows their header
DEVICES = (tarfile.CHRTYPE, tarfile.BLKTYPE)
MAX_TIME = 2**32 - 1  # seconds since 1970: what a squashfs holds
_TIME = re.compile(r"-?[0-9]{1,20}(\.[0-9]*)?")


class BadTarError(Exception):
    """A tar that is damaged, or says what no honest layer says; its text says what, ``member`` where."""

    def __init__(self, what: str, member: str = "") -> None:
        super().__init__(what)
        self.member = member


class TarSource(Protocol):
    """What a tar is read from."""

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes, fewer only at the end."""
        ...


class TarMember(NamedTuple):
    """A member's header. ``type`` is tarfile's letter; ``size`` the bytes that follow; ``xattrs`` pax records.

    ``mtime`` is in whole seconds since 1970; what lies outside of 0 to 2³²-1 is the nearest of these.
    """

    name: str
    type: bytes
    mode: int
    uid: int
    gid: int
    size: int
    target: str
    xattrs: tuple[tuple[str, str], ...]
    mtime: int = 0


class Tar:
    """Reads one tar: `members` yields headers, `content` the bytes of the member that came last.

    `holes` is told of those of a sparse file, in bytes, before they are read; without it such a file is refused.
    """

    def __init__(self, source: TarSource, holes: Callable[[int], None] | None = None) -> None:
        self._source, self._holes = source, holes
        self._runs: list[tuple[int, int]] = []  # what is left of a member: zeros, then bytes of the tar; the next last
        self._padding = 0

    def members(self) -> Iterator[TarMember]:
        """Yield the members in order; BadTarError at the first that is wrong."""
        extended: dict[str, str] = {}
        while (block := self._header()) is not None:
            kind, size = block[156:157], _number(block[124:136], "size")
            if kind in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
                extended |= _records(self._extended(size))
            elif kind == tarfile.XGLTYPE:
                self._extended(size)  # as Go's reader, and so Docker: it says nothing of a member
            elif kind in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
                if size > MAX_PATH:
                    raise BadTarError(f"a name of {size} bytes", _text(block[:100]))
                key = "path" if kind == tarfile.GNUTYPE_LONGNAME else "linkpath"
                extended[key] = _text(self._extended(size))
            else:
                member = _member(block, kind, size, extended)
                self._runs, packed = [(0, member.size)] if member.size else [], member.size
                if kind == tarfile.GNUTYPE_SPARSE or any(map(_is_sparse, extended)):
                    member, packed = self._sparse(block, member, extended)
                extended = {}
                self._padding = -packed % BLOCK
                yield member
                for _ in self.content():
                    pass
                self._take(self._padding)
        if extended:
            raise BadTarError("ends where a member should follow its extended header")

    def content(self) -> Iterator[bytes]:
        """Yield what is left of the last member's content, in pieces of at most 1 MiB."""
        while self._runs:
            zeros, size = self._runs[-1]
            if zeros:
                piece = bytes(min(zeros, CHUNK))
                self._runs[-1] = zeros - len(piece), size
            elif size:
                piece = self._source.read(min(size, CHUNK))
                if not piece:
                    raise BadTarError("is cut short")
                self._runs[-1] = 0, size - len(piece)
            else:
                self._runs.pop()
                continue
            yield piece

    def _sparse(self, block: bytes, member: TarMember, records: dict[str, str]) -> tuple[TarMember, int]:
        """Return a sparse file as what it is unpacked, and how many bytes of it follow."""
        name = records.get(f"{sparse.PREFIX}name", member.name)
        try:
            if self._holes is None:
                raise ValueError("which nobody writes into such an archive")
            if block[156:157] == tarfile.GNUTYPE_SPARSE:
                found = sparse.of_header(block, member.size, self._take, lambda field: _number(field, "size"))
            elif member.type == tarfile.REGTYPE:
                found = sparse.of_records(records, member.size, self._take)
            else:
                raise ValueError("that is no file")
        except ValueError as error:
            raise BadTarError(f"is a sparse file {error}", name) from None
        self._holes(found.size - found.packed)
        self._runs = list(reversed(found.runs))
        return member._replace(name=name, type=tarfile.REGTYPE, size=found.size), found.packed

    def _header(self) -> bytes | None:
        block = self._source.read(BLOCK)
        if not block:
            return None
        if len(block) != BLOCK:
            raise BadTarError("is cut short")
        if block == _ZERO:
            while rest := self._source.read(CHUNK):
                if rest.count(0) != len(rest):
                    raise BadTarError("something is hidden behind its end")
            return None
        if _number(block[148:156], "checksum") != _sum(block) - sum(block[148:156]) + 8 * ord(" "):
            raise BadTarError("a header's checksum is wrong")
        return block

    def _extended(self, size: int) -> bytes:
        if size > MAX_HEADER:
            raise BadTarError(f"an extended header of {size} bytes")
        return self._take(size + -size % BLOCK)[:size]

    def _take(self, size: int) -> bytes:
        data = self._source.read(size)
        if len(data) != size:
            raise BadTarError("is cut short")
        return data


def _is_sparse(key: str) -> bool:
    return key.startswith(sparse.PREFIX)


def _sum(block: bytes) -> int:
    """Return the sum of a block's bytes: of 256 of them it is the lower half of an Adler-32 less one (RFC 1950)."""
    return (adler32(block[:256]) & 0xFFFF) + (adler32(block[256:]) & 0xFFFF) - 2


def _text(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


@lru_cache(maxsize=8192)  # owners, modes and times are few in a layer
def _number(field: bytes, what: str) -> int:
    """Return a header's number: octal digits, or GNU tar's binary form."""
    if field[0] & 0x80:
        if field[0] == 0xFF:
            raise BadTarError(f"a negative {what}")
        return int.from_bytes(bytes((field[0] & 0x7F,)) + field[1:], "big")
    digits = field.strip(b" \0")
    if not digits:
        return 0
    with suppress(ValueError):
        if digits.isdigit():
            return int(digits, 8)
    raise BadTarError(f"a {what} that is not a number: {digits.decode('latin-1')!r}")


def _records(data: bytes) -> dict[str, str]:
    """Read an extended header: records of `LENGTH KEY=VALUE` and a line end, the length that of the whole record."""
    found: dict[str, str] = {}
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + 8)
        length = data[at:space] if space > 0 else b""
        end = at + int(length) if length.isdigit() else 0
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not space + 1 < end <= len(data) or not equals or not key or data[end - 1] != ord("\n"):
            raise BadTarError("an extended header that is damaged")
        found[key.decode("utf-8", "surrogateescape")] = value.decode("utf-8", "surrogateescape")
        at = end
    return found


def _member(block: bytes, kind: bytes, size: int, extended: dict[str, str]) -> TarMember:
    name = _text(block[:100])
    prefix = _text(block[345:500]) if block[257:263] == b"ustar\0" else ""
    name = f"{prefix}/{name}" if prefix else name
    if extended:
        name = extended.get("path", name)
    try:
        mode = _number(block[100:108], "mode") & 0o7777
        size = _either(extended, "size", size)
        uid = _either(extended, "uid", block[108:116])
        gid = _either(extended, "gid", block[116:124])
    except BadTarError as error:
        raise BadTarError(str(error), name) from None
    if kind in (tarfile.AREGTYPE, tarfile.CONTTYPE):
        kind = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
    if kind in _BARE or kind in DEVICES:
        size = 0
    elif kind not in (tarfile.REGTYPE, tarfile.GNUTYPE_SPARSE):
        raise BadTarError(f"is of the unknown type {kind!r}", name)
    target = _text(block[157:257])
    xattrs: tuple[tuple[str, str], ...] = ()
    if extended:
        target = extended.get("linkpath", target)
        xattrs = tuple(sorted((key, value) for key, value in extended.items() if key.startswith(XATTR)))
    mtime = _time(extended.get("mtime"), block[136:148], name)
    return TarMember(name, kind, mode, uid, gid, size, target, xattrs, mtime)


def _either(extended: dict[str, str], key: str, field: bytes | int) -> int:
    """Return a number of an extended header, or else that of the header's own field."""
    said = extended.get(key) if extended else None
    if said is None:
        return field if isinstance(field, int) else _number(field, key)
    if not _NUMBER.fullmatch(said):
        raise BadTarError(f"a negative {key}" if said.startswith("-") else f"the {key} {said[:40]!r}")
    return int(said)


def _time(said: str | None, field: bytes, name: str) -> int:
    """Return a member's time of change: that of its extended header, which may have a fraction, or the header's own."""
    if said is None:
        # GNU tar writes what is before 1970 as a two's complement
        return 0 if field[0] & 0xC0 == 0xC0 else min(_number(field, "mtime"), MAX_TIME)
    if not _TIME.fullmatch(said):
        raise BadTarError(f"the mtime {said[:40]!r}", name)
    return 0 if said.startswith("-") else min(int(said.partition(".")[0]), MAX_TIME)
