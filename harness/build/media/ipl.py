"""What s390x boots from: the kernel with command line and initrd put into it, and a boot map that leads to it.

The map is what zipl writes in its version 1 (s390-tools' zipl/include/boot.h; QEMU's pc-bios/s390-ccw/bootmap.h reads
it): the first sector leads to a table of programs, a program to its components, a component to a list of sectors. The
offsets within the kernel are those of its own header (Linux, arch/s390/include/uapi/asm/setup.h and ipl.h).
"""

from __future__ import annotations

import struct

from harness.build.media import MIB, SECTOR
from harness.errors import HostError, UserError

_LOADED_AT = 0x10000  # where the kernel begins in memory, and what of the file is left out for it
_INITRD, _MOST_CMDLINE, _CMDLINE = 0x10408, 0x10430, 0x10480  # in the file: initrd (address, size); its limit; the line
_OLD_MOST = 896  # of a kernel that tells no limit
_FILE_START = bytes.fromhex("0200001860000050")  # channel programs, as a kernel's file has them after its first word
_PSW = 0x0008000080010000  # disabled for interrupts, 31 bits, at 0x10000
_PAGE = 4096
_MAGIC, _VERSION = b"zIPL", 1
_POINTER = struct.Struct(">QHH4x")  # block, its size, how many besides
_MOST_BLOCKS = 32_768  # in one pointer
_LOAD, _EXECUTE = 2, 1
HEAD = 440  # bytes of the first sector that are the map's: an old table of partitions may follow
_TABLE, _DATA = 2056, 4096  # sectors: of the map, and of the kernel


def flat(kernel: bytes, initrd: bytes, cmdline: str) -> bytes:
    """Return kernel, command line and initrd as one file that is loaded as it is.

    HostError: no kernel of s390x's; UserError: the line is too long for this one.
    """
    if kernel[8 : 8 + len(_FILE_START)] != _FILE_START:
        raise HostError("the kernel's file does not begin as one of s390x does", hint="another version of the package")
    made = bytearray(kernel)
    line = cmdline.encode() + b"\0"
    (most,) = struct.unpack_from(">Q", kernel, _MOST_CMDLINE)
    most = (most or _OLD_MOST) - 1  # a NUL ends it
    if len(line) - 1 > most:
        raise UserError(
            f"the kernel's command line has {len(line) - 1} bytes", hint=f"at most {most}: this kernel's own"
        )
    at = -(-len(kernel) // _PAGE) * _PAGE
    struct.pack_into(">Q", made, 0, _PSW)
    struct.pack_into(">QQ", made, _INITRD, at, len(initrd))
    made[_CMDLINE : _CMDLINE + len(line)] = line
    return bytes(made) + bytes(at - len(kernel)) + initrd


def disk(program: bytes) -> bytes:
    """Return a disk that boots a flat file."""
    data = program[_LOADED_AT:]
    left, block, segments = -(-len(data) // SECTOR), _DATA, b""
    while left:
        count = min(left, _MOST_BLOCKS)
        segments += _pointer(block, count)
        block, left = block + count, left - count
    table, components, segment = _TABLE, _TABLE + 1, _TABLE + 2
    steps = _pointer(segment) + _step(_LOAD, _LOADED_AT) + bytes(16) + _step(_EXECUTE, _PSW)
    placed = {
        0: _MAGIC + struct.pack(">I", _VERSION) + bytes(8) + _pointer(table),
        table: _MAGIC + bytes(12) + 2 * _pointer(components),  # the default, and the first by number
        components: _MAGIC + bytes(28) + steps,
        segment: segments,
        _DATA: data,
    }
    end = _DATA * SECTOR + len(data)
    made = bytearray(-(-end // MIB) * MIB)
    for at, content in placed.items():
        if at != _DATA and len(content) > SECTOR:
            raise HostError(f"kernel and initrd of {len(data)} bytes do not fit into what a disk's boot map tells of",
                            hint="leave out what the image does not need, or choose another format")  # fmt: skip
        made[at * SECTOR : at * SECTOR + len(content)] = content
    return bytes(made)


def _pointer(block: int, count: int = 1) -> bytes:
    return _POINTER.pack(block, SECTOR, count - 1)


def _step(kind: int, value: int) -> bytes:
    return bytes(7) + bytes([kind]) + struct.pack(">Q", value)
