"""A component's layer: its packages' files, the libraries they need, and what the component declares, as one tar."""

from __future__ import annotations

import json
import posixpath
import stat
import tarfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import paths
from harness.arch import Arch
from harness.build import copyrights, deb
from harness.build.debian import Debian
from harness.build.globs import literal, matcher, unmatched
from harness.build.ids import number
from harness.build.libraries import Libraries
from harness.build.packages import DebianPackage, Resolution
from harness.errors import UserError
from harness.spec import executable
from harness.spec.models.component import ComponentSpec, User
from harness.spec.models.container import File
from harness.spec.rules.library import source_path
from harness.store import Store, digest_of, file_digest
from harness.tree import versions
from harness.tree.tree import Tree, TreeNode, clean, folder, plain, symlink, write

LINKS = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}

# What a container never uses: left out when a component names no files to keep.
DROPPED = (
    *(f"usr/share/{name}" for name in ("doc", "doc-base", "man", "info", "locale", "lintian", "bug", "menu", "help")),
    *(f"usr/share/{name}" for name in ("bash-completion", "zsh", "fish", "applications", "pixmaps", "icons")),
    *(f"usr/share/{name}" for name in ("initramfs-tools", "apport", "reportbug", "pkgconfig", "debconf", "metainfo")),
    *(f"etc/{name}" for name in ("init.d", "rc?.d", "init", "default", "cron.*", "logrotate.d", "bash_completion.d")),
    *(f"etc/{name}" for name in ("apparmor.d", "ufw", "network", "systemd", "kernel", "dpkg", "insserv.conf.d", "apt")),
    *(
        f"usr/lib/{name}"
        for name in (
            "systemd/system",
            "systemd/user",
            "tmpfiles.d",
            "sysusers.d",
            "udev",
            "runit-helper",
            "init",
            "mime",
        )
    ),
    *(f"usr/lib/**/{name}" for name in ("pkgconfig", "cmake", "*.a", "*.la")),
    "usr/include",
    "usr/src",
)

ROOT = User(name="root", uid=0, gid=0, home="/root", shell="/bin/sh")
NOBODY = User(name="nobody", uid=65534, gid=65534)


@dataclass(frozen=True)
class Layer:
    """A finished layer: ``tar`` in its folder of the store. ``size`` is its files' bytes, ``digest`` the tar's SHA-256.

    ``packages`` are records of all that were resolved, each with how many of its ``files`` are in the layer;
    ``setuid_dropped`` are the paths that lost such a bit.
    """

    path: Path
    digest: str
    packages: tuple[Mapping[str, Any], ...]
    files: int
    size: int
    setuid_dropped: tuple[str, ...]

    @property
    def tar(self) -> Path:
        """The layer's tar."""
        return self.path / "layer.tar"


def make_layer(component: ComponentSpec, arch: Arch, debian: Debian, store: Store) -> Layer:
    """Return the component's layer for `arch`, made when the store lacks it.

    Raises UserError when the component asks for what its packages do not have, HostError when a package cannot be had.
    """
    resolution = debian.resolve(packages_of(component, arch), arch)
    key = _key(component, arch, resolution)
    path = store.make("layers", key, lambda work: _Maker(component, arch, debian, resolution).make(work))
    return load_layer(path)


def _key(component: ComponentSpec, arch: Arch, resolution: Resolution) -> str:
    stand_ins = [file_digest(_stand_in(name, arch)) for name in component.stand_ins]
    return digest_of([versions.LAYER, component.digest, arch.name, resolution.digest, *stand_ins])


def made_layer(component: ComponentSpec, arch: Arch, debian: Debian, store: Store) -> Layer | None:
    """Return the component's layer for `arch` if it has been made of the packages that were resolved last."""
    names = packages_of(component, arch)
    resolution = debian.known(names, arch)
    path = store.find("layers", _key(component, arch, resolution)) if resolution else None
    return load_layer(path) if path is not None else None


def load_layer(path: Path) -> Layer:
    """Return the layer that lies in a folder."""
    data = json.loads((path / "layer.json").read_text(encoding="utf-8"))
    return Layer(
        path=path,
        digest=data["digest"],
        packages=tuple(data["packages"]),
        files=data["files"],
        size=data["size"],
        setuid_dropped=tuple(data["setuid_dropped"]),
    )


