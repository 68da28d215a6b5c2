"""An image's layers in, its root as a tree out (image-spec, layer.md). Pure but for reading the layers' tables."""

from __future__ import annotations

import posixpath
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from sys import intern

from harness.oci import layers
from harness.oci.image import OciImage
from harness.oci.layers import Alive, LayerEntry, Limits, idle
from harness.store import Store
from harness.tree.tree import MAX_LINKS, Tree, TreeNode, folder


class BadEntryError(Exception):
    """An entry that cannot be applied to what lies below it; its text says why."""


@dataclass(slots=True)
class _Place:
    """A path of the root: what is there, which layer put it there, and what lies below it."""

    node: TreeNode
    layer: int
    below: dict[str, _Place]


def merge(
    image: OciImage,
    limits: Limits,
    store: Store,
    alive: Alive = idle,
    note: Callable[[str], None] = lambda _: None,
) -> Tree:
    """Return the image's root; file contents stay in the store. `alive` is called as layers are unpacked.

    `note` is told of what the image has and its root here has not.
    Raises LayerError when a layer is damaged or hostile, or all together are beyond `limits`.
    """
    root = MergedRoot(limits.entries)
    size = entries = tables = 0
    for number, blob in enumerate(image.layers):
        path = layers.unpack(image, number, limits, store, alive)
        tables += layers.table_size(path)
        if tables > limits.table:
            raise layers.refusal(image, blob, f"makes the image hold more names than {limits.table >> 20} MiB")
        table = list(layers.load(path))
        size += sum(one.node.content.size for one in table if one.node and one.node.content)
        entries += len(table)
        if size > limits.size or entries > limits.entries:
            most = f"{limits.size >> 20} MiB (HARNESS_OCI_LIMIT) or {limits.entries} entries"
            raise layers.refusal(image, blob, f"makes the image larger than {most}")
        try:
            notes = [entry for entry in table if entry.action == "note"]
            root.apply(table, number)
            for entry in notes:
                note(f"{image.reference}: {entry.path[: layers.MAX_NAME]!r}: {entry.target}")
        except BadEntryError as error:
            raise layers.refusal(image, blob, str(error), root.at) from None
    return root.tree()


_NOTHING: dict[str, _Place] = {}


