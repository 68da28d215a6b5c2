"""Link counts of a squashfs set after it has been made.

Files of several containers that are one file on the disk share their pages of memory: the second container that runs
reads nothing again. tar2sqfs makes them so from a tar's hardlinks, and counts every name as a link, which programs see
(Debian's cron runs no job that has two). So the counts are set to what each container's own image has.

The format: https://dr-emann.github.io/squashfs/. Inodes and folders lie in blocks of 8 KiB, each compressed on its own,
and name each other by the place of a block on the disk. They are written anew without compression here: no compressor
has to give the same bytes everywhere, and the kernel unpacks less.
"""

from __future__ import annotations

import lzma
import struct
import sys
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from harness.errors import HostError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BLOCK = 8192
PADDING = 4096  # the file's size is a multiple, as tar2sqfs has it
_RAW = 0x8000  # in a block's header: it is not compressed
_SUPER = struct.Struct("<5I6H8Q")
_NONE = 2**64 - 1
_NO_FRAGMENT = 2**32 - 1
_DOTS = 3  # bytes that the format counts for . and .. in a folder's size
_GZIP, _XZ, _LZ4, _ZSTD = 1, 4, 5, 6
_DIR, _LONG_DIR, _FILE, _LONG_FILE, _LINK, _LONG_LINK = 1, 8, 2, 9, 3, 10
_LENGTHS = {4: 24, 5: 24, 6: 20, 7: 20, 11: 28, 12: 28, 13: 24, 14: 24}  # of devices, pipes and sockets


class BadSquashfsError(HostError):
    """A squashfs that is not as its format says."""


class _Super(NamedTuple):
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


def set_link_counts(image: Path, counts: Mapping[str, int]) -> None:
    """Set the link counts of files by their paths. BadSquashfsError: a path is not a file of several names."""
    if not counts:
        return
    data = image.read_bytes()
    made = _Rewrite(data)
    for path, count in counts.items():
        made.set_count(path, count)
    image.write_bytes(made.finish())


class _Table:
    """Blocks of metadata that follow one another, unpacked: ``data``, and where each lay."""

    def __init__(self, image: bytes, start: int, end: int, compressor: int) -> None:
        self.data = bytearray()
        self.places: dict[int, int] = {}  # by where it lay, counted from the table's begin
        at = start
        while at < end:
            (header,) = struct.unpack_from("<H", image, at)
            size = header & (_RAW - 1)
            block = image[at + 2 : at + 2 + size]
            self.places[at - start] = len(self.data)
            self.data += block if header & _RAW else _unpack(block, compressor)
            at += 2 + size
        if at != end:
            raise BadSquashfsError("a squashfs whose tables do not end where the next begin")

    def at(self, block: int, offset: int) -> int:
        """Return the position in ``data`` of a reference."""
        return self.places[block] + offset

    def packed(self) -> bytes:
        """Return the blocks as they are written, none compressed."""
        pieces = (self.data[at : at + BLOCK] for at in range(0, len(self.data), BLOCK))
        return b"".join(struct.pack("<H", _RAW | len(piece)) + piece for piece in pieces)


def _new_block(position: int) -> int:
    """Return where a block lies that begins at a position of a table."""
    return position // BLOCK * (BLOCK + 2)


