"""A small CD: one folder of a few files, as ISO 9660 (ECMA-119) has it."""

from __future__ import annotations

import struct
from collections.abc import Mapping

SECTOR = 2048
_ROOT, _LITTLE, _BIG, _FIRST = 18, 19, 20, 21  # sectors: the folder, the path tables, the first file
_LATEST = bytes([99, 12, 31, 0, 0, 0, 0])  # one date for all
_NO_DATE = b"0" * 16 + b"\0"


def write(label: str, files: Mapping[str, bytes]) -> bytes:
    """Return a CD with a label of at most 32 letters and `files` by name, which Linux shows in lower case.

    ValueError when the folder does not fit into one sector.
    """
    entries, data, sector = [], b"", _FIRST
    for name, content in sorted(files.items()):
        entries.append(_record(f"{name.upper()};1".encode("ascii"), sector, len(content)))
        padded = content + b"\0" * (-len(content) % SECTOR)
        data += padded
        sector += len(padded) // SECTOR
    folder = _record(b"\0", _ROOT, SECTOR, 2) + _record(b"\1", _ROOT, SECTOR, 2) + b"".join(entries)
    if len(folder) > SECTOR:
        raise ValueError("too many files for one folder")
    table = struct.pack("<BBIHBB", 1, 0, _ROOT, 1, 0, 0), struct.pack(">BBIHBB", 1, 0, _ROOT, 1, 0, 0)
    sectors = [_descriptor(label, sector), b"\xffCD001\x01", folder, *table]
    return bytes(16 * SECTOR) + b"".join(one.ljust(SECTOR, b"\0") for one in sectors) + data


def _both(value: int) -> bytes:
    return struct.pack("<I", value) + struct.pack(">I", value)


def _both_short(value: int) -> bytes:
    return struct.pack("<H", value) + struct.pack(">H", value)


def _record(name: bytes, sector: int, size: int, flags: int = 0) -> bytes:
    body = b"\0" + _both(sector) + _both(size) + _LATEST + bytes([flags, 0, 0]) + _both_short(1)
    body += bytes([len(name)]) + name + (b"" if len(name) % 2 else b"\0")
    return bytes([len(body) + 1]) + body


def _descriptor(label: str, sectors: int) -> bytes:
    """Return the primary volume descriptor."""
    text = b"\x01CD001\x01\0" + b"LINUX".ljust(32) + label.encode("ascii").ljust(32) + bytes(8) + _both(sectors)
    text += bytes(32) + _both_short(1) + _both_short(1) + _both_short(SECTOR) + _both(10)
    text += struct.pack("<II", _LITTLE, 0) + struct.pack(">II", _BIG, 0) + _record(b"\0", _ROOT, SECTOR, 2)
    text += b" " * (128 * 4 + 37 * 3) + _NO_DATE * 4 + b"\x01"
    return text
