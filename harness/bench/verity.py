"""Verified roots with one bit changed: how many of those are served, by a reader of its own and by real boots."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness import paths, proc
from harness.arch import ARCHES, Arch
from harness.bench.context import Context, FigureOrTable
from harness.bench.figures import BenchFigure
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.errors import ImageError
from harness.image import MANIFEST, Image
from harness.launch import boot
from harness.spec import load_image, load_machine
from harness.store import file_digest
from harness.system import BootOptions

FORMAT = "raw+verity"
BLOCK, SECTOR, DIGEST, HEAD = 4096, 512, 32, 4096
# what guest/native/verity.h and the kernel go by of the tree's head: magic, how many blocks, and what is hashed first
MAGIC, BLOCKS, SALT = slice(0, 6), slice(72, 80), slice(88, 120)
WHOLE = paths.TOP / "tests/boot/verity.yml"  # an image that reads its root from the first block to the last
MACHINES = ("qemu-x86_64", "qemu-x86_64-uefi", "qemu-arm64-uefi", "qemu-s390x")
POSITIONS = {"root": 120, "tree": 50, "head": 30}  # changed bits for each architecture
REFUSED = "the verified root is not what was built"


@dataclass(frozen=True)
class Place:
    """A partition of a disk's file, in bytes."""

    start: int
    size: int


@dataclass(frozen=True)
class VerifiedDisk:
    """A disk's file with a verified root."""

    path: Path
    hash: bytes
    root: Place
    tree: Place  # its head first

    @property
    def levels(self) -> Place:
        """The tree without its head."""
        return Place(self.tree.start + HEAD, self.tree.size - HEAD)

    def read(self, place: Place) -> bytes:
        """Return what lies in a partition."""
        with self.path.open("rb") as file:
            file.seek(place.start)
            return file.read(place.size)


def disk_of(image: Image) -> VerifiedDisk:
    """Return an image's disk, as sfdisk and the manifest see it."""
    path = image.parts.disk
    assert path is not None
    told = json.loads(proc.run(["sfdisk", "--json", str(path)]).stdout)["partitiontable"]["partitions"]
    rows = {row["name"]: Place(row["start"] * SECTOR, row["size"] * SECTOR) for row in told}
    return VerifiedDisk(path, bytes.fromhex(image.manifest["root"]["hash"]), rows["root"], rows["root-verity"])