def packages_of(component: ComponentSpec, arch: Arch) -> tuple[str, ...]:
    """Return the names of the component's packages on `arch`, in order."""
    return tuple(dict.fromkeys((*component.packages, *component.packages_for.get(arch.name, ()))))


def _stand_in(name: str, arch: Arch) -> Path:
    return paths.GUEST / "native" / "bin" / arch.name / name


class _Maker:
    """Makes one layer; its tree's contents lie in a spool that goes when the layer is written."""

    def __init__(self, component: ComponentSpec, arch: Arch, debian: Debian, resolution: Resolution) -> None:
        self.component, self.arch, self.debian, self.resolution = component, arch, debian, resolution
        self.tree = Tree()
        self.owners: dict[str, str] = {}
        self.joined: dict[str, str] = {}  # files that were joined into another, and their packages
        self.setuid: list[str] = []

    def make(self, work: Path) -> None:
        """Write layer.tar and layer.json into `work`."""
        spool = work / "spool"
        with spool.open("wb") as stream:

            def load(package: DebianPackage) -> dict[str, TreeNode]:
                nodes = deb.read(self.debian.fetch(package), package.name, stream, spool)
                stream.flush()
                return nodes

            libraries = Libraries(self.arch, self.resolution, load, self.debian.fetch_all)
            own = self._own_packages()
            self.debian.fetch_all(own)
            offered = self._select({package.name: libraries.open(package) for package in own})
            self._declare()
            self._concatenate(offered, {path: package.name for package in own for path in libraries.open(package)})
            libraries.complete(self.tree, self.owners, self.component.libraries, self.component.name)
            carried = self._carried()
            bringing = [package for package in self.resolution.packages if carried[package.name]]
            kept = copyrights.keep(bringing, self.resolution.by_name, libraries.open, self.debian.fetch, work)
        self._drop_setuid()
        tar = work / "layer.tar"
        with tar.open("wb") as out:
            write(self.tree, out)
        spool.unlink()
        (work / "layer.json").write_text(json.dumps(self._record(tar, kept), indent=1) + "\n", encoding="utf-8")

    def _own_packages(self) -> list[DebianPackage]:
        names = packages_of(self.component, self.arch)
        absent = [name for name in names if name not in self.resolution.by_name]
        if absent:
            raise UserError(f"component {self.component.name}: {self.arch.name} has no package {' '.join(absent)}")
        return [self.resolution.by_name[name] for name in names]

    def _select(self, packages: Mapping[str, Mapping[str, TreeNode]]) -> dict[str, TreeNode]:
        """Put the kept files into the tree; return all that the packages offered."""
        offered: dict[str, TreeNode] = {}
        keep = self.component.keep
        kept = matcher(*keep) if keep else lambda _: True
        dropped = matcher(*self.component.drop, *(() if keep else DROPPED))
        for path, target in LINKS.items():
            self.tree.put(path, symlink(target))
        for name, nodes in packages.items():
            offered |= nodes
            for path, node in sorted(nodes.items()):
                if not node.is_dir and kept(path) and not dropped(path):
                    self._put(path, node, nodes)
                    self.owners[path] = name
        # folders that hold nothing are a package's working places only when asked for by name
        for path, node in offered.items():
            if node.is_dir and any(literal(glob) and clean(glob) == path for glob in keep):
                self._put(path, node, offered)
        lost = unmatched(keep, list(offered))
        if lost:
            raise UserError(
                f"component {self.component.name}: `keep` matches no file of its packages: {', '.join(lost)}",
                details=f"architecture {self.arch.name}; packages {' '.join(packages)}",
            )
        return offered

    def _put(self, path: str, node: TreeNode, nodes: Mapping[str, TreeNode]) -> None:
        above = posixpath.dirname(path)
        while above and above not in self.tree.nodes:
            known = nodes.get(above)
            if known is not None and known.is_dir:
                self.tree.put(above, known)
            above = posixpath.dirname(above)
        self.tree.put(path, node)

    def _declare(self) -> None:
        for path, lines, mode in accounts(self._users()):
            self.tree.put(path, plain(lines.encode(), mode))
        for target, places in self.component.links.items():
            for place in places:
                self.tree.put(self._path(place), symlink(target))
        for file in self.component.files:
            self._put_file(file)
        for name in self.component.stand_ins:
            data = _stand_in(name, self.arch).read_bytes()
            self.tree.put(f"usr/lib/{self.arch.cross}/{name}", plain(data))

    def _concatenate(self, offered: Mapping[str, TreeNode], brought_by: Mapping[str, str]) -> None:
        for joined in self.component.concatenate:
            fits = matcher(joined.glob)
            pieces = {path: node for path, node in {**self.tree.nodes, **offered}.items() if fits(path)}
            parts = [node.content.read() for _, node in sorted(pieces.items()) if node.content is not None]
            if not parts:
                raise UserError(
                    f"component {self.component.name}: `concatenate` matches no file: {joined.glob}",
                    details=f"architecture {self.arch.name}",
                )
            text = b"".join(part if part.endswith(b"\n") else part + b"\n" for part in parts)
            self.tree.put(self._path(joined.path), plain(text))
            self.joined |= {path: brought_by[path] for path in pieces if path in brought_by}

    def _path(self, path: str) -> str:
        return deb.merged(clean(path))

    def _put_file(self, file: File) -> None:
        uid, gid = self._number(file.uid, "uid"), self._number(file.gid, "gid")
        place = self._path(file.path)
        if file.symlink:
            self.tree.put(place, symlink(file.symlink))
        elif file.directory:
            self.tree.put(place, folder(_mode(file, 0o755), uid, gid))
        elif file.source:
            source = source_path(file.source, self.component.path)
            if source is not None and (source.is_file() or not file.optional):
                usual = 0o755 if executable(source) else 0o644
                self.tree.put(place, plain(source.read_bytes(), _mode(file, usual), uid, gid))
        else:
            self.tree.put(place, plain((file.contents or "").encode(), _mode(file, 0o644), uid, gid))

    def _users(self) -> list[User]:
        """Return root, the component's users and nobody; the component may say otherwise of the two."""
        return list({user.name: user for user in (ROOT, NOBODY, *self.component.users)}.values())

    def _number(self, who: int | str | None, kind: str) -> int:
        return number(who, {user.name: getattr(user, kind) for user in self._users()})

    def _drop_setuid(self) -> None:
        allowed = {clean(glob) for glob in self.component.keep if literal(glob)}
        allowed |= {clean(file.path) for file in self.component.files}
        for path, node in self.tree.files():
            if node.mode & (stat.S_ISUID | stat.S_ISGID) and not {path, path.removeprefix("usr/")} & allowed:
                self.tree.nodes[path] = replace(node, mode=node.mode & 0o1777)
                self.setuid.append(path)

    def _carried(self) -> Counter[str]:
        """Count the files that each package brings."""
        owned = {path: self.owners[path] for path in self.tree.nodes if path in self.owners}
        return Counter({**owned, **self.joined}.values())

    def _record(self, tar: Path, kept: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
        sizes = [node.content.size for _, node in self.tree.files() if node.content is not None]
        return {
            "digest": file_digest(tar),
            "packages": self.resolution.records(self._carried(), kept),
            "files": sum(node.type != tarfile.DIRTYPE for node in self.tree.nodes.values()),
            "size": sum(sizes),
            "setuid_dropped": self.setuid,
        }


def _mode(file: File, usual: int) -> int:
    return int(file.mode, 8) & 0o7777 if file.mode else usual


def accounts(users: Sequence[User]) -> list[tuple[str, str, int]]:
    """Return etc/passwd, etc/group and etc/shadow for `users`: (path, text, mode). No password opens any of them.

    A user whose group another one has already brought gets no group of its own name.
    """
    groups: dict[int, str] = {}
    for user in users:
        groups.setdefault(user.gid, "nogroup" if user.gid == NOBODY.gid else user.name)
    passwd = "".join(f"{one.name}:x:{one.uid}:{one.gid}:{one.name}:{one.home}:{one.shell}\n" for one in users)
    return [
        ("etc/passwd", passwd, 0o644),
        ("etc/group", "".join(f"{name}:x:{gid}:\n" for gid, name in groups.items()), 0o644),
        ("etc/shadow", "".join(f"{user.name}:*:::::::\n" for user in users), 0o600),
    ]
