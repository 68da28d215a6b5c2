"""A root that cannot be changed unseen: a tree of hashes over its blocks, which the kernel's dm-verity reads.

Head and tree are as cryptsetup has them ("DM-Verity on-disk format", version 1), the partitions' types and UUIDs as the
Discoverable Partitions Specification wants them, so that veritysetup and systemd read them too. Who reads them at boot
is guest/native/verity.h.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from harness.arch import Arch
from harness.build.media import SECTOR, gpt

BLOCK = 4096
WORD = "roothash="  # on the kernel's command line: systemd's name for it
_HEAD = struct.Struct("<8sII16s32sIIQH6x32s")
_MAGIC, _VERSION, _KIND, _ALGORITHM = b"verity\0\0", 1, 1, b"sha256"


@dataclass(frozen=True)
class VerifiedRoot:
    """A root of whole blocks; ``tree``: what lies in the other partition, its head first; ``hash``: the root hash."""

    data: bytes
    tree: bytes
    hash: bytes

    @property
    def word(self) -> str:
        """The word of the kernel's command line that names it."""
        return WORD + self.hash.hex()


def verified(squashfs: Path) -> VerifiedRoot:
    """Return a root filesystem with its tree. What is hashed before each block follows from its content."""
    data = squashfs.read_bytes()
    data += bytes(-len(data) % BLOCK)
    salt = hashlib.sha256(data).digest()
    tree, top = hashed(data, salt)
    count = len(data) // BLOCK
    head = _HEAD.pack(_MAGIC, _VERSION, _KIND, top[:16], _ALGORITHM, BLOCK, BLOCK, count, len(salt), salt)
    return VerifiedRoot(data, head.ljust(BLOCK, b"\0") + tree, top)


def hashed(data: bytes, salt: bytes) -> tuple[bytes, bytes]:
    """Return the tree over whole blocks, the top level first, and the hash of its top."""
    below, tree = data, b""
    while True:
        sums = [hashlib.sha256(salt + below[at : at + BLOCK]).digest() for at in range(0, len(below), BLOCK)]
        if len(sums) == 1:
            return tree, sums[0]
        level = b"".join(sums)
        below = level + bytes(-len(level) % BLOCK)
        tree = below + tree


def partitions(root: VerifiedRoot, arch: Arch, start: int) -> list[gpt.Partition]:
    """Return the root's two partitions, from the sector `start` on; each begins at a MiB."""
    rows = zip(("root", "root-verity"), arch.root_types, (root.data, root.tree), (root.hash[:16], root.hash[16:]),
               strict=True)  # fmt: skip
    made = []
    for name, kind, content, identity in rows:
        made.append(gpt.Partition(name, kind, start, gpt.sectors_of(len(content)), UUID(bytes=identity)))
        start = gpt.aligned(start + made[-1].sectors)
    return made


def place(path: Path, root: VerifiedRoot, rows: list[gpt.Partition]) -> None:
    """Write the root into the two partitions of a disk's file."""
    with path.open("r+b") as out:
        for row, content in zip(rows, (root.data, root.tree), strict=True):
            out.seek(row.start * SECTOR)
            out.write(content)
