"""QEMU's command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness import paths
from harness.arch import ARCHES
from harness.emulator import argv as qemu
from harness.emulator.argv import Channels, Launch
from harness.spec import load_machine
from harness.spec.models.machine import MachineSpec
from harness.system.cmdline import cmdline


def launch(spec: MachineSpec, **more: object) -> list[str]:
    made = Launch(program="qemu", machine=spec, kernel=Path("k"), cmdline="c", **more)  # type: ignore[arg-type]
    return qemu.argv(made, Channels(console="file,path=x", qmp="null", probe="null"))


@pytest.mark.parametrize("arch", list(ARCHES))
def test_exact_boots_take_nothing_from_the_host(arch: str, machine: Callable[[str], MachineSpec]) -> None:
    argv = launch(machine(arch), mode="exact", probe=True)
    assert "shift=0,sleep=off" in argv
    devices = [argv[at + 1] for at, word in enumerate(argv) if word == "-device" and argv[at + 1].startswith("virtio-")]
    assert devices
    assert all("ioeventfd=off" in device for device in devices)
    assert all("tx=timer" in device for device in devices if "-net-" in device)
    # its answers come in the host's time
    assert not any("rng" in word for word in argv)
    assert any("virtio-rng" in word for word in launch(machine(arch)))


def test_mmio_devices_are_pinned_by_their_transport() -> None:
    argv = launch(load_machine(paths.MACHINES / "qemu-x86_64-microvm.yml"), mode="exact")
    assert "virtio-mmio.ioeventfd=off" in argv
    assert "virtio-net-device,netdev=net,tx=timer" in argv


def test_commas_in_paths_are_no_options() -> None:
    assert qemu.escape("/a,readonly=on/b") == "/a,,readonly=on/b"


def test_the_command_line_is_put_together(machine: Callable[[str], MachineSpec]) -> None:
    spec = machine("arm64").model_copy(update={"cmdline": "own"})
    assert cmdline("quiet", spec, ["more"], mode="exact", probe=True) == (
        "quiet console=ttyAMA0 own nokaslr rdinit=/probe/init more"
    )
    assert cmdline("", spec, [], mode="wall", probe=False) == "console=ttyAMA0 own"
