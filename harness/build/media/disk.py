"""A whole disk: for a UEFI and, on x86_64, a BIOS as well; on s390x for its own loader."""

from __future__ import annotations

from pathlib import Path

from harness.build.media import SECTOR, gpt, grub, ipl, verity
from harness.build.media.esp import Bootables, Esp, write_esp
from harness.build.media.loaders import BIOS_GRUB, Loaders


def write_disk(what: Bootables, loaders: Loaders, path: Path, work: Path) -> None:
    """Write the disk's file; `work` is an empty folder. HostError without a tool that it takes."""
    if what.arch.loader == "map":
        _write_mapped(what, path)
        return
    esp = write_esp(what, loaders, work)
    sectors = gpt.sectors_of(esp.path.stat().st_size)
    bios = what.arch.bios
    rows = [gpt.Partition("bios", gpt.BIOS_BOOT, grub.CORE_START, grub.CORE_SECTORS)] if bios else []
    _partition(path, [*rows, gpt.Partition("esp", gpt.ESP, gpt.START, sectors)], what)
    with path.open("r+b") as out:
        out.seek(gpt.START * SECTOR)
        out.write(esp.path.read_bytes())
        if bios:
            core = core_of(esp, gpt.START, "i386-pc", what.cmdline, loaders, work)
            out.seek(grub.CORE_START * SECTOR)
            out.write(grub.on_disk(core))
            out.seek(0)
            out.write(grub.boot_sector(loaders.read(BIOS_GRUB, "boot.img")))


def _write_mapped(what: Bootables, path: Path) -> None:
    """Write a disk for s390x's loader; a table of partitions is beside its map only where there is a use for one."""
    made = ipl.disk(ipl.flat(what.kernel.read_bytes(), what.initrd.read_bytes(), what.cmdline))
    if what.root is None:
        path.write_bytes(made)
        return
    start = gpt.START * SECTOR
    assert not any(made[ipl.HEAD : start]), "the map's first sector is followed by the table"
    _partition(path, [gpt.Partition("boot", gpt.RESERVED, gpt.START, gpt.sectors_of(len(made) - start))], what)
    with path.open("r+b") as out:
        out.write(made[: ipl.HEAD])
        out.seek(start)
        out.write(made[start:])


def _partition(path: Path, rows: list[gpt.Partition], what: Bootables) -> None:
    """Make the disk's file with its table: `rows` in their order, and behind them a root of its own."""
    end = gpt.aligned(rows[-1].start + rows[-1].sectors)
    own = verity.partitions(what.root, what.arch, end) if what.root else []
    if own:
        end = gpt.aligned(own[-1].start + own[-1].sectors)
    with path.open("wb") as out:
        out.truncate((end + gpt.TAIL) * SECTOR)
    gpt.write_table(path, [*rows, *own])
    if what.root:
        verity.place(path, what.root, own)


def core_of(esp: Esp, start: int, format_: str, cmdline: str, loaders: Loaders, work: Path) -> bytes:
    """Return the BIOS's GRUB that boots what a partition holds whose first sector is `start`."""
    assert esp.kernel and esp.initrd
    kernel, initrd = (grub.blocks(start + one.at // SECTOR, one.size) for one in (esp.kernel, esp.initrd))
    return grub.bios_core(loaders.folder(BIOS_GRUB), grub.config(kernel, initrd, cmdline), format_, work)
