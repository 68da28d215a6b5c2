"""A machine's disks: empty at first, kept where a boot is told so, gone with it else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import HostError, UserError
from harness.image import Image
from harness.launch import boot
from harness.spec.models.machine import MachineSpec
from harness.system import BootOptions

SIZE = 8 << 20


@pytest.fixture
def with_disks(machine: Callable[[str], MachineSpec]) -> MachineSpec:
    spec = machine("arm64")
    return spec.driven(disks=(8, 1))


@pytest.fixture
def minimal(images: Callable[[str], Image]) -> Image:
    return images("arm64")


def run(image: Image, spec: MachineSpec, out: Path, command: str, disks: Path | None) -> str:
    with boot(image, spec, BootOptions(mode="wall", out=out, probe=True, disks=disks)) as system:
        system.wait_ready()
        text: str = system.shell.run(command, check=True).text
        assert system.power_off()
    return text


def test_what_is_written_is_there_at_the_next_boot(minimal: Image, with_disks: MachineSpec, tmp_path: Path) -> None:
    (kept := tmp_path / "kept").mkdir()
    look = "head -c 5 /dev/vda | tr '\\0' 0; cat /sys/block/vd?/size"
    assert run(
        minimal, with_disks, tmp_path / "1", f"{look}; printf hello | dd of=/dev/vda 2>/dev/null; sync", kept
    ) == (f"00000{SIZE // 512}\n2048\n")
    assert run(minimal, with_disks, tmp_path / "2", look, kept) == f"hello{SIZE // 512}\n2048\n"
    assert run(minimal, with_disks, tmp_path / "3", look, None) == f"00000{SIZE // 512}\n2048\n"
    assert sorted(path.name for path in kept.iterdir()) == ["disk0.raw", "disk1.raw"]
    assert not list((tmp_path / "3").glob("*.raw")), "its own disks are gone with it"


def test_disks_are_named_in_the_order_of_the_yaml(
    images: Callable[[str], Image], machine: Callable[[str], MachineSpec], tmp_path: Path
) -> None:
    """On s390x alone could it be another: it was in 12 of 13 boots with six disks, before the guest saw to it."""
    spec, sizes = machine("s390x").driven(disks=(1, 2, 3, 4, 5, 6)), "".join(f"{2048 * n}\n" for n in range(1, 7))
    assert run(images("s390x"), spec, tmp_path / "out", "cat /sys/block/vd?/size", None) == sizes


def test_a_kept_disk_never_loses_its_end(minimal: Image, with_disks: MachineSpec, tmp_path: Path) -> None:
    (tmp_path / "disk1.raw").write_bytes(bytes((1 << 20) - 1) + b"end\n")
    with boot(minimal, with_disks, BootOptions(mode="wall", out=tmp_path / "out", disks=tmp_path)):
        pass
    assert (tmp_path / "disk1.raw").read_bytes().endswith(b"end\n")


def test_there_is_no_exact_time_with_a_disk(minimal: Image, with_disks: MachineSpec, tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match="cannot count instructions: a disk answers when the host gets to it"),
        boot(minimal, with_disks, BootOptions(mode="exact", out=tmp_path)),
    ):
        pass


def test_no_room_for_a_disk_is_the_hosts_fault(minimal: Image, with_disks: MachineSpec, tmp_path: Path) -> None:
    (tmp_path / "disk1.raw").mkdir()
    with (
        pytest.raises(HostError, match=r"cannot make the machine's disk .*disk1\.raw"),
        boot(minimal, with_disks, BootOptions(mode="wall", out=tmp_path / "out", disks=tmp_path)),
    ):
        pass
