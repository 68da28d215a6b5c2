"""A component that is a kernel: the file to boot, the modules it carries, and those that the first stage loads."""

from __future__ import annotations

import gzip
import json
import lzma
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, cast

from harness import proc
from harness.arch import ARCHES, Arch
from harness.build import copyrights, deb
from harness.build.debian import Debian
from harness.build.layer import packages_of
from harness.build.modules import ModuleIndex, module_name, read_index, spelled
from harness.build.packages import DebianPackage, Resolution
from harness.errors import UserError
from harness.spec.models.component import ComponentSpec, KernelPart
from harness.store import Store, digest_of
from harness.tree import versions
from harness.tree.tree import Tree, TreeNode, plain, write

TABLES = ("modules.dep", "modules.alias", "modules.softdep", "modules.builtin")
GIVEN = ("modules.builtin", "modules.builtin.modinfo", "modules.order")


@dataclass(frozen=True)
class KernelFiles:
    """A finished kernel: ``kernel``, ``modules.tar``, ``stage1/`` and ``probe/`` in its folder of the store."""

    path: Path
    version: str
    packages: tuple[Mapping[str, Any], ...]  # all that were resolved, with how many of their ``files`` it carries
    size: int  # bytes of ``kernel``
    loads: tuple[str, ...]  # those of the modules asked for that it has and does not hold built in, in that order

    @property
    def kernel(self) -> Path:
        """The file to boot."""
        return self.path / "kernel"

    @property
    def ucode(self) -> Path | None:
        """What the initrd begins with, where an OCI image was asked for such a file."""
        path = self.path / "ucode"
        return path if path.exists() else None

    @property
    def modules(self) -> Path:
        """A tar of usr/lib/modules/VERSION with the modules for the root."""
        return self.path / "modules.tar"

    @property
    def stage1(self) -> tuple[Path, ...]:
        """The modules without which the root cannot be mounted, in the order to load them."""
        return tuple(sorted((self.path / "stage1").iterdir()))

    @property
    def probe(self) -> tuple[Path, ...]:
        """The probe's modules, in the order to load them."""
        return tuple(sorted((self.path / "probe").iterdir()))


def make_kernel(
    component: ComponentSpec,
    arch: Arch,
    debian: Debian,
    store: Store,
    more: Mapping[str, str] = MappingProxyType({}),
    first: Sequence[str] = (),
) -> KernelFiles:
    """Return the component's kernel for `arch`, made when the store lacks it.

    `more` are modules to carry besides its own, each with the component that asks for it; `first` are those that the
    first stage loads besides the component's, where the kernel has them as modules.
    Raises UserError when a component names a module that no architecture has.
    """
    part = component.kernel
    assert part is not None, "the spec's checks let nothing else through"
    resolution = debian.resolve(names_of(component, arch), arch)
    image = image_package(resolution)
    key = digest_of([versions.KERNEL, component.digest, arch.name, image.sha256, list(more), *first])

    def maker(work: Path) -> None:
        scratch = work / "scratch"
        scratch.mkdir()
        package = debian.fetch(image)
        debian.progress(f"{arch.name}: unpacking {image.name}, {image.size / 1e6:.1f} MB")
        index, version, kept = _unpack(package, image, arch, scratch, work)
        _remember(store, image, index)
        own = dict.fromkeys((*part.modules, *part.stage1, *part.probe), component.name)
        _check(component, {**more, **own}, arch, index, debian, store)
        stage = part.model_copy(update={"stage1": (*part.stage1, *first)})
        modules = _carry(stage, more, index, scratch, version, work)
        shutil.rmtree(scratch)
        loads = [name for name in dict.fromkeys(map(spelled, more)) if name in index.paths]
        size = (work / "kernel").stat().st_size
        data = {"version": version, "files": 1 + modules, "size": size, "loads": loads, "kept": kept}
        (work / "kernel.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")

    path = store.make("kernels", key, maker)
    data = json.loads((path / "kernel.json").read_text(encoding="utf-8"))
    # the image's package alone is in the key: what else is resolved with it may change without another kernel
    packages = resolution.records({image.name: data["files"]}, data["kept"])
    return KernelFiles(path, data["version"], tuple(packages), data["size"], tuple(data["loads"]))


def names_of(component: ComponentSpec, arch: Arch) -> tuple[str, ...]:
    """Return the packages to resolve: the component's, or the architecture's usual kernel."""
    return packages_of(component, arch) or (arch.kernel_package,)


def image_package(resolution: Resolution) -> DebianPackage:
    """Return the package that holds the kernel: a requested one, or what a metapackage of the request depends on."""
    asked = [resolution.by_name[name] for name in resolution.names if name in resolution.by_name]
    needed = [resolution.by_name[name] for one in asked for name in one.depends if name in resolution.by_name]
    for package in (*needed, *asked):
        if re.match(r"linux-image-(unsigned-)?\d", package.name):
            return package
    raise UserError(
        f"none of {' '.join(resolution.names)} is a kernel for {resolution.arch}",
        hint="`packages` of a kernel component names a linux-image-… package, or nothing",
    )


