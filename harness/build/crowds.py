"""Folders of very many entries, on their way through a program that looks at every entry for each new one.

tar2sqfs searches a folder's whole list for each name that it adds: 60,000 files in one folder took it 147 s. So it is
given the entries of such a folder in folders of `PART` of them, and `squashlinks.amend` makes one of these again.
"""

from __future__ import annotations

import posixpath
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable

CROWDED = 4096  # entries of a folder from which on it is parted
PART = 1024  # entries of a part


class Crowds:
    """Which folders among `paths` are crowded, and where their entries lie meanwhile."""

    def __init__(self, paths: Iterable[str]) -> None:
        paths = list(paths)
        sizes = Counter(map(posixpath.dirname, paths))
        held: dict[str, list[bytes]] = {path: [] for path, size in sizes.items() if size > CROWDED}
        for path in paths if held else ():
            above, name = posixpath.split(path)
            if above in held:
                held[above].append(_bytes(name))
        # the first name of each part; in the order of bytes, as a squashfs has them
        self._parts = {path: sorted(names)[::PART] for path, names in held.items()}

    @property
    def folders(self) -> list[str]:
        """The crowded folders, by where they lie meanwhile."""
        return [self.place(path) for path in self._parts]

    def place(self, path: str) -> str:
        """Return where a path lies while its folders are in parts."""
        if not self._parts or not path:
            return path
        above, name = posixpath.split(path)
        parts = self._parts.get(above)
        if parts is not None:
            name = f"{bisect_right(parts, _bytes(name)) - 1:06}/{name}"
        return posixpath.join(self.place(above), name)


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
