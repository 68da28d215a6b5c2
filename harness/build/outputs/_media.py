"""What formats share that are media: kernel, initrd and whole command line of an image, and which loaders they take."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from harness.arch import Arch
from harness.build import formats
from harness.build.media import verity
from harness.build.media.disk import write_disk
from harness.build.media.esp import Bootables
from harness.build.media.loaders import ARM64_GRUB, BIOS_GRUB, STUB, Loaders
from harness.build.outputs import OutputFiles, OutputParts
from harness.errors import UserError
from harness.spec.rules.characters import kernel_line

_PACKAGES: Mapping[str, tuple[str, ...]] = {"stub": (STUB,), "grub": (ARM64_GRUB,), "map": ()}
OS_RELEASE = ("etc/os-release", "usr/lib/os-release")
Writer = Callable[[Bootables, Loaders, Path, Path], None]


def loaders(arch: Arch) -> tuple[str, ...] | None:
    """Return the packages of an architecture's boot loader on disks and CDs; None where there is none."""
    if arch.loader == "none":
        return None
    return (*_PACKAGES[arch.loader], *([BIOS_GRUB] if arch.bios else []))


def make(parts: OutputParts, path: Path, writer: Writer, boots_as: str) -> OutputFiles:
    """Let `writer` write a format that is one file, which boots as that one of `image.Parts`."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".medium-") as name:
        work = Path(name)
        (work / "medium").mkdir()
        what = bootables(parts, work)
        writer(what, parts.loaders, path, work / "medium")
        holds = {"kernel": what.kernel.stat().st_size, "initrd": what.initrd.stat().st_size}
    size = parts.root.squashfs.stat().st_size
    if what.root:
        holds |= {"root": len(what.root.data), "tree": len(what.root.tree)}
    # arm64's machines have no firmware of their own, and nothing but a UEFI takes a unified kernel image
    firmware: Literal["uefi"] | None = "uefi" if boots_as == "kernel" or parts.arch.uefi_only else None
    return OutputFiles((path.name,), path.name, size, boot={boots_as: path.name}, holds=holds, firmware=firmware,
                       root_hash=what.root.hash.hex() if what.root else "")  # fmt: skip


def bootables(parts: OutputParts, work: Path) -> Bootables:
    """Write the initrd into `work` and return all that boots."""
    stage, initrd = parts.first_stage, work / "initrd"
    root = verity.verified(parts.root.squashfs) if parts.verity else None
    carried = None if root else parts.root.squashfs
    formats.initrd(initrd, parts.arch, stage.modules, carried, stage.ucode, bare=stage.bare)
    tree = parts.root.tree
    nodes = (tree.look(one) for one in OS_RELEASE)
    found = next((node.content for node in nodes if node and node.content), None)
    release = found.small("os-release").decode("utf-8", "replace") if found else ""
    own = " ".join(filter(None, [parts.cmdline, root.word if root else ""]))
    return Bootables(parts.arch, parts.kernel, initrd, whole_line(own, parts.arch), release, root)


def whole_line(own: str, arch: Arch) -> str:
    """Return an image's kernel command line, with the architecture's console unless it names one.

    UserError when that is longer than the kernel takes.
    """
    named = any(word.startswith("console=") for word in own.split())
    line = own if named else f"{own} console={arch.console}".strip()
    if (fault := kernel_line(line, [arch])) is not None:
        raise UserError(f"{fault.what}, with the console that a medium needs", hint=fault.expected)
    return line


def exchanged(convert: Callable[[Path, Path], None]) -> Writer:
    """Return what writes a disk in another format than raw, which `convert` makes of a raw one."""

    def writer(what: Bootables, loaders: Loaders, path: Path, work: Path) -> None:
        raw = work / "disk.raw"
        write_disk(what, loaders, raw, work)
        convert(raw, path)

    return writer
