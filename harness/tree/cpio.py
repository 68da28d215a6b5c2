"""The newc archive that an initrd is: folders and plain files only, the same bytes for the same content; and where a
file lies in one."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_HEADER = "070701" + "%08X" * 13
ALIGN = 4
_MAGIC, _LENGTH = b"070701", 110
_SIZE, _NAME_SIZE = slice(54, 62), slice(94, 102)  # in a header, of the content and of the name with its end
_LAST = b"TRAILER!!!"


@dataclass(frozen=True)
class CpioMember:
    """A folder (no content) or a file, by bytes or by the path of a file on the host."""

    name: str
    mode: int
    content: bytes | Path | None = None


def write(out: IO[bytes], members: Iterable[CpioMember]) -> None:
    """Write an uncompressed newc archive, owned by root, dated 1970, with its trailer, padded to four bytes."""
    number = 0
    for number, member in enumerate(members, start=1):
        _write(out, number, member)
    _write(out, 0, CpioMember("TRAILER!!!", 0))


@dataclass(frozen=True)
class CpioPlace:
    """Where a file lies in an archive, in bytes from its beginning: its header, its content, and what follows it."""

    header: int
    begin: int
    size: int

    @property
    def end(self) -> int:
        """Where the next member begins."""
        return _aligned(self.begin + self.size)


def find(data: bytes, name: str) -> CpioPlace | None:
    """Return where a file lies in newc archives that follow one another, as in an initrd; None where it is in none.

    ValueError: they are damaged.
    """
    at, wanted = 0, name.encode()
    while data[at : at + len(_MAGIC)] == _MAGIC:
        head = data[at : at + _LENGTH]
        size, length = number(head[_SIZE]), number(head[_NAME_SIZE])
        called = data[at + _LENGTH : at + _LENGTH + length - 1]
        place = CpioPlace(at, _aligned(at + _LENGTH + length), size)
        if called == wanted:
            return place
        at = place.end
        if called == _LAST:
            at = data.find(_MAGIC, at) if not data[at : at + len(_MAGIC)].strip(b"\0") else at
    return None


def number(text: bytes) -> int:
    """Return a number of a header; ValueError when it is none: a minus would lead backwards."""
    if not text.isalnum():
        raise ValueError(f"{text!r} is no number of a cpio header")
    return int(text, 16)


def replaced(data: bytes, place: CpioPlace, content: bytes) -> bytes:
    """Return archives with another content of one file."""
    header = bytearray(data[place.header : place.begin])
    header[_SIZE] = b"%08X" % len(content)
    return data[: place.header] + header + content + bytes(-len(content) % ALIGN) + data[place.end :]


def _aligned(at: int) -> int:
    return at + -at % ALIGN


def _write(out: IO[bytes], inode: int, member: CpioMember) -> None:
    content = member.content
    size = 0 if content is None else len(content) if isinstance(content, bytes) else content.stat().st_size
    name = member.name.encode() + b"\0"
    kind = 0o040000 if content is None else 0o100000
    mode = kind | member.mode if inode else 0
    links = 2 if content is None and inode else 1
    fields = (inode, mode, 0, 0, links, 0, size, 0, 0, 0, 0, len(name), 0)
    header = (_HEADER % fields).encode() + name
    out.write(header + b"\0" * (-len(header) % ALIGN))
    if isinstance(content, bytes):
        out.write(content)
    elif content is not None:
        with content.open("rb") as stream:
            shutil.copyfileobj(stream, out, 1 << 20)
    out.write(b"\0" * (-size % ALIGN))
