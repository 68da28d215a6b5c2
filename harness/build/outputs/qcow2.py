"""A disk as qcow2, compressed: for QEMU and OpenStack."""

from __future__ import annotations

from pathlib import Path

from harness.build.media import exchange
from harness.build.outputs import OutputFiles, OutputParts, _media

FORMAT = "qcow2"
loaders = _media.loaders
VERIFIED = True


def make(parts: OutputParts, folder: Path) -> OutputFiles:
    """Write disk.qcow2."""
    return _media.make(parts, folder / "disk.qcow2", _media.exchanged(exchange.qcow2), "disk")
