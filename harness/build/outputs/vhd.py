"""A disk as a fixed vhd: for Azure and Hyper-V."""

from __future__ import annotations

from pathlib import Path

from harness.build.media import exchange
from harness.build.outputs import OutputFiles, OutputParts, _media

FORMAT = "vhd"
loaders = _media.loaders
VERIFIED = True


def make(parts: OutputParts, folder: Path) -> OutputFiles:
    """Write disk.vhd."""
    return _media.make(parts, folder / "disk.vhd", _media.exchanged(exchange.vhd), "disk")
