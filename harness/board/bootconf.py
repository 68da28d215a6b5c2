"""What boot loaders look for by themselves in the folder that is brought: so that no dialogue is needed.

pxelinux's and extlinux's files, which U-Boot's standard boot knows too, GRUB's, and a script of U-Boot's own.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from harness.board.loader import is_unambiguous
from harness.files import write

PXELINUX, EXTLINUX, GRUB, SCRIPT = "pxelinux.cfg/default", "extlinux/extlinux.conf", "grub/grub.cfg", "boot.scr.uimg"
# U-Boot's legacy image (include/image.h): magic, header's CRC, time, size, load, entry, data's CRC, and kinds
_HEADER = struct.Struct(">IIIIIIIBBBB32s")
_MAGIC, _LINUX, _SCRIPT = 0x27051956, 5, 6
_ARCH = {"arm64": 22}  # of those whose kernels are started by `booti`


def write_all(folder: Path, cmdline: str, arch: str) -> None:
    """Write the files beside ``kernel``, ``initrd`` and, where there is one, ``dtb``; OSError when they cannot be.

    None where the kernel's words have signs that one of the boot loaders would take for its own.
    """
    if not is_unambiguous(cmdline):
        return
    tree = (folder / "dtb").exists()
    for name, root in ((PXELINUX, ""), (EXTLINUX, "/")):
        rows = [
            f"kernel {root}kernel",
            f"initrd {root}initrd",
            *([f"fdt {root}dtb"] if tree else []),
            f"append {cmdline}",
        ]
        text = "default harness\nlabel harness\n" + "".join(f"  {row}\n" for row in rows)
        _put(folder / name, text.encode())
    lines = [f"linux /kernel {cmdline}", "initrd /initrd", *(["devicetree /dtb"] if tree else [])]
    entry = "".join(f"  {line}\n" for line in lines)
    _put(folder / GRUB, f"set timeout=0\nmenuentry harness {{\n{entry}}}\n".encode())
    if arch in _ARCH:
        _put(folder / SCRIPT, script(_commands(cmdline, tree=tree), _ARCH[arch]))


def _commands(cmdline: str, *, tree: bool) -> str:
    where = "${fdt_addr_r}" if tree else "${fdtcontroladdr}"
    steps = [
        f"setenv bootargs '{cmdline}'",
        *(["tftpboot ${fdt_addr_r} dtb"] if tree else []),
        "tftpboot ${kernel_addr_r} kernel",
        "tftpboot ${ramdisk_addr_r} initrd",  # the last: the next line wants its size
        f"booti ${{kernel_addr_r}} ${{ramdisk_addr_r}}:${{filesize}} {where}",
    ]
    return " && ".join(steps) + "\n"


def script(text: str, arch: int) -> bytes:
    """Return commands as a script of U-Boot's, as mkimage makes one: the same bytes for the same text."""
    data = struct.pack(">II", len(text), 0) + text.encode()
    name = b"harness"

    def header(crc: int) -> bytes:
        return _HEADER.pack(_MAGIC, crc, 0, len(data), 0, 0, zlib.crc32(data), _LINUX, arch, _SCRIPT, 0, name)

    return header(zlib.crc32(header(0))) + data


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    write(path, data)