def _unpack(
    path: Path, package: DebianPackage, arch: Arch, scratch: Path, work: Path
) -> tuple[ModuleIndex, str, dict[str, dict[str, str]]]:
    """Write the kernel's file, its copyright file, and its modules (below scratch/lib/modules/VERSION).

    Returns what modules there are, their version, and what `copyrights.keep` does.
    """
    spool = scratch / "spool"
    with spool.open("wb") as stream:
        nodes = deb.read(path, package.name, stream, spool)
    found = next((path for path in nodes if re.fullmatch(r"boot/vmlinu[xz]-[^/]+", path)), "")
    version = found.partition("-")[2]
    if not found:
        raise UserError(f"package {package.name} holds no boot/vmlinuz-…", details=f"architecture {arch.name}")
    write_kernel(_content(nodes[found]), arch, work / "kernel")
    kept = copyrights.keep([package], {}, lambda _: nodes, lambda _: path, work)
    top = f"usr/lib/modules/{version}/"
    for name, node in nodes.items():
        if name.startswith(top) and node.content is not None and (module_name(name) or name[len(top) :] in GIVEN):
            target = scratch / "lib/modules" / version / _plain_name(name[len(top) :])
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(_expanded(name, _content(node)))
    spool.unlink()
    tables = _depmod(scratch, version)
    return read_index(tables["modules.dep"], tables["modules.builtin"], tables["modules.softdep"]), version, kept


def _content(node: TreeNode) -> bytes:
    return node.content.read() if node.content else b""


def _plain_name(path: str) -> str:
    return re.sub(r"\.ko\.(xz|gz)$", ".ko", path)


def _expanded(path: str, data: bytes) -> bytes:
    # the first stage's loader takes plain modules, and the root's own compression does better on them
    unpackers = {".xz": lzma.decompress, ".gz": gzip.decompress}
    unpack = unpackers.get(path[-3:]) if ".ko." in path else None
    return unpack(data) if unpack else data


def write_kernel(data: bytes, arch: Arch, kernel: Path) -> None:
    """Write a kernel's file as the architecture's machines boot it."""
    with kernel.open("wb") as out:
        if arch.gzip_kernel and not data.startswith(b"\x1f\x8b"):
            with gzip.GzipFile("", "wb", 9, cast(BinaryIO, out), mtime=0) as packed:
                packed.write(data)
        else:
            out.write(data)


def _depmod(base: Path, version: str) -> dict[str, str]:
    proc.run(["depmod", "-b", str(base), version], timeout=300)
    folder = base / "lib/modules" / version
    return {name: (folder / name).read_text(encoding="utf-8") if (folder / name).exists() else "" for name in TABLES}


def _index_key(package: DebianPackage) -> str:
    return digest_of([versions.KERNEL, package.sha256])


def _remember(store: Store, package: DebianPackage, index: ModuleIndex) -> None:
    names = sorted({*index.paths, *index.builtin})
    text = json.dumps(names)
    store.make("kernel-index", _index_key(package), lambda work: _write(work / "names.json", text))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _check(
    component: ComponentSpec,
    wanted: Mapping[str, str],
    arch: Arch,
    index: ModuleIndex,
    debian: Debian,
    store: Store,
) -> None:
    """Complain about names that no architecture has; silent while an architecture's kernel has not been seen yet.

    `wanted` are the modules, each with the component that names it.
    """
    # what /etc/modules names may be missing: the boot says so
    absent = [name for name, who in wanted.items() if not index.knows(name) and not who.startswith("files:")]
    elsewhere: set[str] = set()
    for other in ARCHES.values():
        if not absent or other is arch:
            continue
        known = debian.known(names_of(component, other), other)
        folder = store.find("kernel-index", _index_key(image_package(known))) if known else None
        if folder is None:
            return
        elsewhere.update(json.loads((folder / "names.json").read_text(encoding="utf-8")))
    unknown = [name for name in absent if name.replace("-", "_") not in elsewhere]
    if unknown:
        near = {name: index.nearest(name) for name in unknown}
        raise UserError(
            f"{_asker(wanted[unknown[0]])}: no architecture's kernel has the module {', '.join(unknown)}",
            hint="; ".join(f"{name}: did you mean {' or '.join(names)}?" for name, names in near.items() if names),
        )


def _asker(who: str) -> str:
    return who if ":" in who else f"component {who}"


def _carry(part: KernelPart, more: Iterable[str], index: ModuleIndex, scratch: Path, version: str, work: Path) -> int:
    """Write the first stage's, the probe's and the root's modules; return how many are shipped."""
    source = scratch / "lib/modules" / version
    for folder, names in (("stage1", part.stage1), ("probe", part.probe)):
        (work / folder).mkdir()
        for number, name in enumerate(index.order(names)):
            shutil.copyfile(source / index.paths[name], work / folder / f"{number:02d}-{name}.ko")
    carried = index.order((*part.modules, *more))
    _write_modules(carried, index, source, scratch / "kept", version, work / "modules.tar")
    return len({*index.order(part.stage1), *carried})


def _write_modules(names: Sequence[str], index: ModuleIndex, source: Path, base: Path, version: str, tar: Path) -> None:
    kept = base / "lib/modules" / version
    kept.mkdir(parents=True)
    for path in (*(index.paths[name] for name in names), *GIVEN):
        if (source / path).exists():
            (kept / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / path, kept / path)
    tables = _depmod(base, version)
    tree = Tree()
    for name in names:
        tree.put(f"usr/lib/modules/{version}/{index.paths[name]}", plain((source / index.paths[name]).read_bytes()))
    for table, text in tables.items():
        tree.put(f"usr/lib/modules/{version}/{table}", plain(text.encode()))
    with tar.open("wb") as out:
        write(tree, out)
