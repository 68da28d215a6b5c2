"""A CD's file system, by xorriso: x86_64's boots by BIOS and UEFI, from a CD and from a USB stick, with one kernel."""

from __future__ import annotations

import os
from pathlib import Path

from harness import proc
from harness.build.media import EPOCH, SECTOR, ipl
from harness.build.media.disk import core_of
from harness.build.media.esp import Bootables, Esp, write_esp
from harness.build.media.loaders import BIOS_GRUB, Loaders
from harness.errors import HostError

_DATES = ("--set_all_file_dates", "set_to_mtime", "--modification-date=2026010100000000")
_EFI = ("-append_partition", "2", "0xef", "esp.fat", "-appended_part_as_gpt",
        "-e", "--interval:appended_partition_2:all::", "-no-emul-boot")  # fmt: skip
_BIOS = ("-b", "boot/core.img", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", "--grub2-boot-info")


def write_cd(what: Bootables, loaders: Loaders, path: Path, work: Path) -> None:
    """Write the CD's file; `work` is an empty folder. HostError without a tool that it takes."""
    boot = work / "tree/boot"
    boot.mkdir(parents=True)
    if what.arch.loader == "map":
        program = ipl.flat(what.kernel.read_bytes(), what.initrd.read_bytes(), what.cmdline)
        (boot / "image").write_bytes(program)
        _run(["-b", "boot/image", "-no-emul-boot"], path, work)
        return
    esp = write_esp(what, loaders, work)
    if not what.arch.bios:
        _run([*_EFI], path, work)
        return
    hybrid = ("--grub2-mbr", str(loaders.folder(BIOS_GRUB) / "boot_hybrid.img"))
    start = 1 << 20  # unknown as yet: the core has the same size whatever it says
    for _ in range(2):
        (boot / "core.img").write_bytes(core_of(esp, start, "i386-pc-eltorito", what.cmdline, loaders, work))
        _run([*_BIOS, *hybrid, "-eltorito-alt-boot", *_EFI], path, work)
        start, said = _start(path, esp), start
    if start != said:
        raise HostError("xorriso has put the EFI system partition elsewhere the second time")


def _run(boot: list[str], path: Path, work: Path) -> None:
    for one in (work / "tree", *(work / "tree").rglob("*")):
        os.utime(one, (EPOCH, EPOCH))
    path.unlink(missing_ok=True)
    fixed = ["-as", "mkisofs", "-quiet", "-r", "-V", "BOOT", *_DATES, "-c", "boot/boot.cat"]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH), "TZ": "UTC", "LC_ALL": "C"}
    proc.run(["xorriso", *fixed, *boot, "-o", str(path.resolve()), "tree"], cwd=work, env=environment)


def _start(path: Path, esp: Esp) -> int:
    at = path.read_bytes().find(esp.path.read_bytes()[: 8 * SECTOR])
    if at < 0 or at % SECTOR:
        raise HostError("xorriso has not put the EFI system partition onto the CD")
    return at // SECTOR
