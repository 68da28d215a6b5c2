"""A kernel from an OCI image, as LinuxKit lays it out: /kernel, and /kernel.tar with its modules for the root."""

from __future__ import annotations

import io
import json
import lzma
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from harness.arch import Arch
from harness.build import copyrights
from harness.build.kernel import KernelFiles, write_kernel
from harness.build.modules import VERITY_NEEDS, ModuleIndex, read_index, spelled
from harness.errors import ImageError
from harness.oci import packing
from harness.oci.image import Blob, OciImage
from harness.oci.layers import Limits
from harness.oci.merge import merge
from harness.spec.models.component import KernelPart
from harness.spec.models.image import Kernel
from harness.spec.rules.image import CPIO
from harness.store import Store, digest_of
from harness.tree import versions
from harness.tree.tree import CHUNK, Tree, TreeNode, write

NONE, ARCHIVE = "none", "kernel.tar"
MAX_KERNEL = 512 << 20  # bytes of a kernel or of microcode
MAX_TABLE = 32 << 20  # of one of the tables that depmod makes
MAX_MODULE = 128 << 20  # of a module, unpacked
MAX_LOADED = 100  # modules that the first stage can load (guest/native/stage1.c)
# what the first stage loads before it can mount the root, and the probe for its channel, where it is not built in
PART = KernelPart(modules=(), stage1=("loop", "squashfs"), probe=("virtio_pci", "virtio_mmio", "virtio_console"))
_NAME = re.compile(r"[A-Za-z0-9_]{1,56}", re.ASCII)  # the kernel's MODULE_NAME_LEN
XZ = b"\xfd7zXZ\0"
MODULES = ("lib/modules", "usr/lib/modules")


def make_kernel(
    image: OciImage, wish: Kernel, arch: Arch, limits: Limits, store: Store, more: Iterable[str] = (),
    first: Sequence[str] = (),
) -> KernelFiles:  # fmt: skip
    """Return the kernel that `image` holds, made when the store lacks it; `more` are modules to load at boot.

    `first` are modules that the first stage loads besides `PART`'s, where the kernel has them as modules.
    Raises ImageError when the image lacks what `wish` names, or cannot mount our root.
    """
    asked = list(dict.fromkeys(map(spelled, more)))
    key = digest_of([versions.KERNEL, image.digest, arch.name, wish.binary, wish.tar, wish.ucode, asked, *first])
    stage1 = (*PART.stage1, *first)
    return _load(store.make("kernels", key, lambda work: _make(work, image, wish, arch, limits, store, asked, stage1)))


def _load(path: Path) -> KernelFiles:
    data = json.loads((path / "kernel.json").read_text(encoding="utf-8"))
    return KernelFiles(path, data["version"], (), data["size"], tuple(data["loads"]))


