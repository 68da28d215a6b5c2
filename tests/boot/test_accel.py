"""KVM is believed when a Linux has booted under it, and not before."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.arch import ARCHES
from harness.commands.host import doctor
from harness.emulator import accel
from harness.errors import HostError
from harness.image import Image
from harness.spec.models.machine import MachineSpec
from harness.system import host
from harness.system.limits import SPARE, guests

pytestmark = [pytest.mark.boots, pytest.mark.builds]

HERE = next((row for row in ARCHES.values() if row.kvm_host == platform.machine()), None)
OTHER = next(row for row in ARCHES.values() if row.kvm_host != platform.machine())


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, images: Callable[[str], Image]) -> Path:
    images("arm64"), images("x86_64")  # from the real cache
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_another_architecture_is_emulated() -> None:
    assert accel.unusable(OTHER) == f"this host is {platform.machine()}"
    assert accel.verdict(OTHER, Path("kernel")).name == "tcg"


@pytest.mark.skipif(HERE is None, reason="no architecture of ours")
def test_no_device_and_no_permission_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert HERE is not None
    assert "there is no" in accel.unusable(HERE, tmp_path / "kvm")
    node = tmp_path / "node"
    node.touch(mode=0o000)
    if os.geteuid() == 0:  # root may open anything: what the kernel tells everybody else

        def refuse(*_: object, **__: object) -> int:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(os, "open", refuse)
    choice = accel.verdict(HERE, Path("kernel"), node)
    assert choice.name == "tcg"
    assert "no permission" in choice.reason
    assert "group" in choice.reason


@pytest.mark.skipif(HERE is None or not Path("/dev/kvm").exists(), reason="no KVM here that could lie")
def test_the_verdict_is_made_once_and_remembered(
    cache: Path, images: Callable[[str], Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert HERE is not None
    kernel = images(HERE.name).kernel
    first = accel.verdict(HERE, kernel)
    assert first.name in ("tcg", "kvm")
    assert first.reason
    rows = json.loads((cache / "accel.json").read_text())
    assert list(rows) == [f"{HERE.name} {host.boot_id()} {host.qemu_version(HERE)}"]

    monkeypatch.setattr(accel, "_try", lambda *_: pytest.fail("tried again"))
    assert accel.verdict(HERE, kernel) == first
    # another boot of the host: what was known no longer counts
    monkeypatch.setattr(host, "boot_id", lambda: "another")
    monkeypatch.setattr(accel, "_try", lambda *_: accel.Choice("tcg", "anew"))
    assert accel.verdict(HERE, kernel).reason == "anew"
    assert len(json.loads((cache / "accel.json").read_text())) == 1


@pytest.mark.skipif(HERE is None or not Path("/dev/kvm").exists(), reason="no KVM here")
def test_a_kernel_that_never_speaks_proves_nothing(tmp_path: Path) -> None:
    assert HERE is not None
    kernel = tmp_path / "kernel"
    kernel.write_bytes(b"no kernel at all" * 1000)
    choice = accel.verdict(HERE, kernel, trial_s=2)
    assert choice.name == "tcg"
    assert choice.reason.startswith("KVM opens, but")


LIES = {
    "hangs at once": ("exec sleep 1000", "did not come up under it within 1 s"),
    "runs its firmware, then hangs": (
        """for word; do case $word in file,id=console,path=*) echo SeaBIOS >"${word#*path=}" ;; esac; done
exec sleep 1000""",
        "did not come up under it within 1 s",
    ),
    "dies": ('echo "kvm_buf_set_msrs: Assertion \\`ret == nmsrs\' failed." >&2; kill -ABRT $$', "Assertion"),
}


@pytest.mark.skipif(HERE is None, reason="no architecture of ours")
@pytest.mark.parametrize("lie", LIES)
def test_a_kvm_that_lies_is_found_out_and_remembered(
    lie: str, machine: Callable[[str], MachineSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A KVM that opens, with a QEMU under which no Linux comes up: the verdict comes in time, and QEMU is ended."""
    assert HERE is not None
    does, words = LIES[lie]
    qemu = tmp_path / "bin" / HERE.qemu
    qemu.parent.mkdir()
    qemu.write_text(f'#!/bin/sh\n[ "$1" != --version ] || {{ echo QEMU emulator version 0; exit; }}\n'
                    f'echo $$ >>{tmp_path}/pids\n{does}\n')  # fmt: skip
    qemu.chmod(0o755)
    monkeypatch.setenv("PATH", f"{qemu.parent}:{os.environ['PATH']}")
    device = tmp_path / "kvm"
    device.touch()
    monkeypatch.setattr(accel, "KVM", device)
    # what hangs takes the whole trial, what dies is not waited for
    choice = accel.verdict(HERE, Path("kernel"), trial_s=60 if lie == "dies" else 1)
    assert choice.name == "tcg"
    assert choice.reason.startswith("KVM opens, but")
    assert words in choice.reason
    pids = (tmp_path / "pids").read_text().split()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)
    # boots and `harness doctor` take and show what is remembered
    assert accel.choose(HERE, machine(HERE.name), Path("kernel"), "wall") == choice
    monkeypatch.setattr(doctor, "_built_kernel", lambda row: Path("kernel"))
    assert doctor.kvm()[HERE.name] == {"accel": "tcg", "reason": choice.reason}
    assert (tmp_path / "pids").read_text().split() == pids  # remembered: not tried again


def test_a_spoilt_memory_is_made_anew(cache: Path) -> None:
    cache.mkdir()
    for text in ("", "[]", '{"a": 1}', '{"a": {"name": "kvm"}}'):
        (cache / "accel.json").write_text(text)
        assert accel._load(cache / "accel.json") == {}


def test_exact_boots_are_emulated_and_demands_are_checked(machine: Callable[[str], MachineSpec]) -> None:
    spec = machine(OTHER.name)
    demanding = spec.driven(accel="kvm")
    assert accel.choose(OTHER, demanding, Path("kernel"), "exact").name == "tcg"
    with pytest.raises(HostError, match="demands KVM"):
        accel.choose(OTHER, demanding, Path("kernel"), "wall")


def test_guests_are_bounded_by_cores_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "cores", lambda: 8)
    monkeypatch.setattr(host, "spare_memory", lambda: 512 + 3 * 512)
    assert guests(256) == 3
    monkeypatch.setattr(host, "spare_memory", lambda: 100_000)
    assert guests(256) == 8 + SPARE
    monkeypatch.setattr(host, "spare_memory", lambda: 10)
    assert guests(256) == 1
