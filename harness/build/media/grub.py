"""GRUB, made of its modules by grub-mkimage: one that a BIOS starts, and one that a UEFI does.

The BIOS's needs no file system: its configuration names the sectors of kernel and initrd, which lie as sections in the
unified kernel image on the EFI system partition, so that both firmwares boot the same bytes. Where GRUB's boot sectors
keep the sector of what they load is told by its sources (grub-core/boot/i386/pc/boot.S, diskboot.S).
"""

from __future__ import annotations

import struct
from pathlib import Path

from harness import proc
from harness.build.media import SECTOR
from harness.errors import HostError, UserError

CORE_START = 64  # the sector where the core lies on a disk, in a partition of its own
CORE_SECTORS = 1984
_BOOT_CODE = 440  # bytes of a boot sector before the disk's identity and the old table
_CORE_AT, _DRIVE_AT, _DRIVE_CHECK_AT = 0x5C, 0x64, 0x66
_BIOS_DRIVE = 0xFF  # the one that the BIOS booted
_NO_CHECK = b"\x90\x90"
_NEXT = struct.Struct("<QHH")  # a list's last entry in the core's first sector: first sector, how many, segment
_SEGMENT = 0x820
_ALTERED = frozenset("'\"\\")  # grub-core/lib/cmdline.c


def bios_core(modules: Path, config: str, format_: str, work: Path) -> bytes:
    """Return the core that runs `config`; `format_` is ``i386-pc`` for a disk and ``i386-pc-eltorito`` for a CD."""
    return _made(modules, config, format_, ("biosdisk", "linux", "boot"), work)


def efi_program(modules: Path, config: str, work: Path) -> bytes:
    """Return a UEFI's GRUB of arm64, which unpacks a gzipped kernel that lies on its own partition."""
    names = ("part_gpt", "fat", "iso9660", "search", "search_fs_file", "gzio", "linux", "boot")
    return _made(modules, config, "arm64-efi", names, work)


def _made(modules: Path, config: str, format_: str, names: tuple[str, ...], work: Path) -> bytes:
    script, made = work / "grub.cfg", work / "grub.img"
    script.write_text(config, encoding="utf-8")
    proc.run(["grub-mkimage", "-d", str(modules), "-O", format_, "-p", "/", "-c", str(script), "-o", str(made), *names])
    return made.read_bytes()


def config(kernel: str, initrd: str, cmdline: str) -> str:
    """Return the configuration that boots at once; GRUB's first parser runs it, which knows no `if`.

    UserError for a command line that GRUB would hand on otherwise: it puts a backslash before what `_ALTERED` has.
    """
    if found := _ALTERED & set(cmdline):
        raise UserError(
            f"GRUB does not hand {' '.join(sorted(found))} on to the kernel as it is",
            hint="leave it out of `kernel: {cmdline: …}`, or build a format without GRUB",
        )
    # in quotes, or `;`, `$` and others of the words would be GRUB's own
    words = " ".join(f"'{word}'" for word in cmdline.split())
    return f"linux {kernel} {words}\ninitrd {initrd}\nboot\n"


def blocks(at: int, size: int) -> str:
    """Return some bytes of the disk that was booted as GRUB's block list; `at` is their first sector."""
    return f"($root){at}+{-(-size // SECTOR)}"


def boot_sector(image: bytes) -> bytes:
    """Return the code of a disk's first sector, of GRUB's boot.img, which loads the core at `CORE_START`."""
    code = bytearray(image[:_BOOT_CODE])
    struct.pack_into("<Q", code, _CORE_AT, CORE_START)
    code[_DRIVE_AT] = _BIOS_DRIVE
    code[_DRIVE_CHECK_AT : _DRIVE_CHECK_AT + len(_NO_CHECK)] = _NO_CHECK
    return bytes(code)


def on_disk(core: bytes) -> bytes:
    """Return the core as it lies at `CORE_START`: its first sector loads the others."""
    sectors = -(-len(core) // SECTOR)
    if sectors > CORE_SECTORS:
        raise HostError(f"GRUB's core of {len(core)} bytes does not fit into the disk's first MiB",
                        hint="another suite or a lock with an older GRUB; or another format")  # fmt: skip
    placed = bytearray(core)
    _NEXT.pack_into(placed, SECTOR - _NEXT.size, CORE_START + 1, sectors - 1, _SEGMENT)
    return bytes(placed)
