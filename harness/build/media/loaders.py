"""The boot loaders that media need, out of packages of the image's own suite and architecture."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from harness.arch import Arch
from harness.build import copyrights, deb
from harness.build.debian import Debian
from harness.build.packages import DebianPackage
from harness.errors import HostError
from harness.store import Store, digest_of
from harness.tree import versions
from harness.tree.tree import TreeNode

STUB = "systemd-boot-efi"
BIOS_GRUB, ARM64_GRUB = "grub-pc-bin", "grub-efi-arm64-bin"
# where each package has what is taken of it
_TAKEN = {
    STUB: "usr/lib/systemd/boot/efi",
    BIOS_GRUB: "usr/lib/grub/i386-pc",
    ARM64_GRUB: "usr/lib/grub/arm64-efi",
}


@dataclass(frozen=True)
class Loaders:
    """The unpacked packages: a folder each. ``packages`` are their records, as a manifest has them."""

    path: Path | None
    packages: tuple[Mapping[str, Any], ...] = ()

    def folder(self, package: str) -> Path:
        """Return the folder with a package's files."""
        assert self.path is not None, "a format names the packages that it asks for"
        return self.path / package

    def read(self, package: str, name: str) -> bytes:
        """Return one file of a package; HostError when this version has none of that name."""
        try:
            return (self.folder(package) / name).read_bytes()
        except FileNotFoundError:
            raise HostError(f"package {package} has no {name}", hint="another suite or mirror may have it") from None


NONE = Loaders(None)


def make_loaders(names: Sequence[str], arch: Arch, debian: Debian, store: Store) -> Loaders:
    """Return the packages' files, unpacked when the store lacks them. HostError when one cannot be had."""
    if not names:
        return NONE
    resolution = debian.resolve(names, arch)
    packages = [resolution.by_name[name] for name in names]
    key = digest_of([versions.LOADERS, *(package.sha256 for package in packages)])

    def maker(work: Path) -> None:
        spools = work / "spools"
        spools.mkdir()

        @functools.cache
        def nodes(package: DebianPackage) -> Mapping[str, TreeNode]:
            debian.progress(f"{arch.name}: unpacking {package.name}, {package.size / 1e6:.1f} MB")
            spool = spools / package.name
            with spool.open("wb") as stream:
                return deb.read(debian.fetch(package), package.name, stream, spool)

        for package in packages:
            _take(package, nodes(package), work / package.name)
        kept = copyrights.keep(packages, resolution.by_name, nodes, debian.fetch, work)
        shutil.rmtree(spools)
        (work / "loaders.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")

    path = store.make("loaders", key, maker)
    kept = json.loads((path / "loaders.json").read_text(encoding="utf-8"))
    # what is shipped of a loader is one file that is made of its parts
    return Loaders(path, tuple({**package.record(), "files": 1, **kept[package.name]} for package in packages))


def _take(package: DebianPackage, nodes: Mapping[str, TreeNode], folder: Path) -> None:
    folder.mkdir()
    for name, node in nodes.items():
        path = PurePosixPath(name)
        if str(path.parent) == _TAKEN[package.name] and node.content is not None:
            (folder / path.name).write_bytes(node.content.read())
