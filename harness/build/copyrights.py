"""The copyright files of the packages that an image is made of: found, kept beside it, and read for their licences.

Debian Policy 12.5: a package has its own as usr/share/doc/PACKAGE/copyright, or its documentation's folder is a link to
that of a package of the same source that it depends on.
"""

from __future__ import annotations

import posixpath
import shutil
import tarfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from urllib.parse import quote

from harness.build import licences
from harness.build.packages import DebianPackage
from harness.store import file_digest
from harness.tree.tree import TreeNode

FOLDER = "licences"  # beside a layer's, a kernel's or an image's other files
MAX_LINKS = 4
DOC = "usr/share/doc"

Open = Callable[[DebianPackage], Mapping[str, TreeNode]]
FileOf = Callable[[DebianPackage], Path]


def keep(
    packages: Iterable[DebianPackage], by_name: Mapping[str, DebianPackage], open_: Open, file_of: FileOf, work: Path
) -> dict[str, dict[str, str]]:
    """Write the packages' copyright files into `work`/licences; return what a bill says of each package by its name.

    That is its licence, its copyright file and the .deb's SHA-512, for Debian's own index has no more than a SHA-256.
    `open_` gives a package's paths, `file_of` its .deb; `by_name` are those that a link may lead to.
    """
    folder = work / FOLDER
    folder.mkdir()
    found: dict[str, dict[str, str]] = {}
    for package in packages:
        content = find(package, by_name, open_)
        name = quote(f"{package.name}_{package.version}", safe="+~")  # as apt spells its archives
        if content:
            (folder / name).write_bytes(content)
        licence = licences.read(content, package.source).expression
        found[package.name] = {"licence": licence, "copyright": name if content else "",
                               "sha512": file_digest(file_of(package), "sha512")}  # fmt: skip
    return found


def find(package: DebianPackage, by_name: Mapping[str, DebianPackage], open_: Open) -> bytes:
    """Return a package's copyright file, links to other packages' followed; nothing when it has none."""
    path, holder = f"{DOC}/{package.name}/copyright", package
    for _ in range(MAX_LINKS):
        nodes = open_(holder)
        node = nodes.get(path)
        if node is not None and node.content is not None:
            return node.content.read() if node.content.size <= licences.MAX_TEXT else b""
        link = next((one for one in (path, posixpath.dirname(path)) if _is_link(nodes.get(one))), None)
        if link is None:
            return b""
        below = posixpath.join(posixpath.dirname(link), nodes[link].target, path[len(link) + 1 :])
        path = posixpath.normpath(below).lstrip("/")
        owner = by_name.get(path.removeprefix(f"{DOC}/").partition("/")[0])
        if owner is None:
            return b""
        holder = owner
    return b""


def _is_link(node: TreeNode | None) -> bool:
    return node is not None and node.type == tarfile.SYMTYPE


def gather(parts: Iterable[Path], image: Path) -> None:
    """Put the copyright files of finished layers and kernels together into an image's folder."""
    folder = image / FOLDER
    folder.mkdir()
    for part in parts:
        for file in (part / FOLDER).iterdir():
            shutil.copyfile(file, folder / file.name)
