"""A foreign OS's disk: which format it has, judged by its own first bytes, for QEMU must not guess; and what the OS
writes, in a file beside it, for the disk itself is never written to."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from harness.errors import HostError, UserError
from harness.store import digest_of

# The beginning of a qcow2 header (QEMU's docs/interop/qcow2.txt): magic, version, where the backing file's name is; at
# byte 24 its size; at byte 72 of version 3 the incompatible features, of which bit 2 is an external data file.
_MAGIC = b"QFI\xfb"
_BACKING = struct.Struct(">4sIQ")
_SIZE = struct.Struct(">24xQ")
_FEATURES = struct.Struct(">72xQ")
_EXTERNAL_DATA = 1 << 2
# A streamOptimized vmdk (VMware's Virtual Disk Format 1.1): magic, version, flags, capacity in sectors; a capacity of 0
# says that the file is but the names of others.
_VMDK = struct.Struct("<4sIIQ")
_VMDK_MAGIC = b"KDMV"
# What a descriptor names its backing file by, and up to which sector QEMU (block/vmdk.c, vmdk_parent_open) reads that.
_VMDK_PARENT, _VMDK_DESCRIPTOR = b"parentFileNameHint", 21
_VHD_MAGIC = b"conectix"  # of a footer, in the last sector; its size stands at byte 48
_VHD_SIZE = struct.Struct(">48xQ")
# Of an overlay: magic, version 3, backing file's name (at, length), bits of a cluster, size, no encryption, first-level
# table (entries, at), reference counts (table at, clusters), no snapshots, no features (3), bits of a count, length.
_HEADER = struct.Struct(">4sIQIIQIIQQIIQQQQII")
_EXTENSION = struct.Struct(">II")
_BACKING_FORMAT = 0xE2792ACA
_CLUSTER_BITS, _COUNT_BITS = 16, 4
_CLUSTER = 1 << _CLUSTER_BITS
_SECTOR = 512
LONGEST_NAME = 1023  # of a backing file
DiskFormat = Literal["raw", "qcow2", "vmdk", "vpc"]  # as QEMU calls them


@dataclass(frozen=True)
class DiskSnapshot:
    """A disk that QEMU opens as a snapshot: what is written goes to a file that is gone when QEMU ends.

    With `overlay`, to that one, which stays.
    """

    path: Path
    format: DiskFormat
    overlay: Path | None = None


def disk_of(path: Path) -> DiskSnapshot:
    """Return the disk in a file; UserError when it cannot be read, or leads QEMU to other files of the host."""
    try:
        with path.open("rb") as stream:
            head = stream.read(_VMDK_DESCRIPTOR * _SECTOR)
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - _SECTOR))
            tail = stream.read(_SECTOR)
    except OSError as error:
        raise UserError(f"cannot read the disk {path}: {error.strerror}") from None
    if head.startswith(_VMDK_MAGIC):
        if len(head) < _VMDK.size or not _VMDK.unpack_from(head)[3] or _VMDK_PARENT in head:
            raise UserError(f"the disk {path} is not whole: it is a vmdk that names other files")
        return DiskSnapshot(path, "vmdk")
    if not head.startswith(_MAGIC):
        return DiskSnapshot(path, "vpc" if tail.startswith(_VHD_MAGIC) else "raw")
    if len(head) < _FEATURES.size:
        raise UserError(f"the disk {path} is cut off: its qcow2 header is not whole")
    _, version, backing = _BACKING.unpack_from(head)
    if backing or (version >= 3 and _FEATURES.unpack_from(head)[0] & _EXTERNAL_DATA):
        raise UserError(
            f"the disk {path} is not whole: it names another file that has a part of it",
            hint="qemu-img convert -O qcow2 makes one file of it",
        )
    return DiskSnapshot(path, "qcow2")


def overlay_name(disk: DiskSnapshot) -> str:
    """Return the name of what is written over a disk: another one if the disk is another, for it fits no other."""
    state = disk.path.stat()
    return f"written-{digest_of([str(disk.path.resolve()), state.st_size, state.st_mtime_ns])[:12]}.qcow2"


def _size(disk: DiskSnapshot, stream: IO[bytes]) -> int:
    """Return how many bytes a disk has."""
    length = disk.path.stat().st_size
    match disk.format:
        case "qcow2":
            return int(_SIZE.unpack(stream.read(_SIZE.size))[0])
        case "vmdk":
            return int(_VMDK.unpack(stream.read(_VMDK.size))[3]) * _SECTOR
        case "vpc":
            stream.seek(length - _SECTOR)
            return int(_VHD_SIZE.unpack(stream.read(_VHD_SIZE.size))[0])
        case _:
            return length


def make_overlay(disk: DiskSnapshot, path: Path) -> None:
    """Make an empty qcow2 file over a disk where there is none yet; HostError when it cannot be written.

    Its layout, in clusters: header, table of reference counts, the counts, first-level table.
    """
    if path.exists():
        return
    try:
        with disk.path.open("rb") as stream:
            size = _size(disk, stream)
        size = -(-size // _SECTOR) * _SECTOR
        name = str(disk.path.resolve()).encode()
        if len(name) > LONGEST_NAME:
            raise UserError(f"the disk's path is longer than {LONGEST_NAME} bytes: {disk.path}")
        entries = max(1, -(-size // (_CLUSTER * (_CLUSTER // 8))))
        tables = -(-entries * 8 // _CLUSTER)
        extension = _EXTENSION.pack(_BACKING_FORMAT, len(disk.format)) + disk.format.encode().ljust(8, b"\0") + bytes(8)
        header = _HEADER.pack(
            _MAGIC, 3, _HEADER.size + len(extension), len(name), _CLUSTER_BITS, size, 0, entries, 3 * _CLUSTER,
            _CLUSTER, 1, 0, 0, 0, 0, 0, _COUNT_BITS, _HEADER.size,
        )  # fmt: skip
        counts = struct.pack(">H", 1) * (3 + tables)
        with path.open("xb") as out:
            for cluster in (header + extension + name, struct.pack(">Q", 2 * _CLUSTER), counts):
                out.write(cluster.ljust(_CLUSTER, b"\0"))
            out.truncate((3 + tables) * _CLUSTER)
    except OSError as error:
        raise HostError(f"cannot make what is written over the disk {disk.path}: {error.strerror or error}") from None
