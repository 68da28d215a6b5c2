"""What lies where in a squashfs: its superblock, its blocks of metadata, its inodes and the entries of its folders.

The format: https://dr-emann.github.io/squashfs/. Inodes and folders lie in blocks of 8 KiB, each compressed on its own,
and name each other by the place of a block on the disk.
"""

from __future__ import annotations

import lzma
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from harness.errors import HostError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BLOCK = 8192
DOTS = 3  # bytes that the format counts for . and .. in a folder's size
NONE = 2**64 - 1
DIR, LONG_DIR, FILE, LONG_FILE, LINK, LONG_LINK = 1, 8, 2, 9, 3, 10
SUPER = struct.Struct("<5I6H8Q")
_RAW = 0x8000  # in a block's header: it is not compressed
_NO_FRAGMENT = 2**32 - 1
_GZIP, _XZ, _LZ4, _ZSTD = 1, 4, 5, 6
_LENGTHS = {4: 24, 5: 24, 6: 20, 7: 20, 11: 28, 12: 28, 13: 24, 14: 24}  # of devices, pipes and sockets


class BadSquashfsError(HostError):
    """A squashfs that is not as its format says."""


class Superblock(NamedTuple):
    """The superblock; tables by where they begin."""

    magic: int
    inodes: int
    mtime: int
    block_size: int
    fragments: int
    compressor: int
    block_log: int
    flags: int
    ids: int
    major: int
    minor: int
    root: int
    used: int
    id_table: int
    xattr_table: int
    inode_table: int
    dir_table: int
    fragment_table: int
    export_table: int


class NamedInode(NamedTuple):
    """A name in a folder: its inode by its position among the inodes and by its number, and that one's type."""

    name: bytes
    at: int
    number: int
    type: int


class ListedFolder(NamedTuple):
    """What a folder's inode says of it."""

    links: int
    size: int
    block: int
    offset: int
    parent: int


class Blocks:
    """Blocks of metadata that follow one another, unpacked: ``data``, and where each lay."""

    def __init__(self, packed: bytes, compressor: int) -> None:
        self.data = bytearray()
        self.places: dict[int, int] = {}  # by where it lay, counted from the table's begin
        at = 0
        while at < len(packed):
            (header,) = struct.unpack_from("<H", packed, at)
            size = header & (_RAW - 1)
            block = packed[at + 2 : at + 2 + size]
            self.places[at] = len(self.data)
            self.data += block if header & _RAW else _unpack(block, compressor)
            at += 2 + size
        if at != len(packed):
            raise BadSquashfsError("a squashfs whose tables do not end where the next begin")

    def at(self, block: int, offset: int) -> int:
        """Return the position in ``data`` of a reference."""
        return self.places[block] + offset


def raw_blocks(data: bytes | bytearray) -> bytes:
    """Return a table as it is written, none of its blocks compressed."""
    pieces = (data[at : at + BLOCK] for at in range(0, len(data), BLOCK))
    return b"".join(struct.pack("<H", _RAW | len(piece)) + piece for piece in pieces)


def raw_block(position: int) -> int:
    """Return where a block lies that holds a position of such a table."""
    return position // BLOCK * (BLOCK + 2)


