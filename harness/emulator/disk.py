"""A foreign OS's disk: which format it has, judged by its own first bytes, for QEMU must not guess."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.errors import UserError

# The beginning of a qcow2 header (QEMU's docs/interop/qcow2.txt): magic, version, where the backing file's name is; at
# byte 72 of version 3 the incompatible features, of which bit 2 is an external data file.
_MAGIC = b"QFI\xfb"
_BACKING = struct.Struct(">4sIQ")
_FEATURES = struct.Struct(">72xQ")
_EXTERNAL_DATA = 1 << 2


@dataclass(frozen=True)
class DiskSnapshot:
    """A disk that QEMU opens as a snapshot: what is written goes to a file that is gone when QEMU ends."""

    path: Path
    format: Literal["raw", "qcow2"]


def disk_of(path: Path) -> DiskSnapshot:
    """Return the disk in a file; UserError when it cannot be read, or leads QEMU to other files of the host."""
    try:
        with path.open("rb") as stream:
            head = stream.read(_FEATURES.size)
    except OSError as error:
        raise UserError(f"cannot read the disk {path}: {error.strerror}") from None
    if not head.startswith(_MAGIC):
        return DiskSnapshot(path, "raw")
    if len(head) < _FEATURES.size:
        raise UserError(f"the disk {path} is cut off: its qcow2 header is not whole")
    _, version, backing = _BACKING.unpack_from(head)
    if backing or (version >= 3 and _FEATURES.unpack_from(head)[0] & _EXTERNAL_DATA):
        raise UserError(
            f"the disk {path} is not whole: it names another file that has a part of it",
            hint="qemu-img convert -O qcow2 makes one file of it",
        )
    return DiskSnapshot(path, "qcow2")
