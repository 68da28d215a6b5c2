"""A disk in the formats that hypervisors and clouds take: by qemu-img, what it makes up by chance put right."""

from __future__ import annotations

import hashlib
import re
import struct
from pathlib import Path
from uuid import UUID

from harness import proc
from harness.build.media import EPOCH, MIB, SECTOR
from harness.errors import HostError

_DESCRIBES = b"# Disk DescriptorFile"
_CID, _FIXED_CID = re.compile(rb"^CID=[0-9a-f]{1,8}$", re.MULTILINE), b"CID=b007b007"
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
    fix_cid(out)


def fix_cid(path: Path) -> None:
    """Give a vmdk, whose descriptor lies at its beginning, an identity that is the same each time.

    QEMU's has as many digits as its number needs: the text after it moves, into the zeros that end it.
    """
    with path.open("r+b") as file:
        head = file.read(_DESCRIPTOR)
        start = head.find(_DESCRIBES)
        text = head[start : head.find(b"\0", start)]
        fixed, count = _CID.subn(_FIXED_CID, text)
        if start < 0 or count != 1:
            raise HostError("qemu-img has written a vmdk without a descriptor at its beginning")
        file.seek(start)
        file.write(fixed)


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
