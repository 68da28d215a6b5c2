"""The shared libraries that a component's programs really need, found among the packages they depend on."""

from __future__ import annotations

import posixpath
import re
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.arch import Arch
from harness.build import elf
from harness.build.deb import merged
from harness.build.globs import matcher
from harness.build.packages import DebianPackage, Resolution
from harness.errors import UserError
from harness.tree.tree import Tree, TreeNode

MAX_LINKS = 16


@dataclass(frozen=True)
class Want:
    """A library that something needs: a soname or a loader's path or a glob, who needs it, and where it may lie."""

    name: str
    holder: str  # the package whose file needs it; "" when it is the component's own
    needed_by: str
    folders: tuple[str, ...]


class Libraries:
    """Completes a tree. `load` gives a package's nodes, `prefetch` may bring several packages at once."""

    def __init__(
        self,
        arch: Arch,
        resolution: Resolution,
        load: Callable[[DebianPackage], Mapping[str, TreeNode]],
        prefetch: Callable[[Sequence[DebianPackage]], None],
    ) -> None:
        self.arch, self.resolution, self._load, self._prefetch = arch, resolution, load, prefetch
        self._opened: dict[str, Mapping[str, TreeNode]] = {}
        self.standard = (f"usr/lib/{arch.cross}", "usr/lib", "usr/lib64")

    def open(self, package: DebianPackage) -> Mapping[str, TreeNode]:
        """Return the package's nodes, reading it once."""
        if package.name not in self._opened:
            self._opened[package.name] = self._load(package)
        return self._opened[package.name]

    def complete(self, tree: Tree, owners: dict[str, str], extra: Sequence[str], component: str) -> None:
        """Add to `tree` what its ELF files need, and `extra` (sonames, or globs of files), recursively.

        `owners` (path to package name) says who brought each file, and is kept up to date. Raises UserError when
        something needed is in no package of the resolution.
        """
        queue = [Want(name, "", f"`libraries` of {component}", self.standard) for name in extra]
        unread = [path for path, _ in tree.files()]
        while unread or queue:
            for path in unread:
                queue += self._wants(path, tree.nodes[path], owners.get(path, ""))
            wants = [want for want in dict.fromkeys(queue) if not self._there(want, tree)]
            self._prefetch([package for want in wants for package in self._likely(want)])
            wants.sort(key=lambda want: min((self._rank(one, want.name) for one in self._near(want)), default=9))
            queue, unread = [], []
            for want in wants:
                if not self._there(want, tree):
                    unread += self._take(want, tree, owners)

    def _wants(self, path: str, node: TreeNode, holder: str) -> list[Want]:
        if node.content is None or node.content.size < 64:
            return []
        data = node.content.read()
        if not data.startswith(elf.MAGIC):
            return []
        found = elf.needs(data, path)
        if found.machine != self.arch.elf_machine:
            return []
        origin = posixpath.dirname(path)
        own = (text.replace("$ORIGIN", f"/{origin}").replace("${ORIGIN}", f"/{origin}") for text in found.folders)
        folders = tuple(dict.fromkeys([*(merged(posixpath.normpath(one).lstrip("/")) for one in own if one)]))
        names = (*found.needed, *((found.loader,) if found.loader else ()))
        return [Want(name, holder, f"/{path}", (*self.standard, *folders)) for name in names]

    def _there(self, want: Want, tree: Tree) -> bool:
        return bool(self._matches(want, tree.nodes))

    def _matches(self, want: Want, nodes: Mapping[str, TreeNode]) -> list[str]:
        if want.name.startswith("/"):
            place = merged(want.name.lstrip("/"))
            return [place] if place in nodes else []
        if re.search(r"[*?\[/]", want.name):
            fits = matcher(want.name if "/" in want.name else f"usr/lib/**/{want.name}")
            return sorted(path for path, node in nodes.items() if not node.is_dir and fits(path))
        return [place for place in (f"{folder}/{want.name}" for folder in want.folders) if place in nodes][:1]

    def _near(self, want: Want) -> list[DebianPackage]:
        """The packages that may hold it, nearest dependency first, then all others of the resolution."""
        by_name = self.resolution.by_name
        roots = [want.holder] if want.holder else list(self.resolution.names)
        order: dict[str, DebianPackage] = {}
        level: Iterable[str] = roots
        while level:
            new = {by_name[name].name: by_name[name] for name in level if name in by_name}
            new = {name: package for name, package in sorted(new.items()) if name not in order}
            order |= new
            level = [name for package in new.values() for name in package.depends]
        return [*order.values(), *(package for package in self.resolution.packages if package.name not in order)]

    def _rank(self, package: DebianPackage, name: str) -> int:
        base = posixpath.basename(name)
        if base.startswith(("ld-linux", "ld64.so")):
            base = "libc.so.6"
        plain = re.sub(r"(t64|g|v5)$", "", package.name)
        if plain == policy_name(base):
            return 0
        if package.name in self._opened:
            return 1
        stem = re.split(r"[.*?\[]|-\d|_", base)[0].rstrip("0123456789").lower()
        if len(stem) > 2 and stem.removeprefix("lib") in package.name:
            return 2
        return 3 if package.name.startswith("lib") else 4

    def _likely(self, want: Want) -> list[DebianPackage]:
        return [package for package in self._near(want) if self._rank(package, want.name) == 0]

    def _take(self, want: Want, tree: Tree, owners: dict[str, str]) -> list[str]:
        near = self._near(want)
        for package in sorted(near, key=lambda one: self._rank(one, want.name)):
            nodes = self.open(package)
            found = self._matches(want, nodes)
            if found:
                return [real for path in found for real in self._add(path, nodes, package, tree, owners)]
        raise UserError(
            f"{want.needed_by} needs {want.name}, which no package of {' '.join(self.resolution.names)} brings",
            details=f"architecture {self.arch.name}; looked in {', '.join(package.name for package in near)}",
            hint="add the package that brings it to `packages`, or `drop` what needs it",
        )

    def _add(
        self, path: str, nodes: Mapping[str, TreeNode], package: DebianPackage, tree: Tree, owners: dict[str, str]
    ) -> list[str]:
        added = []
        for _ in range(MAX_LINKS):
            node = nodes.get(path)
            if node is None:
                break
            if path not in tree.nodes:
                tree.put(path, node)
                owners[path] = package.name
                added.append(path)
            if node.type != tarfile.SYMTYPE:
                break
            path = link_target(path, node.target)
        return [one for one in added if tree.nodes[one].type == tarfile.REGTYPE]


def link_target(path: str, target: str) -> str:
    """Return where a link at `path` leads, as a path of the merged tree."""
    place = target if target.startswith("/") else posixpath.join("/", posixpath.dirname(path), target)
    return merged(posixpath.normpath(place).lstrip("/"))


def policy_name(soname: str) -> str:
    """Return the package name that Debian's policy gives the library `soname`: libssl.so.3 is in libssl3."""
    match = re.fullmatch(r"(.+?)(?:-([0-9][0-9.]*))?\.so(?:\.([0-9.]+))?", soname)
    if not match:
        return ""
    stem, dashed, number = match.groups()
    name = f"{stem}{dashed or ''}" if dashed and not number else f"{stem}{'-' + dashed if dashed else ''}"
    if number:
        name += f"-{number}" if name[-1].isdigit() else number
    return name.lower().replace("_", "-")
