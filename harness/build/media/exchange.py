"""A disk in the formats that hypervisors and clouds take: by qemu-img, what it makes up by chance put right."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from uuid import UUID

from harness import proc
from harness.build.media import EPOCH, MIB, SECTOR
from harness.errors import HostError

_CID, _FIXED_CID = b"CID=", b"b007b007"
_DESCRIPTOR = 64 << 10  # bytes from the beginning within which a vmdk's descriptor lies
_SINCE_2000 = 946_684_800
# Microsoft's Virtual Hard Disk Image Format Specification 1.0, "Hard Disk Footer Format"
_FOOTER = struct.Struct(">8sIIQI4sI4sQQHBBII16sB")
_CHECKSUM_AT = 64
_NO_OFFSET, _FIXED_DISK = 0xFFFFFFFFFFFFFFFF, 2
_CREATOR, _HOST = b"win ", b"Wi2k"  # QEMU takes the size, and not the geometry, of this creator's disks


def qcow2(raw: Path, out: Path) -> None:
    """Write a compressed qcow2."""
    proc.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", str(raw), str(out)])


def vmdk(raw: Path, out: Path) -> None:
    """Write a streamOptimized vmdk, as import into a cloud or an OVA takes it."""
    proc.run(["qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", str(raw), str(out)])
    with out.open("r+b") as file:
        at = file.read(_DESCRIPTOR).find(_CID)
        if at < 0:
            raise HostError("qemu-img has written a vmdk without a descriptor at its beginning")
        file.seek(at + len(_CID))
        file.write(_FIXED_CID)


def vhd(raw: Path, out: Path) -> None:
    """Write a fixed vhd of whole MiB: the disk, and a footer."""
    data = raw.read_bytes()
    data += bytes(-len(data) % MIB)
    size = len(data)
    identity = UUID(bytes=hashlib.sha256(data).digest()[:16], version=4).bytes
    cylinders, heads, sectors = geometry(size // SECTOR)
    footer = bytearray(
        _FOOTER.pack(b"conectix", 2, 0x10000, _NO_OFFSET, EPOCH - _SINCE_2000, _CREATOR, 0x10000, _HOST, size, size,
                     cylinders, heads, sectors, _FIXED_DISK, 0, identity, 0).ljust(SECTOR, b"\0")
    )  # fmt: skip
    struct.pack_into(">I", footer, _CHECKSUM_AT, ~sum(footer) & 0xFFFFFFFF)
    out.write_bytes(data + footer)


def geometry(total: int) -> tuple[int, int, int]:
    """Return cylinders, heads and sectors, as the specification's appendix reckons them."""
    total = min(total, 65_535 * 16 * 255)
    if total >= 65_535 * 16 * 63:
        sectors, heads = 255, 16
    else:
        sectors = 17
        heads = max(4, (total // sectors + 1023) // 1024)
        if total // sectors >= heads * 1024 or heads > 16:
            sectors, heads = 31, 16
        if total // sectors >= heads * 1024:
            sectors, heads = 63, 16
    return total // sectors // heads, heads, sectors
