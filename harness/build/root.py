"""The root filesystem as an artifact of its own: a squashfs, kept by the content of its tree."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from harness.store import Store, digest_of
from harness.tree import versions
from harness.tree.tree import Tree

KIND, FILE = "roots", "root.squashfs"


@dataclass(frozen=True)
class Root:
    """A root filesystem: its tree, and the squashfs that was made of it."""

    tree: Tree
    squashfs: Path


def make_root(tree: Tree, compression: str, store: Store) -> Root:
    """Return the root of `tree`, made when the store lacks it."""
    from harness.build.formats import squashfs

    key = digest_of([versions.ROOT, compression, content_digest(tree)])
    folder = store.make(KIND, key, lambda work: squashfs(tree, work / FILE, compression))
    return Root(tree, folder / FILE)


def content_digest(tree: Tree) -> str:
    """Return the SHA-256 (hex) over all that a filesystem made of the tree holds."""
    found = hashlib.sha256()
    names: dict[int, str] = {}  # one node at two paths is a hardlink
    for path in sorted(tree.nodes):
        node = tree.nodes[path]
        row = (path, node.type, node.mode, node.uid, node.gid, node.target, node.digest, node.device, node.pax,
               node.mtime, node.shared, names.setdefault(id(node), path))  # fmt: skip
        found.update(repr(row).encode("utf-8", "surrogateescape"))
    return found.hexdigest()