class Tables:
    """The tables of a squashfs, read from its file without the contents that lie before them."""

    def __init__(self, image: Path) -> None:
        with image.open("rb") as stream:
            self.head = head = Superblock(*SUPER.unpack(stream.read(SUPER.size)))
            stream.seek(head.inode_table)
            read = stream.read(head.used - head.inode_table)
        self._base = head.inode_table
        pointers = list(self._pointers(read))
        # what follows inodes and folders, and where it names places in itself
        self.rest_at = min(self._word(read, at) for at in pointers)
        dirs_at = head.dir_table - self._base
        self.inodes = Blocks(read[:dirs_at], head.compressor)
        self.dirs = Blocks(read[dirs_at : self.rest_at - self._base], head.compressor)
        self.rest = bytearray(read[self.rest_at - self._base :])
        self.pointers = [at - self.rest_at for at in pointers]

    def _word(self, read: bytes, at: int) -> int:
        return int(struct.unpack_from("<Q", read, at - self._base)[0])

    def _pointers(self, read: bytes) -> Iterator[int]:
        """Yield where the image names places behind folders: those of the blocks of its other tables."""
        head = self.head
        if head.export_table != NONE:
            raise BadSquashfsError("a squashfs with a table for NFS, which nobody here asks for")
        for table, size in ((head.id_table, 4 * head.ids), (head.fragment_table, 16 * head.fragments)):
            if table != NONE:
                yield from range(table, table + 8 * -(-size // BLOCK), 8)
        if head.xattr_table != NONE:
            yield head.xattr_table
            (count,) = struct.unpack_from("<I", read, head.xattr_table + 8 - self._base)
            first = head.xattr_table + 16
            yield from range(first, first + 8 * -(-16 * count // BLOCK), 8)

    def all_inodes(self) -> Iterator[tuple[int, int, int]]:
        """Yield the position, type and length of every inode, in their order."""
        data, at = self.inodes.data, 0
        while at < len(data):
            (kind,) = struct.unpack_from("<H", data, at)
            length = self._length(at, kind)
            yield at, kind, length
            at += length

    def _length(self, at: int, kind: int) -> int:
        data, block = self.inodes.data, self.head.block_size
        if kind == DIR:
            return 32
        if kind == LONG_DIR:
            row = at + 40
            for _ in range(struct.unpack_from("<H", data, at + 32)[0]):
                row += 13 + struct.unpack_from("<I", data, row + 8)[0]
            return row - at
        if kind in (FILE, LONG_FILE):
            form, size_at, fragment_at, length = ("<I", 28, 20, 32) if kind == FILE else ("<Q", 24, 44, 56)
            (size,) = struct.unpack_from(form, data, at + size_at)
            (fragment,) = struct.unpack_from("<I", data, at + fragment_at)
            return length + 4 * int(-(-size // block) if fragment == _NO_FRAGMENT else size // block)
        if kind in (LINK, LONG_LINK):
            (target,) = struct.unpack_from("<I", data, at + 20)
            return 24 + int(target) + (0 if kind == LINK else 4)
        if kind in _LENGTHS:
            return _LENGTHS[kind]
        raise BadSquashfsError(f"a squashfs with an inode of the unknown type {kind}")

    def number(self, at: int) -> int:
        """Return the number of the inode at a position."""
        return int(struct.unpack_from("<I", self.inodes.data, at + 12)[0])

    def folder(self, at: int) -> ListedFolder | None:
        """Return what the inode at a position says of its folder; None when it is no folder's."""
        (kind,) = struct.unpack_from("<H", self.inodes.data, at)
        if kind == DIR:
            block, links, size, offset, parent = struct.unpack_from("<IIHHI", self.inodes.data, at + 16)
        elif kind == LONG_DIR:
            links, size, block, parent, _, offset = struct.unpack_from("<IIIIHH", self.inodes.data, at + 16)
        else:
            return None
        return ListedFolder(links, size, block, offset, parent)

    def entries(self, at: int) -> Iterator[NamedInode]:
        """Yield the entries of the folder whose inode is at a position; none when it is no folder's."""
        found, data = self.folder(at), self.dirs.data
        if found is None or found.size <= DOTS:
            return
        row = self.dirs.at(found.block, found.offset)
        end = row + found.size - DOTS
        while row < end:
            count, start, base = struct.unpack_from("<III", data, row)
            row += 12
            for _ in range(count + 1):
                place, step, kind, length = struct.unpack_from("<HhHH", data, row)
                name = bytes(data[row + 8 : row + 9 + length])
                yield NamedInode(name, self.inodes.at(start, place), base + step, kind)
                row += 9 + length


def _unpack(block: bytes, compressor: int) -> bytes:
    if compressor == _GZIP:
        return zlib.decompress(block)
    if compressor == _XZ:
        return lzma.decompress(block)
    if compressor == _ZSTD:
        return bytes(zstd.decompress(block))
    if compressor == _LZ4:
        return unpack_lz4(block)
    raise BadSquashfsError(f"a squashfs of the unknown compression {compressor}")


def unpack_lz4(block: bytes) -> bytes:
    """Unpack a block of LZ4 (lz4_Block_format.md): runs of bytes, each followed by a copy of what came before."""
    out, at = bytearray(), 0

    def length(start: int, at: int) -> tuple[int, int]:
        if start == 15:
            while True:
                start += block[at]
                at += 1
                if block[at - 1] != 255:
                    break
        return start, at

    while True:
        token = block[at]
        run, at = length(token >> 4, at + 1)
        out += block[at : at + run]
        at += run
        if at >= len(block):
            return bytes(out)
        back = block[at] | block[at + 1] << 8
        more, at = length(token & 15, at + 2)
        more += 4
        begin = len(out) - back
        if not 0 <= begin < len(out):
            raise BadSquashfsError("a squashfs with a damaged block of LZ4")
        while more > 0:  # what is copied may reach into what is being written
            piece = out[begin : begin + more]
            out += piece
            more -= len(piece)
