"""A built image's root written again with its files in another order: what order alone does to boot time.

The image alone is asked: neither its YAML nor its packages need be there any more. That what is read from it makes the
same bytes again, in the order that it has, is the proof that nothing else is changed.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import proc
from harness.build.formats import place_of, squashfs
from harness.build.root import FILE
from harness.errors import HarnessError, HostError
from harness.tree import cpio
from harness.tree.tree import Tree, TreeNode, read_layer


class NotTurnedError(HostError):
    """An image whose files cannot be put into another order; the message says why."""


class TurnedRoot:
    """An image's initrd, to be written with the files of its root in other orders. ``work`` is its own folder."""

    def __init__(self, initrd: Path | None, manifest: Mapping[str, Any], work: Path) -> None:
        """Read the root; NotTurnedError where it cannot be made again to the byte."""
        compression = str(manifest.get("compression", ""))
        if initrd is None or not compression:
            raise NotTurnedError("it has no root of the harness's making in an initrd")
        self._compression, self._work = compression, work
        self._data = initrd.read_bytes()
        place = cpio.find(self._data, FILE)
        if place is None:
            raise NotTurnedError(f"its initrd has no {FILE}")
        self._place = place
        work.mkdir(parents=True, exist_ok=True)
        own = self._data[place.begin : place.begin + place.size]
        try:
            self._tree = _read(own, work)
            again = self._written(0)
        except HarnessError as error:
            raise NotTurnedError(f"its root cannot be read: {error.message}") from error
        if again != own:
            raise NotTurnedError("its root was written by other programs than this host's")

    def initrd(self, turn: int, out: Path) -> Path:
        """Write the initrd whose root has the first `turn` hundredths of its files last; return its path."""
        out.write_bytes(cpio.replaced(self._data, self._place, self._written(turn)))
        return out

    def _written(self, turn: int) -> bytes:
        with tempfile.TemporaryDirectory(dir=self._work) as folder:
            made = Path(folder) / FILE
            squashfs(self._tree, made, self._compression, turn)
            return made.read_bytes()


def _read(root: bytes, work: Path) -> Tree:
    """Return the tree of a squashfs; the contents of its files stay in a tar in `work`."""
    image, tar = work / FILE, work / "root.tar"
    image.write_bytes(root)
    with tar.open("wb") as stream:
        proc.run(["sqfs2tar", str(image)], stdout=stream)
    image.unlink()
    tree = read_layer(tar)
    tree.nodes.update(_shared(tree))
    return tree


def _shared(tree: Tree) -> dict[str, TreeNode]:
    """Return the files that several containers have as one, each container with its own node again (`tree.Links`)."""
    names: dict[int, list[str]] = defaultdict(list)
    for path, node in tree.nodes.items():
        if not node.is_dir:
            names[id(node)].append(path)
    found: dict[str, TreeNode] = {}
    for paths in names.values():
        places = {place_of(path) for path in paths}
        if len(places) > 1:
            own = {place: replace(tree.nodes[paths[0]], shared=True) for place in places}
            found |= {path: own[place_of(path)] for path in paths}
    return found