class MergedRoot:
    """A root filesystem in the making. Links are followed inside it, as by a process whose root it is."""

    def __init__(self, most: int) -> None:
        self._top = _Place(folder(), -1, {})
        self._left = most  # paths that it may still grow by
        self._folders: set[str] = set()  # what the layer at hand says is a folder, whatever lies below it
        self._last: tuple[str, int, _Place] | None = None  # the folder found last, while it cannot be another
        self.at = ""  # the entry whose turn it is

    def apply(self, table: list[LayerEntry], layer: int) -> None:
        """Apply one layer, whose table is empty then; BadEntryError when an entry, `at`, cannot be.

        Its whiteouts hide what is below it alone, wherever in its tar they stand; but its hardlinks may still name it.
        """
        linked: dict[str, TreeNode] = {}
        self._last = None
        self._folders = {entry.path for entry in table if entry.node is not None and entry.node.is_dir}
        for entry in table:
            self.at = entry.path
            if entry.action == "link":
                found = self._find(entry.target)
                if found is not None:
                    linked[entry.target] = found
        for entry in table:
            self.at = entry.path
            if entry.action in ("hide", "clear"):
                self._hide(entry)
        table.reverse()
        while table:  # of many entries a copy is large: each goes as it is applied
            entry = table.pop()
            self.at = entry.path
            if entry.node is not None:
                self._put(entry.path, entry.node, layer)
            elif entry.action == "link":
                node = self._find(entry.target) or linked.get(entry.target)
                if node is None or node.type == tarfile.DIRTYPE:
                    raise BadEntryError(
                        f"is a hardlink to {entry.target[:255]!r}, which is not a file that comes before it"
                    )
                self._put(entry.path, node, layer)
            elif entry.action == "drop":
                above, name = posixpath.split(entry.path)
                self._folder(above, layer).below.pop(name, None)
                self._last = None

    def tree(self) -> Tree:
        """Return all paths with their nodes, in order; nothing is left here then, for of many a copy is large."""
        found: dict[str, TreeNode] = {}
        todo = [("", self._top)]
        while todo:
            path, place = todo.pop()
            if path:
                found[path] = place.node
            if place.below:
                todo += [
                    (f"{path}/{name}" if path else name, one) for name, one in sorted(place.below.items(), reverse=True)
                ]
                place.below = _NOTHING
        return Tree(found, self._top.node)

    def _put(self, path: str, node: TreeNode, layer: int) -> None:
        if not path:
            self._top.node = node
            return
        above, name = posixpath.split(path)
        parent = self._folder(above, layer)
        old = parent.below.get(name)
        if old is not None:
            self._last = None  # it may have been a folder or a link on the way there
        if old is None or not (old.node.type == node.type == tarfile.DIRTYPE):
            parent.below[intern(name)] = self._place(node, layer)
        else:
            old.node, old.layer = node, layer

    def _place(self, node: TreeNode, layer: int) -> _Place:
        self._left -= 1
        if self._left < 0:
            raise BadEntryError("is one path more than an image may have")
        # most are no folders: nothing is ever put below them
        return _Place(node, layer, {} if node.is_dir else _NOTHING)

    def _hide(self, entry: LayerEntry) -> None:
        hides = entry.action == "hide"
        above, name = posixpath.split(entry.path) if hides else (entry.path, "")
        place = self._walk(above)
        if place is None:
            return
        if hides:
            place.below.pop(name, None)
        else:
            place.below.clear()

    def _find(self, path: str) -> TreeNode | None:
        """Return what is at `path`, the links among its folders followed."""
        above, name = posixpath.split(path)
        parent = self._walk(above)
        place = parent.below.get(name) if parent else None
        return place.node if place else None

    def _folder(self, path: str, layer: int) -> _Place:
        """Return the folder at `path`, made when it is missing."""
        if self._last is not None and self._last[:2] == (path, layer):
            return self._last[2]
        place = self._walk(path, layer)
        assert place is not None, "what is missing has been made"
        self._last = path, layer, place
        return place

    def _walk(self, path: str, layer: int | None = None) -> _Place | None:
        """Return the folder that `path` leads to; `layer` makes what is missing, else None says so.

        A layer is made of a real tree, where nothing lies below a link: one that was put there by the same `layer` is a
        trap, and so is a link that leads above the root. A link of a lower layer is followed, unless the layer at hand
        has a folder in its place: that one hides it.
        """
        stack = [self._top]
        todo = path.split("/")[::-1] if path else []
        links = 0
        at = ""  # the path so far, while no link was followed
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                stack.pop()
                if not stack:
                    raise BadEntryError("lies below a link that leads out of the root")
                continue
            place = stack[-1].below.get(part)
            at = f"{at}/{part}" if at else part
            if not links and at in self._folders and _is_lower(place, layer):
                place = None
            if place is None and layer is not None:
                place = stack[-1].below[part] = self._place(folder(), layer)
            if place is None or place.node.type not in (tarfile.SYMTYPE, tarfile.DIRTYPE):
                if layer is not None:
                    raise BadEntryError("lies below what is not a folder")
                return None
            if place.node.is_dir:
                stack.append(place)
                continue
            links += 1
            if place.layer == layer or links > MAX_LINKS:
                raise BadEntryError("lies below a link of the same layer, or links that go in a circle")
            if place.node.target.startswith("/"):
                del stack[1:]
            todo += place.node.target.split("/")[::-1]
        return stack[-1]


def _is_lower(place: _Place | None, layer: int | None) -> bool:
    """Say whether what is at a place is not a folder, and not of `layer`."""
    return place is not None and not place.node.is_dir and place.layer != layer