def served(root: bytes, tree: bytes, wanted: bytes) -> bytes | None:
    """Return the root that is mounted when all of it is read; None where that is refused.

    As the first stage and the kernel go about it, block by block from the top of the tree.
    """
    head, levels = tree[:HEAD], tree[HEAD:]
    count, salt = int.from_bytes(head[BLOCKS], "little"), head[SALT]
    if head[MAGIC] != b"verity" or not 0 < count * BLOCK <= len(root):
        return None
    sizes, blocks = [], count
    while blocks > 1:
        blocks = -(-blocks * DIGEST // BLOCK)
        sizes.append(blocks)
    at, above = 0, wanted
    for blocks in reversed(sizes):
        level = levels[at : at + blocks * BLOCK]
        if len(level) != blocks * BLOCK or not _matches(level, blocks, salt, above):
            return None
        at, above = at + blocks * BLOCK, level
    if not _matches(root, count, salt, above):
        return None
    # the kernel mounts no squashfs that ends behind its device
    whole = root[:4] != b"hsqs" or int.from_bytes(root[40:48], "little") <= count * BLOCK
    return root[: count * BLOCK] if whole else None


def _matches(content: bytes, count: int, salt: bytes, sums: bytes) -> bool:
    found = (hashlib.sha256(salt + content[number * BLOCK :][:BLOCK]).digest() for number in range(count))
    return all(sums[number * DIGEST :][:DIGEST] == one for number, one in enumerate(found))


def flipped(content: bytes, bit: int) -> bytes:
    """Return some bytes with one bit changed."""
    made = bytearray(content)
    made[bit // 8] ^= 1 << bit % 8
    return bytes(made)


def changed(image: Image, folder: Path, bit: int) -> Image:
    """Return a copy of an image whose disk has one bit changed, and whose manifest names that disk."""
    shutil.copytree(image.folder, folder)
    path = folder / disk_of(image).path.name
    with path.open("r+b") as file:
        file.seek(bit // 8)
        (byte,) = file.read(1)
        file.seek(bit // 8)
        file.write(bytes([byte ^ 1 << bit % 8]))
    manifest = json.loads((folder / MANIFEST).read_text())
    for row in manifest["files"]:
        row["sha256"] = file_digest(folder / row["name"])
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return Image(folder)


def positions(disk: VerifiedDisk, counts: Mapping[str, int], chance: random.Random) -> Iterator[tuple[str, int]]:
    """Yield bits of the disk, each with what it lies in."""
    places = {"root": disk.root, "tree": disk.levels, "head": Place(disk.tree.start, HEAD)}
    for name, count in counts.items():
        for _ in range(count):
            yield name, (places[name].start + chance.randrange(places[name].size)) * 8 + chance.randrange(8)


def verity(context: Context) -> Iterator[FigureOrTable]:
    """Measure how many changed disks serve another root, of each architecture, offline and booted."""
    for arch in ARCHES.values():
        yield _offline(context, arch)
    for machine in MACHINES:
        yield _booted(context, machine)


def _image(arch: Arch, path: Path) -> Image:
    return Builder(Settings(format=FORMAT)).build(load_image([path]), arch)


def _offline(context: Context, arch: Arch) -> BenchFigure:
    subject = f"{arch.name}: changed bits of root and tree that pass"
    if not shutil.which("veritysetup"):
        return BenchFigure(subject, "bits", goal=0, skipped="no veritysetup: apt install cryptsetup-bin")
    disk = disk_of(_image(arch, paths.CASES / "images/minimal.yml"))
    root, tree = disk.read(disk.root), disk.read(disk.tree)
    assert served(root, tree, disk.hash) == root
    counts = {name: context.times(count, count // 10) for name, count in POSITIONS.items()}
    passed, refused, harmless, theirs = 0, 0, 0, 0
    for name, bit in positions(disk, counts, random.Random(arch.name)):
        context.say(f"{arch.name}: bit {bit % 8} of byte {bit // 8}, in the {name}")
        parts = [root, tree]
        which, place = (0, disk.root) if name == "root" else (1, disk.tree)
        parts[which] = flipped(parts[which], bit - place.start * 8)
        found = served(parts[0], parts[1], disk.hash)
        says = _veritysetup(context, parts[0], parts[1], disk.hash)
        refused += found is None
        harmless += found == root
        theirs += not says
        # what veritysetup takes for right must be the same root; of the head it reads more than a boot does
        passed += found not in (None, root) or (says and found is None) or (name != "head" and says != (found == root))
    note = f"of {refused + harmless}: {refused} refused, {harmless} of the head that nothing reads; "
    return BenchFigure(subject, "bits", (passed,), goal=0, note=f"{note}veritysetup refuses {theirs}")


def _veritysetup(context: Context, root: bytes, tree: bytes, wanted: bytes) -> bool:
    files = [context.out / "root", context.out / "tree"]
    for path, content in zip(files, (root, tree), strict=True):
        path.write_bytes(content)
    argv = ["veritysetup", "verify", *map(str, files), wanted.hex()]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def _booted(context: Context, name: str) -> BenchFigure:
    machine = load_machine(name)
    image = _image(ARCHES[machine.arch], WHOLE)
    disk = disk_of(image)
    spots = {"the root's last byte": disk.root.start + disk.root.size - 1, "the tree's top": disk.levels.start,
             "the salt": disk.tree.start + SALT.start}  # fmt: skip
    came = []
    for what, at in list(spots.items())[: context.times(len(spots), 1)]:
        context.say(f"{name}: a boot with a bit of {what} changed")
        folder = context.folder("verity", name, what)
        options = BootOptions(mode="wall", out=folder / "boot", timeout=400)
        try:
            with boot(changed(image, folder / "image", at * 8 + 3), machine, options) as system:
                system.wait_ready()
                came.append(what)
        except ImageError as error:
            if REFUSED not in error.message:
                came.append(f"{what}: {error.message}")
    tried = context.times(len(spots), 1)
    note = f"of {tried} boots, each with one bit changed, all others ended by dm-verity's panic"
    return BenchFigure(
        f"{name}: boots of a changed root that come to ready", "boots", (len(came),), goal=0, note=note,
        broken="; ".join(came),
    )  # fmt: skip
