"""What a guest writes to its disk or tells its UEFI lives as long as the system, or longer where that is asked."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.emulator.disk import disk_of, make_overlay, overlay_name
from harness.emulator.firmware import keep_variables, uefi
from harness.errors import HostError
from harness.image import ForeignImage
from harness.launch import boot
from harness.spec import load_machine, load_os
from harness.spec.models.machine import MachineSpec
from harness.system import BootOptions

# A boot sector that counts its starts in the disk's second sector: reads it, adds one, writes it back, prints it;
# at less than three it resets the machine by the keyboard's controller, else it says that it is up.
#   mov/xor segments; ax=0201h read sector 2 to 7e00h; inc byte [7e00h]; ax=0301h write; al='0'+n; out 3f8h;
#   cmp byte [7e00h],3; jae up; al=0feh; out 64h; hlt; up: si=words; lodsb/out until 0; hlt
COUNTER = bytes.fromhex(
    "31c0 8ed8 8ec0 8ed0 bc007c fb"
    "b80102 b90200 b600 bb007e b280 cd13"
    "fe06007e"
    "b80103 b90200 b600 bb007e b280 cd13"
    "a0007e 0430 baf803 ee"
    "803e007e03 7307"
    "b0fe e664 f4 ebfd"
    "be457c ac 84c0 7403 ee ebf8 f4 ebfd"
)
YAML = "os: {name: counts, arch: x86_64}\ndisk: disk.img\nmilestones: [{name: ready, pattern: 'up:'}]\n"


def counting(folder: Path) -> ForeignImage:
    code = COUNTER.replace(bytes.fromhex("be457c"), b"\xbe" + struct.pack("<H", 0x7C00 + len(COUNTER)))
    disk = (code + b" up:\r\n\0").ljust(510, b"\0") + b"\x55\xaa"
    (folder / "disk.img").write_bytes(disk + bytes(4095 * 512))
    (folder / "os.yml").write_text(YAML)
    return ForeignImage(load_os(folder / "os.yml"))


def started(image: ForeignImage, out: Path, disks: Path | None = None) -> str:
    """Boot to ready and return the digits that were counted."""
    with boot(image, load_machine("qemu-x86_64"), BootOptions(mode="wall", out=out, disks=disks)) as system:
        system.wait_ready()
        system.driver.off()  # as `power_off` ends; a boot sector would only have let it wait for the button
    lines = [line.partition(b" | ")[2] for line in (out / "transcript.txt").read_bytes().splitlines()]
    return b"".join(lines).partition(b" up:")[0].decode().strip()[-9:]


@pytest.mark.boots
def test_what_is_written_lives_through_resets_and_no_longer(tmp_path: Path) -> None:
    image = counting(tmp_path)
    before = (tmp_path / "disk.img").read_bytes()
    assert started(image, tmp_path / "1").endswith("123")
    assert started(image, tmp_path / "2").endswith("123"), "another boot begins with the disk as it is"
    assert (tmp_path / "disk.img").read_bytes() == before
    assert not list((tmp_path / "2").glob("*.qcow2"))


@pytest.mark.boots
def test_what_is_written_is_kept_where_that_is_asked(tmp_path: Path) -> None:
    image, kept = counting(tmp_path), tmp_path / "kept"
    kept.mkdir()
    assert started(image, tmp_path / "1", kept).endswith("123")
    assert started(image, tmp_path / "2", kept).endswith("4")
    (written,) = kept.iterdir()
    assert written.name == overlay_name(disk_of(tmp_path / "disk.img"))
    (tmp_path / "disk.img").write_bytes((tmp_path / "disk.img").read_bytes() + bytes(512))
    assert started(image, tmp_path / "3", kept).endswith("123"), "what was written over one disk is none of another's"
    assert len(list(kept.iterdir())) == 2


@pytest.mark.parametrize("size", [1, 512, 5 << 20, (1 << 30) + 512])
def test_an_overlay_is_as_large_as_its_disk(size: int, tmp_path: Path) -> None:
    with (tmp_path / "disk").open("wb") as out:
        out.truncate(size)
    make_overlay(disk_of(tmp_path / "disk"), tmp_path / "over")
    head = (tmp_path / "over").read_bytes()
    assert struct.unpack_from(">Q", head, 24)[0] == -(-size // 512) * 512
    make_overlay(disk_of(tmp_path / "disk"), tmp_path / "over")  # what is there stays
    assert (tmp_path / "over").read_bytes() == head
    # one of qcow2 may be over another
    (tmp_path / "again").write_bytes(head[:8] + bytes(12) + head[20:])
    make_overlay(disk_of(tmp_path / "again"), tmp_path / "third")
    assert b"qcow2" in (tmp_path / "third").read_bytes()[:200]
    if qemu_img := shutil.which("qemu-img"):
        subprocess.run([qemu_img, "check", tmp_path / "over"], check=True)


def test_no_room_for_what_is_written_is_the_hosts_fault(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(bytes(512))
    with pytest.raises(HostError, match="cannot make what is written over the disk"):
        make_overlay(disk_of(tmp_path / "disk"), tmp_path / "no/folder")


def test_a_uefi_has_its_variables_in_a_file_of_its_own(machine: Callable[[str], MachineSpec], tmp_path: Path) -> None:
    found = uefi(machine("x86_64"))
    kept = keep_variables(found, tmp_path)
    assert kept.kept and kept.kept.read_bytes() == found.variables.path.read_bytes()
    kept.kept.write_bytes(b"changed")
    assert keep_variables(found, tmp_path).kept == kept.kept
    assert kept.kept.read_bytes() == b"changed"
    with pytest.raises(HostError, match="cannot make the machine's UEFI variables"):
        keep_variables(found, tmp_path / "none")
