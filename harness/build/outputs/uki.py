"""A unified kernel image: one program for a UEFI, with kernel, initrd and command line in it."""

from __future__ import annotations

import gzip
from pathlib import Path

from harness.arch import Arch
from harness.build.media.esp import Bootables, unified
from harness.build.media.loaders import STUB, Loaders
from harness.build.outputs import OutputFiles, OutputParts, _media

FORMAT = "uki"


def loaders(arch: Arch) -> tuple[str, ...] | None:
    """Return the package of the stub; None where there is no UEFI."""
    return (STUB,) if arch.uefi_boot else None


def make(parts: OutputParts, folder: Path) -> OutputFiles:
    """Write linux.efi."""
    return _media.make(parts, folder / "linux.efi", _write, "kernel")


def _write(what: Bootables, loaders: Loaders, path: Path, work: Path) -> None:
    kernel = what.kernel.read_bytes()
    # a UEFI starts the kernel's own program, which arm64's is only once it is unpacked
    path.write_bytes(unified(what, loaders, gzip.decompress(kernel) if kernel.startswith(b"\x1f\x8b") else None))
