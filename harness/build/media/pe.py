"""A unified kernel image: systemd's EFI stub with kernel, initrd and command line as further sections of it.

The stub (systemd-stub(7), UAPI group's specification UKI) finds them by name. Offsets are those of the PE and COFF
specification; no tool of the other architecture is needed to append a section.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from harness.errors import HostError

_NEW_HEADER = 0x3C  # where the PE header's offset stands
_HEADER = struct.Struct("<4sHHIIIHH")  # signature; machine, sections, time, symbols (at, number), optional size, flags
_SECTION = struct.Struct("<8sIIIIIIHHI")  # name, size, address, raw size, raw at, -, -, -, -, flags
_ALIGNMENTS, _IMAGE_SIZE, _HEADERS_SIZE, _CHECKSUM = 32, 56, 60, 64  # within the optional header
_READ_ONLY_DATA = 0x40000040
_PAGE = 4096


@dataclass(frozen=True)
class Section:
    """A section's bytes in the file: where they begin, and how many they are."""

    at: int
    size: int


def sections(data: bytes) -> dict[str, Section]:
    """Return a PE file's sections by name. HostError when it is none."""
    table, count, _ = _table(data)
    rows = (_SECTION.unpack_from(data, table + number * _SECTION.size) for number in range(count))
    return {row[0].rstrip(b"\0").decode("ascii", "replace"): Section(row[4], row[1]) for row in rows}


def unify(stub: bytes, parts: Mapping[str, bytes]) -> bytes:
    """Return `stub` with a section for each of `parts`, in their order. HostError when it has no room for them."""
    table, count, optional = _table(stub)
    rows = [_SECTION.unpack_from(stub, table + number * _SECTION.size) for number in range(count)]
    page, unit = struct.unpack_from("<II", stub, optional + _ALIGNMENTS)
    page = max(page, _PAGE)
    (headers,) = struct.unpack_from("<I", stub, optional + _HEADERS_SIZE)
    if table + (count + len(parts)) * _SECTION.size > min(headers, *(row[4] for row in rows)):
        raise HostError("the EFI stub's header has no room for more sections", hint="another version of the package")
    # symbols and whatever lies after the last section are of no use to a firmware
    made = bytearray(stub[: max(row[3] + row[4] for row in rows)])
    address = max(row[2] + max(row[1], row[3]) for row in rows)
    for number, (name, content) in enumerate(parts.items(), count):
        made += bytes(-len(made) % unit)
        address = -(-address // page) * page
        padded = content + bytes(-len(content) % unit)
        row = (name.encode(), len(content), address, len(padded), len(made), 0, 0, 0, 0, _READ_ONLY_DATA)
        _SECTION.pack_into(made, table + number * _SECTION.size, *row)
        made += padded
        address += len(content)
    signature, machine, _, _, _, _, size, flags = _HEADER.unpack_from(stub, _at(stub))
    _HEADER.pack_into(made, _at(stub), signature, machine, count + len(parts), 0, 0, 0, size, flags)
    struct.pack_into("<I", made, optional + _IMAGE_SIZE, -(-address // page) * page)
    struct.pack_into("<I", made, optional + _CHECKSUM, 0)
    return bytes(made)


def _at(data: bytes) -> int:
    return int(struct.unpack_from("<I", data, _NEW_HEADER)[0])


def _table(data: bytes) -> tuple[int, int, int]:
    """Return where the table of sections begins, how many it has, and where the optional header begins."""
    try:
        at = _at(data)
        signature, _, count, _, _, _, size, _ = _HEADER.unpack_from(data, at)
    except struct.error:
        signature, count, size, at = b"", 0, 0, 0
    if signature != b"PE\0\0" or not count:
        raise HostError("the EFI stub is not a PE file", hint="harness cache verify")
    optional = at + _HEADER.size
    return optional + size, count, optional
