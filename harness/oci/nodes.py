"""A merged root's paths as a mapping that reads each node where its layer's table has it."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, MutableMapping
from pathlib import Path
from typing import IO, NoReturn

from harness.oci import layers
from harness.oci.places import TOP, Places, RootPlace
from harness.tree.tree import TreeNode, folder

IMPLIED = -1  # the source of a folder that no layer has an entry for
_SHIFT = 40  # a table has fewer bytes than 2 to this power


def source_of(layer: int, at: int) -> int:
    """Return the source of what a layer's table has at a byte."""
    return layer << _SHIFT | at


class MergedNodes(MutableMapping[str, TreeNode]):
    """What is at each path; `linked` are the sources that have several paths. Nothing of it can be changed."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._layers: list[tuple[Path, IO[bytes]]] = []  # contents and tables
        self.linked: set[int] = set()
        self._several: dict[int, TreeNode] = {}

    def add(self, layer: Path) -> int:
        """Take a layer, unpacked; return its number."""
        self._layers.append((layer / layers.CONTENT, (layer / layers.TABLE).open("rb")))
        return len(self._layers) - 1

    def close(self) -> None:
        """Let go of the files that it reads."""
        self._places.close()
        for _, table in self._layers:
            table.close()

    def node(self, source: int) -> TreeNode:
        """Return the node of a source, for one of several paths the same each time."""
        if source == IMPLIED:
            return folder()
        if source in self._several:
            return self._several[source]
        layer, at = source >> _SHIFT, source & (1 << _SHIFT) - 1
        found = layers.node(*self._layers[layer], at)
        if source in self.linked:
            self._several[source] = found
        return found

    def __getitem__(self, path: str) -> TreeNode:
        place: RootPlace | None = None
        parent = TOP
        for part in path.split("/"):
            if place is not None and not place.is_dir:
                raise KeyError(path)
            place = self._places.look(parent, part)
            if place is None:
                raise KeyError(path)
            parent = place.id
        assert place is not None, "a path has a part"
        return self.node(place.source)

    def __iter__(self) -> Iterator[str]:
        return (path for path, _ in self._places.walk())

    def __len__(self) -> int:
        return sum(1 for _ in self._places.walk())

    def items(self) -> ItemsView[str, TreeNode]:
        """Return paths and nodes: each as it is asked for."""
        return _Items(self)

    def all(self) -> Iterator[tuple[str, TreeNode]]:
        """Yield what `items` shows."""
        return ((path, self.node(place.source)) for path, place in self._places.walk())

    def __setitem__(self, path: str, node: TreeNode) -> NoReturn:
        raise TypeError("a merged root stays as it is: copy it")

    def __delitem__(self, path: str) -> NoReturn:
        raise TypeError("a merged root stays as it is: copy it")


class _Items(ItemsView[str, TreeNode]):
    def __init__(self, nodes: MergedNodes) -> None:
        super().__init__(nodes)
        self._nodes = nodes

    def __iter__(self) -> Iterator[tuple[str, TreeNode]]:
        return self._nodes.all()
