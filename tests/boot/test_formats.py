"""Each format boots by the firmware and from the medium that it is for, as it is shipped: docs/formats.md's table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness import paths
from harness.arch import ARCHES
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.errors import ImageError, UserError
from harness.image import Image
from harness.launch import boot, exact_pair
from harness.spec import load_image, load_machine
from harness.spec.models.machine import MachineSpec
from harness.system.options import BootOptions

pytestmark = [pytest.mark.boots, pytest.mark.builds]
PC, PC_UEFI, ARM64, S390X = "qemu-x86_64", "qemu-x86_64-uefi", "qemu-arm64-uefi", "qemu-s390x"
SAMPLE = [(PC, "raw", "nvme"), (PC_UEFI, "iso", "usb"), (ARM64, "raw", "virtio"), (S390X, "iso", "virtio")]
LONG = [
    (PC, "raw", "virtio"),
    (PC, "iso", "virtio"),
    *((PC, "raw", medium) for medium in ("sata", "scsi", "usb")),
    *((PC, name, "virtio") for name in ("qcow2", "vmdk", "vhd")),
    *((PC_UEFI, name, "virtio") for name in ("raw", "uki")),
    *((PC_UEFI, "raw", medium) for medium in ("nvme", "sata", "scsi", "usb")),
    *((ARM64, "raw", medium) for medium in ("nvme", "scsi", "usb")),
    *((ARM64, name, "virtio") for name in ("iso", "uki")),
    *((S390X, name, "virtio") for name in ("raw", "qcow2", "vmdk", "vhd")),
    (S390X, "raw", "scsi"),
]


def built(name: str, arch: str) -> Image:
    return Builder(Settings(format=name)).build(load_image([paths.CASES / "images/minimal.yml"]), ARCHES[arch])


def wall(out: Path) -> BootOptions:
    return BootOptions(mode="wall", out=out, timeout=400)


@pytest.mark.parametrize(
    ("name", "format_", "medium"), [*SAMPLE, *(pytest.param(*row, marks=pytest.mark.long) for row in LONG)]
)
def test_comes_to_ready(name: str, format_: str, medium: str, tmp_path: Path) -> None:
    machine = load_machine(name).driven(medium=medium)
    image = built(format_, machine.arch)
    with boot(image, machine, wall(tmp_path)) as system:
        system.wait_ready()
        assert format_ == "uki" or "-kernel" not in system.argv
        assert any("pflash" in word for word in system.argv) == (name in (PC_UEFI, ARM64))
        assert system.power_off()


def test_the_page_shows_what_is_booted_here() -> None:
    text = (paths.TOP / "docs/formats.md").read_text()
    rows = re.findall(r"^\| `(qemu-[^`]+)` \| `(\w+)` \| ([\w, ]+) \|", text, re.MULTILINE)
    shown = {(machine, name, medium) for machine, name, media in rows for medium in media.split(", ")}
    assert shown == {*SAMPLE, *LONG}


@pytest.mark.long
def test_a_unified_kernel_image_has_an_exact_time_firmware_and_all(tmp_path: Path) -> None:
    pair = exact_pair(built("uki", "arm64"), load_machine(ARM64), tmp_path)
    assert pair.repeats, pair.verdict
    assert pair.first.ready_us and pair.first.ready_emulator_us
    assert pair.first.ready_emulator_us > pair.first.ready_us + 300_000, "the firmware's part is in it"


def machine_without_uefi() -> MachineSpec:
    return load_machine("qemu-s390x").driven(firmware="uefi")


def test_what_cannot_boot_is_refused_before_it_is_started(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no UEFI"):
        with boot(built("raw", "s390x"), machine_without_uefi(), wall(tmp_path)):
            pass
    with pytest.raises(UserError, match="no firmware of its own that boots a disk"):
        with boot(built("raw", "x86_64"), load_machine("qemu-x86_64-microvm"), wall(tmp_path)):
            pass


def test_a_kernel_that_was_changed_on_the_disk_is_not_what_was_built(tmp_path: Path) -> None:
    image = built("raw", "s390x")
    folder = tmp_path / "image"
    folder.mkdir()
    for path in image.folder.iterdir():
        if path.is_file():
            (folder / path.name).write_bytes(path.read_bytes())
    data = bytearray((folder / "disk.raw").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "disk.raw").write_bytes(data)
    with pytest.raises(ImageError, match=r"disk\.raw is not the file that its manifest names"):
        with boot(Image(folder), load_machine(S390X), wall(tmp_path)):
            pass
