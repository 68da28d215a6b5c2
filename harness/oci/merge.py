"""An image's layers in, its root as a tree out (image-spec, layer.md). Pure but for reading the layers' tables."""

from __future__ import annotations

import errno
import os
import posixpath
import sqlite3
import tarfile
from collections.abc import Callable
from pathlib import Path

from harness.oci import layers
from harness.oci.image import OciImage
from harness.oci.layers import Alive, LayerEntry, Limits, idle
from harness.oci.nodes import IMPLIED, MergedNodes, source_of
from harness.oci.places import TOP, Places, RootPlace
from harness.store import Store
from harness.tree.tree import MAX_LINKS, Tree

IN_MEMORY = 100_000  # paths up to which a root is a dictionary, which is quicker
FOLDER, LINK = tarfile.DIRTYPE.decode(), tarfile.SYMTYPE.decode()


class BadEntryError(Exception):
    """An entry that cannot be applied to what lies below it; its text says why."""


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
    with store.telling("an image's root"):
        try:
            return _merge(image, limits, store, alive, note)
        except sqlite3.OperationalError as error:
            code = errno.ENOSPC if error.sqlite_errorcode == sqlite3.SQLITE_FULL else errno.EIO
            raise OSError(code, os.strerror(code), str(store.root)) from error


def _merge(image: OciImage, limits: Limits, store: Store, alive: Alive, note: Callable[[str], None]) -> Tree:
    root = MergedRoot(limits.entries, store.root / "tmp")
    size = entries = tables = 0
    for number, blob in enumerate(image.layers):
        path = layers.unpack(image, number, limits, store, alive)
        tables += layers.table_size(path)
        if tables > limits.table:
            raise layers.refusal(image, blob, f"makes the image hold more names than {limits.table >> 20} MiB")
        more, bytes_ = layers.totals(path)
        entries, size = entries + more, size + bytes_
        if size > limits.size or entries > limits.entries:
            most = f"{limits.size >> 20} MiB (HARNESS_OCI_LIMIT) or {limits.entries} entries"
            raise layers.refusal(image, blob, f"makes the image larger than {most}")
        try:
            for entry in root.apply(path, alive):
                note(f"{image.reference}: {entry.path[: layers.MAX_NAME]!r}: {entry.target}")
        except BadEntryError as error:
            raise layers.refusal(image, blob, str(error), root.at) from None
    return root.tree()


