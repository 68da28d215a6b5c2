"""A CD; x86_64's boots by BIOS and UEFI, and as a USB stick, with one copy of kernel and initrd."""

from __future__ import annotations

from pathlib import Path

from harness.build.media.cd import write_cd
from harness.build.outputs import OutputFiles, OutputParts, _media

FORMAT = "iso"
loaders = _media.loaders


def make(parts: OutputParts, folder: Path) -> OutputFiles:
    """Write cd.iso."""
    return _media.make(parts, folder / "cd.iso", write_cd, "iso")