def _make(
    work: Path, image: OciImage, wish: Kernel, arch: Arch, limits: Limits, store: Store,
    asked: Iterable[str], stage1: Sequence[str],
) -> None:  # fmt: skip
    (work / copyrights.FOLDER).mkdir()  # an image's licences are in its labels
    tree = merge(image, limits, store)
    write_kernel(_file(tree, wish.binary, "kernel.binary", image), arch, work / "kernel")
    if wish.ucode and arch.ucode:
        ucode = _file(tree, wish.ucode, "kernel.ucode", image)
        if not ucode.startswith(CPIO):
            raise ImageError(
                f"{image.reference}: /{wish.ucode} is nothing to begin an initrd with: no plain cpio (newc)"
            )
        (work / "ucode").write_bytes(ucode)
    modules = Tree() if wish.tar == NONE else _archive(tree, wish.tar or ARCHIVE, image, work, limits, store)
    with (work / "modules.tar").open("wb") as out:
        write(modules, out)
    place, version = _place(modules, image)
    index = _index(modules, place, image)
    if place:
        _check(index, image, stage1)
    for folder, names in (("stage1", stage1), ("probe", PART.probe)):
        (work / folder).mkdir()
        for number, name in enumerate(_order(index, names, image)):
            module = _module(modules, f"{place}/{index.paths[name]}", image)
            (work / folder / f"{number:02d}-{name}.ko").write_bytes(module)
    loads = [name for name in asked if name in index.paths]
    data = {"version": version, "size": (work / "kernel").stat().st_size, "loads": loads}
    (work / "kernel.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def _node(tree: Tree, path: str, key: str, image: OciImage) -> TreeNode:
    node = tree.get(path)
    if node is None or node.content is None:
        there = sorted(name for name, one in tree.nodes.items() if "/" not in name and one.content is not None)
        shown = ", ".join(there[:20]) or "none"
        raise ImageError(f"{image.reference}: has no file /{path}", details=f"its files: {shown}", hint=f"set {key}")
    return node


def _file(tree: Tree, path: str, key: str, image: OciImage) -> bytes:
    node = _node(tree, path, key, image)
    assert node.content is not None
    if node.content.size > MAX_KERNEL:
        raise ImageError(f"{image.reference}: /{path} is larger than {MAX_KERNEL >> 20} MiB")
    return node.content.read()


def _archive(tree: Tree, name: str, image: OciImage, work: Path, limits: Limits, store: Store) -> Tree:
    """Read the archive of modules as strictly as a layer: it is one more tar of a stranger's."""
    node = _node(tree, name, "kernel.tar (none leaves the modules out)", image)
    path, digest = work / "archive", f"sha256:{node.digest}"
    assert node.content is not None
    with node.content.opened() as source, path.open("wb") as out:
        left = node.content.size
        while left:
            left -= out.write(source.read(min(left, CHUNK)))
    blob = Blob(path, "application/x-tar", digest, node.content.size)
    config = {"rootfs": {"diff_ids": [digest]}}
    found = merge(replace(image, reference=f"{image.reference}, /{name}", layers=(blob,), config=config), limits, store)
    path.unlink()
    return found


def _place(modules: Tree, image: OciImage) -> tuple[str, str]:
    """Return the folder of the modules and the kernel's version; empty texts when there are none."""
    tops = [path for path, node in modules.nodes.items() if node.is_dir and path.rpartition("/")[0] in MODULES]
    if len(tops) > 1:
        names = ", ".join(path.rpartition("/")[2] for path in sorted(tops))
        raise ImageError(f"{image.reference}: has modules of several kernels: {names[:200]}")
    return (tops[0], tops[0].rpartition("/")[2]) if tops else ("", "")


def _index(modules: Tree, place: str, image: OciImage) -> ModuleIndex:
    def table(name: str) -> str:
        node = modules.nodes.get(f"{place}/{name}")
        if node is None or node.content is None:
            return ""
        if node.content.size > MAX_TABLE:
            raise ImageError(f"{image.reference}: {name} is larger than {MAX_TABLE >> 20} MiB")
        return node.content.read().decode("utf-8", "replace")

    return read_index(table("modules.dep"), table("modules.builtin"), table("modules.softdep"))


def _check(index: ModuleIndex, image: OciImage, stage1: Sequence[str]) -> None:
    needed = {*PART.stage1, *VERITY_NEEDS}
    absent = [name for name in stage1 if name in needed and not index.knows(name)]
    if absent:
        raise ImageError(
            f"{image.reference}: its kernel has neither built in nor as a module: {', '.join(absent)}",
            hint="without them the root cannot be mounted; its archive needs modules.dep and modules.builtin",
        )


def _order(index: ModuleIndex, names: Iterable[str], image: OciImage) -> list[str]:
    try:
        found = index.order(names)
    except RecursionError:
        raise ImageError(f"{image.reference}: its modules.dep is a chain without end") from None
    odd = next((name for name in found if not _NAME.fullmatch(name)), None)
    if odd is not None:
        raise ImageError(f"{image.reference}: its modules.dep names the module {odd[:60]!r}")
    if len(found) > MAX_LOADED:
        raise ImageError(f"{image.reference}: needs {len(found)} modules before its root, at most {MAX_LOADED} can be")
    return found


def _module(modules: Tree, path: str, image: OciImage) -> bytes:
    """Return a module as the first stage's loader takes it: unpacked."""
    node = modules.get(path)
    if node is None or node.content is None:
        raise ImageError(f"{image.reference}: its modules.dep names {path[:200]!r}, which is not there")
    with node.content.opened() as stream:
        packed = stream.read(min(node.content.size, MAX_MODULE))
    try:
        data = _unpacked(packed)
    except (*packing.ERRORS, lzma.LZMAError) as error:
        raise ImageError(f"{image.reference}: {path[:200]!r} is damaged: {error}") from error
    if len(data) > MAX_MODULE:
        raise ImageError(f"{image.reference}: {path[:200]!r} is larger than {MAX_MODULE >> 20} MiB")
    return data


def _unpacked(packed: bytes) -> bytes:
    if packed.startswith(XZ):
        decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_MODULE)
        data = decompressor.decompress(packed, MAX_MODULE + 1)
        if not decompressor.eof and len(data) <= MAX_MODULE:
            raise EOFError("is cut short")
        return data
    with packing.unpacked(io.BytesIO(packed)) as stream:
        return stream.read(MAX_MODULE + 1)
