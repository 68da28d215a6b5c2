"""A disk as a streamOptimized vmdk: for VMware, VirtualBox, and import into AWS."""

from __future__ import annotations

from pathlib import Path

from harness.build.media import exchange
from harness.build.outputs import OutputFiles, OutputParts, _media

FORMAT = "vmdk"
loaders = _media.loaders
VERIFIED = True


def make(parts: OutputParts, folder: Path) -> OutputFiles:
    """Write disk.vmdk."""
    return _media.make(parts, folder / "disk.vmdk", _media.exchanged(exchange.vmdk), "disk")
