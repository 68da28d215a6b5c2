"""A squashfs amended after it has been made: link counts, and crowded folders joined of their parts.

Files of several containers that are one file on the disk share their pages of memory: the second container that runs
reads nothing again. tar2sqfs makes them so from a tar's hardlinks, and counts every name as a link, which programs see
(Debian's cron runs no job that has two). So the counts are set to what each container's own image has. And it takes a
crowded folder in parts only (`crowds`).

Both change how long inodes and folders are, so their tables are written anew: without compression, for then no
compressor has to give the same bytes everywhere, and the kernel unpacks less.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from harness.build.squashtables import (
    BLOCK,
    DIR,
    DOTS,
    LONG_DIR,
    LONG_FILE,
    NONE,
    SUPER,
    BadSquashfsError,
    NamedInode,
    Tables,
    raw_block,
    raw_blocks,
)  # fmt: skip

PADDING = 4096  # the file's size is a multiple, as tar2sqfs has it
_RUN = 256  # entries that follow one header, at most
_FAR = 32767  # how far from the header's their inodes' numbers are, at most
_SHORT = 2**16  # bytes from which on a folder has the longer inode
_NO_XATTR = 2**32 - 1
_HEADER, _ENTRY = struct.Struct("<III"), struct.Struct("<HhHH")


def amend(image: Path, counts: Mapping[str, int], parted: Collection[str] = ()) -> None:
    """Set the link counts of files by their paths, and join the `parted` folders of the folders in them.

    BadSquashfsError, and the image as it was: a path is not a file of several names.
    """
    if counts or parted:
        made = _Amended(Tables(image))
        for path, count in counts.items():
            made.set_count(path, count)
        for path in parted:
            made.join(path)
        head, tables = made.finish()
        with image.open("r+b") as stream:
            stream.write(head)
            stream.seek(made.tables.head.inode_table)
            stream.write(tables)
            stream.truncate()


class _Amended:
    """A squashfs on its way from one state to another. Positions are those of the old inodes."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self._names: dict[int, dict[bytes, int]] = {}  # of the folders that were walked through
        self._parts: dict[int, list[int]] = {}  # of parted folders
        self._whole: dict[int, int] = {}  # the number of a part: that of its folder
        self._gone: list[int] = []  # numbers of inodes that are no more, sorted
        self._from, self._by = [0], [0]  # from which position on inodes move by how much
        self._inodes, self._dirs = bytearray(), bytearray()

    def _find(self, path: str) -> int:
        """Return the position of what is at a path."""
        root = self.tables.head.root
        at = self.tables.inodes.at(root >> 16, root & 0xFFFF)
        for part in filter(None, path.split("/")):
            if at not in self._names:
                self._names[at] = {entry.name: entry.at for entry in self.tables.entries(at)}
            found = self._names[at].get(part.encode("utf-8", "surrogateescape"))
            if found is None:
                raise BadSquashfsError(f"a squashfs without the file /{path}")
            at = found
        return at

    def set_count(self, path: str, count: int) -> None:
        """Set the link count of the file at a path."""
        at = self._find(path)
        if struct.unpack_from("<H", self.tables.inodes.data, at)[0] != LONG_FILE:
            raise BadSquashfsError(f"a squashfs in which /{path} has one name only")
        struct.pack_into("<I", self.tables.inodes.data, at + 40, count)

    def join(self, path: str) -> None:
        """Let the folder at a path hold what the folders in it hold, in their order."""
        at = self._find(path)
        parts = list(self.tables.entries(at))
        self._parts[at] = [part.at for part in parts]
        self._whole |= dict.fromkeys((part.number for part in parts), self.tables.number(at))
        self._gone = sorted(self._whole)

    def finish(self) -> tuple[bytes, bytes]:
        """Return the superblock and the tables anew: what lies behind inodes and folders is as it was, and moves."""
        parts = {part for found in self._parts.values() for part in found}
        data = self.tables.inodes.data
        for at, kind, length in self.tables.all_inodes():
            if at in parts:
                self._move(at + length)
                continue
            inode = data[at : at + length]
            struct.pack_into("<I", inode, 12, self._number(self.tables.number(at)))
            if kind in (DIR, LONG_DIR):
                self._inodes += self._folder(at, inode)
                self._move(at + length)
            else:
                self._inodes += inode
        return self._written()

    def _move(self, at: int) -> None:
        """Let what lies from a position on move to the end of what has been written."""
        by = len(self._inodes) - at
        if by != self._by[-1]:
            self._from.append(at)
            self._by.append(by)

    def _moved(self, at: int) -> int:
        return at + self._by[bisect_right(self._from, at) - 1]

    def _number(self, number: int) -> int:
        """Return the new number of an inode; a part's is its folder's."""
        number = self._whole.get(number, number)
        return number - bisect_left(self._gone, number)

    def _folder(self, at: int, inode: bytearray) -> bytes:
        """Write a folder's entries; return its inode anew."""
        old = self.tables.folder(at)
        assert old is not None, "the inode is a folder's"
        parts = self._parts.get(at)
        entries = [
            NamedInode(name, self._moved(place), self._number(number), kind)
            for one in ([at] if parts is None else parts)
            for name, place, number, kind in self.tables.entries(one)
        ]
        begin = len(self._dirs)
        index = [self._run(run, begin) for run in self._runs(entries)]
        size, block, offset = len(self._dirs) - begin + DOTS, raw_block(begin), begin % BLOCK
        links = old.links if parts is None else len(entries) + 2  # as tar2sqfs counts them
        parent, long = self._number(old.parent), inode[0] == LONG_DIR
        if not long and size < _SHORT:
            return bytes(inode[:16]) + struct.pack("<IIHHI", block, links, size, offset, parent)
        xattr = int(struct.unpack_from("<I", inode, 36)[0]) if long else _NO_XATTR
        row = struct.pack("<IIIIHHI", links, size, block, parent, len(index), offset, xattr)
        return b"".join((struct.pack("<H", LONG_DIR), bytes(inode[2:16]), row, *index))

    def _runs(self, entries: Sequence[NamedInode]) -> Iterator[Sequence[NamedInode]]:
        """Yield which entries follow one header; whoever asks for the next has written the one before."""
        first = 0
        while first < len(entries):
            head, end = entries[first], first + 1
            size = (len(self._dirs) + _HEADER.size) % BLOCK + _ENTRY.size + len(head.name)
            for entry in entries[end : first + _RUN]:
                size += _ENTRY.size + len(entry.name)
                far = abs(entry.number - head.number) > _FAR
                if far or size > BLOCK or entry.at // BLOCK != head.at // BLOCK:
                    break
                end += 1
            yield entries[first:end]
            first = end

    def _run(self, run: Sequence[NamedInode], begin: int) -> bytes:
        """Write a header and its entries; return its row in the index of the folder, which begins at `begin`."""
        at, head = len(self._dirs), run[0]
        self._dirs += _HEADER.pack(len(run) - 1, raw_block(head.at), head.number)
        for name, place, number, kind in run:
            self._dirs += _ENTRY.pack(place % BLOCK, number - head.number, kind, len(name) - 1) + name
        return struct.pack("<III", at - begin, raw_block(at), len(head.name) - 1) + head.name

    def _written(self) -> tuple[bytes, bytes]:
        old, inodes, dirs = self.tables.head, raw_blocks(self._inodes), raw_blocks(self._dirs)
        moved = old.inode_table + len(inodes) + len(dirs) - self.tables.rest_at
        rest = self.tables.rest
        for at in self.tables.pointers:
            (place,) = struct.unpack_from("<Q", rest, at)
            struct.pack_into("<Q", rest, at, place + moved)

        def later(table: int) -> int:
            return table if table == NONE else table + moved

        root = self._moved(self.tables.inodes.at(old.root >> 16, old.root & 0xFFFF))
        head = old._replace(
            inodes=old.inodes - len(self._gone),
            root=raw_block(root) << 16 | root % BLOCK,
            used=old.used + moved,
            id_table=later(old.id_table),
            xattr_table=later(old.xattr_table),
            dir_table=old.inode_table + len(inodes),
            fragment_table=later(old.fragment_table),
        )
        return SUPER.pack(*head), inodes + dirs + rest + bytes(-head.used % PADDING)