class MergedRoot:
    """A root filesystem in the making. Links are followed inside it, as by a process whose root it is.

    `most` is how many folders may be in it that no layer has by themselves; `scratch` takes what memory should not.
    """

    def __init__(self, most: int, scratch: Path) -> None:
        self._places = Places(scratch)
        self._nodes = MergedNodes(self._places)
        self._top = IMPLIED
        self._left, self._puts = most, 0
        self._followed = 0  # links on the last walk
        self._layer = -1
        self._over: set[str] = set()  # where the layer at hand has a folder over what is none
        self._last: tuple[str, int] | None = None  # the folder found last, while it cannot be another
        self.at = ""  # the entry whose turn it is

    def apply(self, path: Path, alive: Alive = idle) -> list[LayerEntry]:
        """Apply one layer, unpacked; return its notes. BadEntryError when an entry, `at`, cannot be.

        Its whiteouts hide what is below it alone, wherever in its tar they stand; but its hardlinks may still name it.
        """
        layer, notes = self._nodes.add(path), []
        self._layer = layer
        linked = self._look_below(path) if layer else {}
        self._last = None
        for number, entry in enumerate(layers.load(path)):
            if not number % 1000:
                alive()
            self.at = entry.path
            if entry.action in ("put", "folder"):
                self._put(entry.path, entry.kind, source_of(layer, entry.at))
            elif entry.action == "link":
                found = self._find(entry.target) or linked.get(entry.target)
                if found is None or found.is_dir:
                    raise BadEntryError(
                        f"is a hardlink to {entry.target[:255]!r}, which is not a file that comes before it"
                    )
                self._nodes.linked.add(found.source)
                self._put(entry.path, found.kind, found.source)
            elif entry.action == "drop":
                above, name = posixpath.split(entry.path)
                self._places.remove(self._folder(above), name)
                self._last = None
            elif entry.action == "note":
                notes.append(entry)
        return notes

    def tree(self) -> Tree:
        """Return all paths with their nodes, in order."""
        top = self._nodes.node(self._top)
        if self._puts > IN_MEMORY:
            return Tree(self._nodes, top)
        found = dict(self._nodes.items())
        self._nodes.close()
        return Tree(found, top)

    def _look_below(self, path: Path) -> dict[str, RootPlace]:
        """Hide what the layer hides; return what was there where its hardlinks lead."""
        self._over = {entry.path for entry in layers.load(path, "folder") if self._is_no_folder(entry.path)}
        linked = {}
        for entry in layers.load(path, "link"):
            self.at = entry.path
            found = self._find(entry.target)
            if found is not None:
                linked[entry.target] = found
        for entry in layers.load(path, "hide", "clear"):
            self.at = entry.path
            self._hide(entry)
        return linked

    def _put(self, path: str, kind: str, source: int) -> None:
        if not path:
            self._top = source
            return
        above, _, name = path.rpartition("/")
        parent = self._folder(above)
        self._puts += 1
        self._places.put(parent, name, self._layer, kind, source, is_dir=kind == FOLDER)

    def _hide(self, entry: LayerEntry) -> None:
        hides = entry.action == "hide"
        above, name = posixpath.split(entry.path) if hides else (entry.path, "")
        place = self._walk(above)
        if place is None:
            return
        if hides:
            self._places.remove(place, name)
        else:
            self._places.clear(place)

    def _find(self, path: str) -> RootPlace | None:
        """Return what is at `path`, the links among its folders followed."""
        above, name = posixpath.split(path)
        parent = self._walk(above)
        return self._places.look(parent, name) if parent is not None else None

    def _is_no_folder(self, path: str) -> bool:
        """Say whether at `path` itself, no link followed, there is something else than a folder."""
        parent = TOP
        for part in path.split("/"):
            place = self._places.look(parent, part)
            if place is None or not place.is_dir:
                return place is not None
            parent = place.id
        return False

    def _folder(self, path: str) -> int:
        """Return the folder at `path`, made when it is missing."""
        if self._last is not None and self._last[0] == path:
            return self._last[1]
        place = self._walk(path, self._layer)
        assert place is not None, "what is missing has been made"
        # beyond a link, what is put into a folder may be in its own path
        self._last = None if self._followed else (path, place)
        return place

    def _walk(self, path: str, layer: int | None = None) -> int | None:
        """Return the folder that `path` leads to; `layer` makes what is missing, else None says so.

        A layer is made of a real tree, where nothing lies below a link: one that was put there by the same `layer` is a
        trap, and so is a link that leads above the root. A link of a lower layer is followed, unless the layer at hand
        has a folder in its place: that one hides it.
        """
        stack = [TOP]
        todo = path.split("/")[::-1] if path else []
        self._followed = 0
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
            place = self._places.look(stack[-1], part)
            at = f"{at}/{part}" if at else part
            if not self._followed and at in self._over and _is_lower(place, layer):
                place = None
            if place is None and layer is not None:
                stack.append(self._make(stack[-1], part, layer))
                continue
            if place is None or not (place.is_dir or place.kind == LINK):
                if layer is not None:
                    raise BadEntryError("lies below what is not a folder")
                return None
            if place.is_dir:
                stack.append(place.id)
                continue
            self._followed += 1
            if place.layer == layer or self._followed > MAX_LINKS:
                raise BadEntryError("lies below a link of the same layer, or links that go in a circle")
            target = self._nodes.node(place.source).target
            if target.startswith("/"):
                del stack[1:]
            todo += target.split("/")[::-1]
        return stack[-1]

    def _make(self, parent: int, name: str, layer: int) -> int:
        """Make a folder that no entry is about."""
        self._left, self._puts = self._left - 1, self._puts + 1
        if self._left < 0:
            raise BadEntryError("is one path more than an image may have")
        return self._places.put(parent, name, layer, FOLDER, IMPLIED, is_dir=True)


def _is_lower(place: RootPlace | None, layer: int | None) -> bool:
    """Say whether what is at a place is not a folder, and not of `layer`."""
    return place is not None and not place.is_dir and place.layer != layer
