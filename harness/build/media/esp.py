"""The EFI system partition of an image: what a UEFI boots from a disk, a CD or a stick.

x86_64 has a unified kernel image there. arm64's would need its kernel unpacked, 17 MB more, for Debian's cannot unpack
itself under a UEFI: a GRUB that unpacks it stands in its place.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from harness.arch import Arch
from harness.build.media import SECTOR, grub, pe
from harness.build.media.fat import write_fat
from harness.build.media.loaders import ARM64_GRUB, STUB, Loaders
from harness.build.media.verity import VerifiedRoot
from harness.errors import HostError

KERNEL, INITRD, CMDLINE = ".linux", ".initrd", ".cmdline"


@dataclass(frozen=True)
class Bootables:
    """What a medium is to boot: the files, and the whole command line, its console included.

    ``root`` is a root of its own, where the initrd carries none.
    """

    arch: Arch
    kernel: Path
    initrd: Path
    cmdline: str
    os_release: str
    root: VerifiedRoot | None = None


@dataclass(frozen=True)
class Esp:
    """A partition's file; `kernel` and `initrd` are their sectors in it, where a BIOS is to find them."""

    path: Path
    kernel: pe.Section | None = None
    initrd: pe.Section | None = None


def unified(what: Bootables, loaders: Loaders, kernel: bytes | None = None) -> bytes:
    """Return a unified kernel image; `kernel` in the place of the file where that is packed."""
    parts = {
        ".osrel": what.os_release.encode(),
        CMDLINE: what.cmdline.encode(),
        INITRD: what.initrd.read_bytes(),
        KERNEL: what.kernel.read_bytes() if kernel is None else kernel,
    }
    return pe.unify(loaders.read(STUB, f"linux{what.arch.uefi_boot}.efi.stub"), parts)


def write_esp(what: Bootables, loaders: Loaders, work: Path) -> Esp:
    """Write the partition into `work`."""
    path, program = work / "esp.fat", work / "boot.efi"
    name = f"EFI/BOOT/BOOT{what.arch.uefi_boot.upper()}.EFI"  # of removable media
    if what.arch.loader == "stub":
        made = unified(what, loaders)
        program.write_bytes(made)
        write_fat(path, {name: program})
        return Esp(path, *_places(path, made))
    script = "search --file --set=root /kernel\n" + grub.config("/kernel", "/initrd", what.cmdline)
    program.write_bytes(grub.efi_program(loaders.folder(ARM64_GRUB), script, work))
    kernel = work / "kernel"
    shutil.copyfile(what.kernel, kernel)  # for it gets another time, and the cache's keeps its own
    write_fat(path, {name: program, "kernel": kernel, "initrd": what.initrd})
    return Esp(path)


def _places(path: Path, made: bytes) -> tuple[pe.Section, pe.Section]:
    """Return where kernel and initrd lie in the partition; they follow each other in a fresh file system."""
    content = path.read_bytes()
    start = content.find(made[: 8 * SECTOR])
    if start < 0 or start % SECTOR or content[start : start + len(made)] != made:
        raise HostError("mtools has not written the kernel in one piece", hint="another version of mtools may")
    found = pe.sections(made)
    kernel, initrd = (pe.Section(start + found[name].at, found[name].size) for name in (KERNEL, INITRD))
    return kernel, initrd
