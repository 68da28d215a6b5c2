"""What decides a boot is known by digest: every file that QEMU reads, and the first input in which two boots differ."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness import proc
from harness.arch import by_name
from harness.emulator import argv as qemu
from harness.emulator.argv import Channels, Launch
from harness.emulator.inputs import firmware_names, inputs, lookup_folders
from harness.image import Image
from harness.spec import load_machine
from harness.store import file_digest
from harness.system.record import BootRecord, first_difference

MACHINES = ("qemu-x86_64", "qemu-x86_64-microvm", "qemu-arm64", "qemu-s390x")
# What QEMU opens of its own data besides firmware.
_DATA = re.compile(r"\.so[.0-9]*$|/keymaps/|\.mo$")


def launched(name: str, images: Callable[[str], Image], *args: str, kernel: bool = True) -> Launch:
    machine = load_machine(name)
    if args:
        machine = machine.driven(args=args)
    arch = by_name(machine.arch)
    return Launch(program=proc.resolve(arch.qemu), machine=machine, cmdline="",
                  kernel=images(arch.name).kernel if kernel else None, mode="exact")  # fmt: skip


def opened(launch: Launch, folder: Path) -> set[str]:
    """Return the names of the files in QEMU's folders that it opens at its start."""
    # its monitor takes the word to end once the machine is made, which is when all has been opened
    words = [*qemu.argv(launch, Channels(console="null")), "-S", "-monitor", "stdio"]
    log = folder / "opened"
    subprocess.run(["strace", "-f", "-e", "trace=openat", "-o", log, *words], check=True,
                   capture_output=True, env={"PATH": "/usr/bin:/bin"}, input=b"quit\n", timeout=60)  # fmt: skip
    own = {str(path.resolve()) for path in lookup_folders(launch.program)[1:]}
    found = re.findall(r'openat\([^"]*"([^"]+)"[^\n]* = \d', log.read_text(errors="replace"))
    return {Path(one).name for one in found if str(Path(one).parent.resolve()) in own and not _DATA.search(one)}


@pytest.mark.boots
@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed: nobody sees what QEMU opens")
@pytest.mark.parametrize("kernel", [True, False])
@pytest.mark.parametrize("name", MACHINES)
def test_the_firmware_that_is_digested_is_what_qemu_opens(
    name: str, kernel: bool, images: Callable[[str], Image], tmp_path: Path
) -> None:
    launch = launched(name, images, kernel=kernel)
    if not kernel and not qemu.boots_disks(launch.machine):
        pytest.skip("it boots no medium by itself")
    assert opened(launch, tmp_path) == set(firmware_names(launch))


@pytest.mark.boots
@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed: nobody sees what QEMU opens")
def test_what_a_machines_own_arguments_bring_is_digested_too(images: Callable[[str], Image], tmp_path: Path) -> None:
    launch = launched("qemu-x86_64", images, "-device", "VGA", "-device", "e1000,romfile=")
    assert opened(launch, tmp_path) == set(firmware_names(launch)) >= {"vgabios-stdvga.bin"}


def test_every_file_is_digested_by_what_it_is(images: Callable[[str], Image], tmp_path: Path) -> None:
    (tmp_path / "more.bin").write_bytes(b"more")
    launch = launched("qemu-x86_64", images, "-device", f"loader,file={tmp_path}/more.bin,addr=0")
    found = inputs(launch)
    assert found["qemu"] == file_digest(Path(launch.program).resolve())
    assert found["kernel"] == file_digest(images("x86_64").kernel)
    assert found["args/more.bin"] == file_digest(tmp_path / "more.bin")
    assert {"firmware/bios-256k.bin", "firmware/kvmvapic.bin", "firmware/linuxboot_dma.bin"} <= set(found)
    (tmp_path / "more.bin").write_bytes(b"others")
    assert inputs(launch)["args/more.bin"] != found["args/more.bin"]


def test_the_current_folder_comes_first_as_qemu_has_it(
    images: Callable[[str], Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = launched("qemu-x86_64", images)
    before = inputs(launch)["firmware/bios-256k.bin"]
    (tmp_path / "bios-256k.bin").write_bytes(b"another firmware")
    monkeypatch.chdir(tmp_path)
    assert inputs(launch)["firmware/bios-256k.bin"] == file_digest(tmp_path / "bios-256k.bin") != before


RECORD = BootRecord(
    image="i", arch="arm64", machine="m", mode="exact", probed=False, accel="tcg", accel_reason="", argv=(),
    cmdline="quiet", cpu="c", machine_type="virt", qemu_version="7", memory=256, devices=("virtio-net-pci",),
    seed=1, inputs={"initrd": "1", "kernel": "2", "qemu": "3", "firmware/a": "4"},
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"cmdline": "loud"}, "command line"),
        ({"memory": 512}, "memory"),
        ({"devices": ()}, "devices"),
        ({"extra_args": ("-S",)}, "further arguments"),
        ({"seed": 2}, "seed"),
        ({"qemu_version": "8", "inputs": {**RECORD.inputs, "qemu": "9"}}, "QEMU's version"),
        ({"inputs": {**RECORD.inputs, "qemu": "9", "initrd": "9"}}, "qemu"),
        ({"inputs": {**RECORD.inputs, "firmware/a": "9", "kernel": "9"}}, "firmware/a"),
        ({"inputs": {**RECORD.inputs, "initrd": "9"}}, "initrd"),
        ({"inputs": {**RECORD.inputs, "firmware/b": "9"}}, "firmware/b"),
        ({"inputs": {name: value for name, value in RECORD.inputs.items() if name != "firmware/a"}}, "firmware/a"),
    ],
)
def test_the_first_input_that_differs_is_named(changes: dict[str, object], name: str) -> None:
    other = replace(RECORD, **changes)  # type: ignore[arg-type]
    for one, two in ((RECORD, other), (other, RECORD)):
        found = first_difference(one, two)
        assert found is not None and found.name == name
        assert str(found).startswith(f"{name}: ")


def test_what_is_not_known_of_one_is_no_difference() -> None:
    assert first_difference(RECORD, RECORD) is None
    assert first_difference(RECORD, replace(RECORD, inputs={})) is None
    assert first_difference(RECORD, replace(RECORD, image="another", accel_reason="x", host={"load": 9})) is None


def test_an_older_records_memory_is_in_its_arguments() -> None:
    data = replace(RECORD, argv=("qemu", "-m", "256M")).to_json()
    for name in ("memory", "devices", "extra_args", "seed", "inputs", "witness", "expected", "ready_clock"):
        del data[name]
    assert BootRecord.from_json(data).key == replace(RECORD, seed=None).key
    assert replace(RECORD, extra_args=("-S",)).key["args"] == "-S"
