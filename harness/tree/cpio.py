"""The newc archive that an initrd is: folders and plain files only, the same bytes for the same content."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_HEADER = "070701" + "%08X" * 13
ALIGN = 4


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
