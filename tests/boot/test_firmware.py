"""Which UEFI a machine gets, by the descriptors that QEMU's own rules read, and what its command line becomes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.emulator import firmware
from harness.emulator.argv import BY_HAND, Launch, argv, cd_drive
from harness.errors import HostError, UserError
from harness.spec import load_machine
from harness.spec.models.machine import MachineSpec


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Three folders of descriptors, the user's own first."""
    found = [tmp_path / name for name in ("own", "etc", "usr")]
    for folder in found:
        folder.mkdir()
    monkeypatch.setattr(firmware, "folders", lambda: tuple(found))
    return found


def described(path: Path, arch: str = "x86_64", machines: str = "pc-q35-*", features: tuple[str, ...] = ()) -> None:
    """Write a descriptor, and the files that it names."""
    files = {part: path.with_name(f"{path.name}.{part}") for part in ("executable", "nvram-template")}
    for file in files.values():
        file.write_text(str(file))
    text = {
        "interface-types": ["uefi"],
        "mapping": {
            "device": "flash",
            **{part: {"filename": str(file), "format": "raw"} for part, file in files.items()},
        },
        "targets": [{"architecture": arch, "machines": [machines]}],
        "features": list(features),
    }
    path.write_text(json.dumps(text))


def of_type(name: str, machine: str) -> MachineSpec:
    made = load_machine(name)
    return made.driven(machine=machine)


def test_the_first_that_fits_by_name_and_the_users_own_hides_one_of_the_same_name(folders: list[Path]) -> None:
    own, etc, usr = folders
    (usr / "10-broken.json").write_text("{")
    (usr / "11-list.json").write_text("[]")
    described(usr / "20-other.json", arch="aarch64", machines="virt-*")
    described(usr / "30-secure.json", features=("requires-smm", "secure-boot"))
    described(usr / "40-gone.json")
    (usr / "40-gone.json.executable").unlink()
    described(usr / "60-plain.json")
    described(usr / "70-later.json")
    assert firmware.uefi(load_machine("qemu-x86_64")).code.path == usr / "60-plain.json.executable"
    assert firmware.uefi(load_machine("qemu-arm64")).code.path == usr / "20-other.json.executable"
    described(etc / "60-plain.json")
    described(own / "60-plain.json")
    assert firmware.uefi(load_machine("qemu-x86_64")).variables.path == own / "60-plain.json.nvram-template"


@pytest.mark.parametrize(
    ("machine", "fits"), [("q35", True), ("pc-q35-7.2", True), ("q35,hpet=off", True), ("pc", False)]
)
def test_a_machine_type_fits_by_its_whole_name(machine: str, fits: bool, folders: list[Path]) -> None:
    described(folders[2] / "60.json")
    if fits:
        assert firmware.uefi(of_type("qemu-x86_64", machine))
    else:
        with pytest.raises(HostError, match="no UEFI for x86_64 is installed"):
            firmware.uefi(of_type("qemu-x86_64", machine))


def test_what_is_not_installed_says_which_package_brings_it(folders: list[Path]) -> None:
    with pytest.raises(HostError, match="no UEFI for arm64") as caught:
        firmware.uefi(load_machine("qemu-arm64"))
    assert caught.value.hint == "apt-get install qemu-efi-aarch64"
    assert str(folders[0]) in str(caught.value.details)


@pytest.mark.parametrize("name", ["qemu-s390x", "qemu-x86_64-microvm", "qemu-raspi3b"])
def test_a_machine_without_one_says_so(name: str) -> None:
    with pytest.raises(UserError, match=f"{name} has no UEFI"):
        firmware.uefi(load_machine(name))


def test_no_boot_writes_to_the_firmware_or_the_cd_and_the_cd_comes_first(folders: list[Path]) -> None:
    described(folders[0] / "60.json")
    machine = load_machine("qemu-x86_64")
    launch = Launch("qemu", machine, None, "", iso=Path("/a,b.iso"), firmware=firmware.uefi(machine))
    words = argv(launch, BY_HAND)
    drives = [words[at + 1] for at, word in enumerate(words) if word == "-drive"]
    assert [drive.partition(",file=")[0] for drive in drives] == [
        "if=pflash,unit=0,format=raw,readonly=on",
        "if=pflash,unit=1,format=raw,snapshot=on",
        "if=none,id=cd,media=cdrom,readonly=on,format=raw",
    ]
    assert drives[2].endswith("file=/a,,b.iso")
    assert "ide-cd,drive=cd,bootindex=1" in words
    assert "-kernel" not in words and "-append" not in words
    direct = argv(replace(launch, kernel=Path("/vmlinuz")), BY_HAND)
    assert "ide-cd,drive=cd" in direct and "-kernel" in direct


@pytest.mark.parametrize(
    ("name", "devices"),
    [
        ("qemu-x86_64", ("ide-cd",)),
        ("qemu-arm64", ("virtio-scsi-pci", "scsi-cd")),
        ("qemu-s390x", ("virtio-scsi-ccw", "scsi-cd")),
        ("qemu-x86_64-microvm", ()),
    ],
)
def test_a_cd_hangs_on_what_the_machine_has(name: str, devices: tuple[str, ...]) -> None:
    assert cd_drive(load_machine(name)) == devices