class _Rewrite:
    """A squashfs on its way from an image to another one."""

    def __init__(self, image: bytes) -> None:
        self.image = image
        head = self.head = _Super(*_SUPER.unpack_from(image))
        self._pointers = list(self._find_pointers())
        self._rest = min(struct.unpack_from("<Q", image, at)[0] for at in self._pointers)  # what follows both tables
        self.inodes = _Table(image, head.inode_table, head.dir_table, head.compressor)
        self.dirs = _Table(image, head.dir_table, self._rest, head.compressor)
        self._lists = dict(self._folders())  # by the position of a folder's inode

    def _find_pointers(self) -> Iterator[int]:
        """Yield where the image names places behind folders: those of the blocks of its other tables."""
        head = self.head
        if head.export_table != _NONE:
            raise BadSquashfsError("a squashfs with a table for NFS, which nobody here asks for")
        for table, size in ((head.id_table, 4 * head.ids), (head.fragment_table, 16 * head.fragments)):
            if table != _NONE:
                yield from range(table, table + 8 * -(-size // BLOCK), 8)
        if head.xattr_table != _NONE:
            yield head.xattr_table
            (count,) = struct.unpack_from("<I", self.image, head.xattr_table + 8)
            first = head.xattr_table + 16
            yield from range(first, first + 8 * -(-16 * count // BLOCK), 8)

    def _folders(self) -> Iterator[tuple[int, dict[bytes, int]]]:
        """Yield every folder's position with its entries, each with its inode's; references are renewed on the way."""
        data, at = self.inodes.data, 0
        while at < len(data):
            (kind,) = struct.unpack_from("<H", data, at)
            if kind == _DIR:
                block, _, size, offset = struct.unpack_from("<IIHH", data, at + 16)
                yield at, self._entries(block, offset, size)
                self._renew(at + 16)
            elif kind == _LONG_DIR:
                _, size, block, _, rows, offset = struct.unpack_from("<IIIIHH", data, at + 16)
                yield at, self._entries(block, offset, size)
                self._renew(at + 24)
                row = at + 40
                for _ in range(rows):
                    self._renew(row + 4)
                    row += 13 + struct.unpack_from("<I", data, row + 8)[0]
            at += self._length(at, kind)

    def _renew(self, at: int) -> None:
        """Let a reference of an inode to a block of folders lead to where that will lie."""
        (block,) = struct.unpack_from("<I", self.inodes.data, at)
        if block in self.dirs.places:  # an empty folder may name the end of the table
            struct.pack_into("<I", self.inodes.data, at, _new_block(self.dirs.places[block]))
        else:
            struct.pack_into("<I", self.inodes.data, at, _new_block(len(self.dirs.data)))

    def _length(self, at: int, kind: int) -> int:
        """Return how many bytes an inode has."""
        data, block = self.inodes.data, self.head.block_size
        if kind == _DIR:
            return 32
        if kind == _LONG_DIR:
            row = at + 40
            for _ in range(struct.unpack_from("<H", data, at + 32)[0]):
                row += 13 + struct.unpack_from("<I", data, row + 8)[0]
            return row - at
        if kind in (_FILE, _LONG_FILE):
            form, size_at, fragment_at, length = ("<I", 28, 20, 32) if kind == _FILE else ("<Q", 24, 44, 56)
            (size,) = struct.unpack_from(form, data, at + size_at)
            (fragment,) = struct.unpack_from("<I", data, at + fragment_at)
            return length + 4 * int(-(-size // block) if fragment == _NO_FRAGMENT else size // block)
        if kind in (_LINK, _LONG_LINK):
            (target,) = struct.unpack_from("<I", data, at + 20)
            return 24 + int(target) + (0 if kind == _LINK else 4)
        if kind in _LENGTHS:
            return _LENGTHS[kind]
        raise BadSquashfsError(f"a squashfs with an inode of the unknown type {kind}")

    def _entries(self, block: int, offset: int, size: int) -> dict[bytes, int]:
        data = self.dirs.data
        found: dict[bytes, int] = {}
        if size <= _DOTS:
            return found
        at = self.dirs.at(block, offset)
        end = at + size - _DOTS
        while at < end:
            count, start, _ = struct.unpack_from("<III", data, at)
            struct.pack_into("<I", data, at + 4, _new_block(self.inodes.places[start]))
            at += 12
            for _ in range(count + 1):
                place, _, _, length = struct.unpack_from("<HhHH", data, at)
                found[bytes(data[at + 8 : at + 9 + length])] = self.inodes.at(start, place)
                at += 9 + length
        return found

    def set_count(self, path: str, count: int) -> None:
        """Set the link count of the file at a path."""
        at = self.inodes.at(self.head.root >> 16, self.head.root & 0xFFFF)
        for part in path.split("/"):
            found = self._lists.get(at, {}).get(part.encode("utf-8", "surrogateescape"))
            if found is None:
                raise BadSquashfsError(f"a squashfs without the file /{path}")
            at = found
        if struct.unpack_from("<H", self.inodes.data, at)[0] != _LONG_FILE:
            raise BadSquashfsError(f"a squashfs in which /{path} has one name only")
        struct.pack_into("<I", self.inodes.data, at + 40, count)

    def finish(self) -> bytes:
        """Return the squashfs anew: what lies behind the two tables is as it was, and moves."""
        head, inodes, dirs = self.head, self.inodes.packed(), self.dirs.packed()
        moved = head.inode_table + len(inodes) + len(dirs) - self._rest
        rest = bytearray(self.image[self._rest : head.used])
        for at in self._pointers:
            (place,) = struct.unpack_from("<Q", rest, at - self._rest)
            struct.pack_into("<Q", rest, at - self._rest, place + moved)

        def later(table: int) -> int:
            return table if table == _NONE else table + moved

        head = head._replace(
            root=_new_block(self.inodes.places[head.root >> 16]) << 16 | head.root & 0xFFFF,
            used=head.used + moved,
            id_table=later(head.id_table),
            xattr_table=later(head.xattr_table),
            dir_table=head.inode_table + len(inodes),
            fragment_table=later(head.fragment_table),
        )
        made = _SUPER.pack(*head) + self.image[_SUPER.size : head.inode_table] + inodes + dirs + rest
        return made + bytes(-len(made) % PADDING)


def _unpack(block: bytes, compressor: int) -> bytes:
    if compressor == _GZIP:
        return zlib.decompress(block)
    if compressor == _XZ:
        return lzma.decompress(block)
    if compressor == _ZSTD:
        return bytes(zstd.decompress(block))
    if compressor == _LZ4:
        return _lz4(block)
    raise BadSquashfsError(f"a squashfs of the unknown compression {compressor}")


def _lz4(block: bytes) -> bytes:
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
