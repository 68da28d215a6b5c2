"""A verified root boots, takes no writes, and is refused with one bit changed: docs/formats.md's tables.

The image reads its root from the first block to the last and tries to write to it: it is ready when both went as they
should.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from harness import paths
from harness.arch import ARCHES
from harness.bench.verity import BLOCKS, FORMAT, REFUSED, SALT, WHOLE, VerifiedDisk, changed, disk_of
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.errors import ImageError
from harness.image import Image
from harness.launch import boot
from harness.spec import load_image, load_machine
from harness.system.options import BootOptions

pytestmark = [pytest.mark.boots, pytest.mark.builds]
PC, PC_UEFI, ARM64, S390X = "qemu-x86_64", "qemu-x86_64-uefi", "qemu-arm64-uefi", "qemu-s390x"
SAMPLE = [(ARM64, "raw", "scsi"), (S390X, "raw", "virtio")]
LONG = [
    (PC, "raw", "nvme"),
    *((PC, name, "virtio") for name in ("raw", "qcow2", "vmdk", "vhd")),
    *((PC_UEFI, "raw", medium) for medium in ("virtio", "nvme", "scsi")),
    *((ARM64, name, "virtio") for name in ("raw", "qcow2", "vmdk", "vhd")),
    (S390X, "raw", "scsi"),
    *((S390X, name, "virtio") for name in ("qcow2", "vmdk", "vhd")),
]
MIB = 1 << 20
PANIC = r"Kernel panic - not syncing: dm-verity device corrupted"


def built(format_: str, arch: str) -> Image:
    return Builder(Settings(format=format_)).build(load_image([WHOLE]), ARCHES[arch])


def wall(out: Path, disks: Path | None = None) -> BootOptions:
    return BootOptions(mode="wall", out=out, timeout=400, disks=disks)


@pytest.mark.parametrize(
    ("name", "format_", "medium"), [*SAMPLE, *(pytest.param(*row, marks=pytest.mark.long) for row in LONG)]
)
def test_comes_to_ready(name: str, format_: str, medium: str, tmp_path: Path) -> None:
    machine = load_machine(name).driven(medium=medium)
    with boot(built(f"{format_}+verity", machine.arch), machine, wall(tmp_path)) as system:
        system.wait_ready()
        steps = [mark.name for mark in system.record.milestones]
        assert {"onboot/written done", "onboot/read done"} <= set(steps)
        assert system.power_off()


def test_the_page_shows_what_is_booted_here() -> None:
    text = (paths.TOP / "docs/formats.md").read_text().partition("## Verified roots")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(qemu-[^`]+)` \| ([\w, ]+) \| ([\w, ]+) \|", text, re.MULTILINE)
    shown = {(machine, name, medium) for machine, names, media in rows
             for name in names.split(", ") for medium in media.split(", ")}  # fmt: skip
    assert shown == {*SAMPLE, *LONG}


def spot(disk: VerifiedDisk, what: str) -> int:
    """Return a bit of the disk."""
    places = {
        "first block": disk.root.start + 8,
        "last byte": disk.root.start + disk.root.size - 1,
        "top of the tree": disk.levels.start,
        "last block of the tree": disk.tree.start + disk.tree.size - 1,
        "salt": disk.tree.start + SALT.start,
    }
    return places[what] * 8 + 3


CHANGED = [(S390X, "last byte"), (ARM64, "top of the tree")]
CHANGED_LONG = [
    (name, what)
    for name in (PC, PC_UEFI, ARM64, S390X)
    for what in ("first block", "last byte", "top of the tree", "last block of the tree", "salt")
    if (name, what) not in CHANGED
]


@pytest.mark.parametrize(
    ("name", "what"), [*CHANGED, *(pytest.param(*row, marks=pytest.mark.long) for row in CHANGED_LONG)]
)
def test_one_changed_bit_is_the_images_fault(name: str, what: str, tmp_path: Path) -> None:
    machine = load_machine(name)
    image = built(FORMAT, machine.arch)
    other = changed(image, tmp_path / "image", spot(disk_of(image), what))
    with pytest.raises(ImageError, match=f"{REFUSED}.*{PANIC}"):
        with boot(other, machine, wall(tmp_path / "boot")) as system:
            system.wait_ready()
    said = (tmp_path / "boot/transcript.txt").read_text()
    assert re.search(r"device-mapper: verity: \S+: (meta)?data block \d+ is corrupted", said)


@pytest.mark.long
def test_a_root_that_is_said_to_end_early_is_not_mounted(tmp_path: Path) -> None:
    image = built(FORMAT, "s390x")
    disk = disk_of(image)
    count = int.from_bytes(disk.read(disk.tree)[BLOCKS], "little")
    lowest = (count & -count).bit_length() - 1
    assert count % 128 > 1, "as many blocks of hashes as before"
    other = changed(image, tmp_path / "image", (disk.tree.start + BLOCKS.start) * 8 + lowest)
    with pytest.raises(ImageError, match=r"stage1 failed: mount /dev/dm-0|kernel panicked"):
        with boot(other, load_machine(S390X), wall(tmp_path / "boot")) as system:
            system.wait_ready()
    assert "stage1 failed: mount /dev/dm-0: errno 22 (EINVAL)" in (tmp_path / "boot/transcript.txt").read_text()


@pytest.mark.parametrize("first", [pytest.param("the changed one", marks=pytest.mark.long), "the right one"])
def test_of_two_disks_with_one_name_only_the_right_bytes_are_taken(first: str, tmp_path: Path) -> None:
    image = built(FORMAT, "s390x")
    machine = load_machine(S390X).driven(disks=(-(-disk_of(image).path.stat().st_size // MIB),))
    other = changed(image, tmp_path / "image", spot(disk_of(image), "last byte"))
    one, two = (other, image) if first == "the changed one" else (image, other)
    (tmp_path / "disks").mkdir()
    shutil.copyfile(disk_of(two).path, tmp_path / "disks/disk0.raw")

    def come_up() -> None:
        with boot(one, machine, wall(tmp_path / "boot", tmp_path / "disks")) as system:
            system.wait_ready()
            assert sum("-drive" in word for word in system.argv) == 2

    if first == "the right one":
        come_up()
    else:
        with pytest.raises(ImageError, match=PANIC):
            come_up()
