"""The root filesystem as a tar: to look into, or to unpack where something else boots it."""

from __future__ import annotations

from pathlib import Path

from harness.build.outputs import OutputFiles, OutputParts
from harness.tree.tree import write

FORMAT = "tar"


def make(parts: OutputParts, folder: Path) -> OutputFiles:
    """Write root.tar."""
    path = folder / "root.tar"
    with path.open("wb") as out:
        write(parts.root.tree, out)
    return OutputFiles(shipped=(path.name,), root=path.name, root_size=path.stat().st_size)
