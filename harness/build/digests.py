"""The digests of package files that an image's own metadata names: of npm's packages, of what pip took from a URL.

Nobody has compared them with the files: those are not in the image. dpkg, apk, rpm and Go say none of a package file.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from harness.errors import UserError
from harness.files import parse_json
from harness.tree.tree import Tree

NODE_LOCK = "node_modules/.package-lock.json"  # npm 7 and later: what is there, by path (npm's package-lock.json)
SIZES = {"sha256": 32, "sha512": 64}  # bytes of what a bill has a place for
MAX_LOCK = 16 << 20  # bytes

Digests = dict[str, str]  # hexadecimal, by algorithm


class NodeDigests:
    """The digests of npm's packages in a root, by where they lie."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._read: dict[str, Mapping[str, Any]] = {}

    def of(self, path: str, said: Mapping[str, Any]) -> Digests:
        """Return those of the package whose package.json lies at `path` and holds `said`."""
        own = said.get("_integrity")  # npm 6 and earlier
        if isinstance(own, str):
            return subresource(own)
        place = path.removesuffix("/package.json")
        for found in re.finditer(r"(?:^|(?<=/))node_modules/", place):
            row = self._lock(place[: found.start()]).get(place[found.start() :])
            if isinstance(row, dict) and row.get("version") == said.get("version"):
                return subresource(row.get("integrity"))
        return {}

    def _lock(self, above: str) -> Mapping[str, Any]:
        if above not in self._read:
            node = self._tree.nodes.get(f"{above}{NODE_LOCK}")
            read = _object(node.content.read()) if node and node.content and node.content.size <= MAX_LOCK else {}
            rows = read.get("packages")
            self._read[above] = rows if isinstance(rows, dict) else {}
        return self._read[above]


def subresource(said: object) -> Digests:
    """Return the digests in npm's `integrity` (W3C's Subresource Integrity): ``sha512-BASE64``, several by blanks."""
    found: Digests = {}
    for word in said.split()[:8] if isinstance(said, str) else ():
        algorithm, _, packed = word.partition("-")
        try:
            data = base64.b64decode(packed.partition("?")[0], validate=True)
        except (binascii.Error, ValueError):
            continue
        if len(data) == SIZES.get(algorithm):
            found[algorithm] = data.hex()
    return found


def of_python(tree: Tree, path: str) -> Digests:
    """Return those of an archive that pip took from a URL (direct_url.json, PyPA's specification), by its METADATA."""
    node = tree.nodes.get(f"{path.rpartition('/')[0]}/direct_url.json")
    if node is None or node.content is None or node.content.size > MAX_LOCK:
        return {}
    archive = _object(node.content.read()).get("archive_info")
    said = archive.get("hashes") if isinstance(archive, dict) else None
    rows = said.items() if isinstance(said, dict) else ()
    return {
        algorithm: digits
        for algorithm, digits in rows
        if isinstance(digits, str) and re.fullmatch(f"[0-9a-f]{{{2 * SIZES.get(algorithm, 0)}}}", digits) and digits
    }


def _object(data: bytes) -> Mapping[str, Any]:
    try:
        found = parse_json(data, "it")
    except UserError:
        return {}
    return found if isinstance(found, dict) else {}
