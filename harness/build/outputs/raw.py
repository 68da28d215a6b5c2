"""A disk, as it is written onto a stick, a drive or a volume: boots by UEFI, on x86_64 by BIOS too, on s390x by IPL."""

from __future__ import annotations

from pathlib import Path

from harness.build.media.disk import write_disk
from harness.build.outputs import OutputFiles, OutputParts, _media

FORMAT = "raw"
loaders = _media.loaders
VERIFIED = True


def make(parts: OutputParts, folder: Path) -> OutputFiles:
    """Write disk.raw."""
    return _media.make(parts, folder / "disk.raw", write_disk, "disk")
