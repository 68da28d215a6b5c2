"""Guests and machines on bad days: each fails at once, with its own words and what a person needs next."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import HostError, ImageError, MachineError, UserError
from harness.image import Image
from harness.launch import boot
from harness.spec.models.machine import MachineSpec
from harness.system import BootOptions
from harness.system.segments import join, join_by_hand

from .conftest import Toy

HANG = "\nwhile :; do $b sleep 1; done\n"


def change(spec: MachineSpec, **qemu: object) -> MachineSpec:
    return spec.driven(**qemu)


def test_a_panic_fails_at_once_in_its_own_words(toy: Toy) -> None:
    with toy("exit 7\n") as system:
        with pytest.raises(ImageError) as caught:
            system.wait_ready()
    error = caught.value
    assert "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000700" in error.message
    assert "after 'init'" in error.message
    assert "end Kernel panic" in error.details  # its last words, which come after the first bad one
    assert f"transcript: {system.transcript}" in error.details
    assert "qemu-system-aarch64 -nodefaults" in error.details
    assert "Kernel panic" in system.transcript.read_text()
    # what the command to repeat it names is there
    assert all(Path(word).exists() for word in error.details.split() if word.endswith(("/kernel", "/initrd")))


def test_a_panic_ends_a_wait_for_something_else(toy: Toy) -> None:
    with toy("say ready\n$b sleep 1\necho c >/proc/sysrq-trigger\n" + HANG) as system:
        system.wait_ready()
        with pytest.raises(ImageError) as caught:
            system.wait_for("never")
    assert "sysrq triggered crash" in caught.value.message


def test_a_guest_that_runs_out_of_memory_is_lost_at_once(toy: Toy) -> None:
    eaters = "for n in 1 2; do $b dd if=/dev/zero of=/dev/null bs=150M & done"
    with toy(f"say ready\n{eaters}{HANG}") as system:
        system.wait_ready()
        with pytest.raises(ImageError, match="the guest ran out of memory after 'ready'") as caught:
            system.wait_for("never")
    assert "Out of memory: Killed process" in caught.value.message


def test_a_silent_guest_is_told_from_a_slow_one(toy: Toy, machine: Callable[[str], MachineSpec]) -> None:
    deaf = machine("arm64").model_copy(update={"console": "ttyS7"})
    with toy(HANG, spec=deaf) as system, pytest.raises(ImageError, match="nothing was heard for 4 s") as caught:
        system.wait_ready(4)
    assert "ttyS7" in caught.value.hint


def test_a_slow_guest_is_told_with_its_last_mark(toy: Toy) -> None:
    with toy("echo the last words >/dev/console" + HANG) as system:
        system.wait_for("init")
        with pytest.raises(ImageError, match="no ready within 1 s after 'init'") as caught:
            system.wait_ready(1)
    assert "the last words" in caught.value.details


def test_unready_names_what_failed(toy: Toy) -> None:
    with toy("say onboot/net failed code=3\nsay unready" + HANG) as system:
        with pytest.raises(ImageError, match="unready") as caught:
            system.wait_ready()
    assert "onboot/net failed code=3" in caught.value.details


def test_a_machine_that_goes_off_early_is_the_images_fault(toy: Toy) -> None:
    with toy("$b poweroff -f\n") as system, pytest.raises(ImageError, match="went off or restarted by itself"):
        system.wait_ready()


def test_a_reboot_ends_a_machine_that_may_not(toy: Toy) -> None:
    with toy("say ready\n$b reboot -f\n") as system:
        system.wait_ready()
        system.wait_off()
    assert system.driver.poll() == 0


def test_qemu_killed_in_mid_boot_is_the_machines_fault(toy: Toy) -> None:
    with toy(HANG) as system:
        system.wait_for("init")
        os.kill(system.driver.process.pid, signal.SIGKILL)
        with pytest.raises(MachineError, match="QEMU was ended by SIGKILL after 'init'"):
            system.wait_ready()


@pytest.mark.parametrize("mode", ["wall", "exact"])
def test_a_qemu_that_refuses_its_options_says_why(toy: Toy, machine: Callable[[str], MachineSpec], mode: str) -> None:
    wrong = change(machine("arm64"), args=("-device", "no-such-device"))
    with toy(HANG, spec=wrong, mode=mode) as system, pytest.raises(MachineError) as caught:
        system.wait_ready()
    assert "no-such-device" in caught.value.details
    assert "to repeat it: /" in caught.value.details


def test_a_qemu_that_dies_before_it_opens_the_console_says_why(toy: Toy, machine: Callable[[str], MachineSpec]) -> None:
    wrong = change(machine("arm64"), machine="nosuch")
    with toy(HANG, spec=wrong) as system, pytest.raises(MachineError, match="ended with exit code 1") as caught:
        system.wait_ready()
    assert "nosuch" in caught.value.details
    assert system.console.ended  # and not for the time that a dead QEMU's last words may take


def test_the_command_to_repeat_a_boot_repeats_it_when_all_is_over(toy: Toy) -> None:
    with toy("exit 7\n", probe=True, append=("panic=-1",)) as system:
        with pytest.raises(ImageError) as caught:
            system.wait_ready()  # as in a case: the error does not leave the block
    assert not (system.options.out / "initrd").exists()  # of megabytes a failed boot keeps none either
    (told,) = (line for line in caught.value.details.splitlines() if line.startswith("to repeat it: "))
    command = told.removeprefix("to repeat it: ")
    assert f"# command: {command}\n" in system.transcript.read_text()
    again = subprocess.run(["sh", "-c", command], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=True)
    assert b"Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000700" in again.stdout


def test_segments_of_any_size_are_joined_by_hand_as_by_the_harness(tmp_path: Path) -> None:
    parts = [tmp_path / "it's one", tmp_path / "two"]
    for part, content in zip(parts, (b"12345", b"12345678"), strict=True):
        part.write_bytes(content)
    join(parts, tmp_path / "joined")
    subprocess.run(["sh", "-c", join_by_hand(parts, tmp_path / "by hand")], check=True)
    assert (tmp_path / "by hand").read_bytes() == (tmp_path / "joined").read_bytes() == b"12345\0\0\0" + b"12345678"


def test_garbage_on_the_console_hides_no_mark(toy: Toy) -> None:
    with toy("$b head -c 30000 /dev/urandom >/dev/console\necho >/dev/console\nsay ready" + HANG) as system:
        assert system.wait_ready().guest_us


def test_a_real_flood_does_not_stop_a_boot(toy: Toy) -> None:
    with toy("$b yes | $b head -c 100000 >/dev/console\nsay ready" + HANG) as system:
        system.wait_ready()
    assert system.transcript.stat().st_size < 70 << 20


def test_a_missing_qemu_names_its_package(
    toy: Toy, images: Callable[[str], Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    images("arm64")
    monkeypatch.setattr("harness.tools.find", lambda program: None)
    with pytest.raises(HostError, match="qemu-system-aarch64 is not installed") as caught, toy(HANG):
        pass
    assert "qemu-system-arm" in caught.value.hint


def test_what_does_not_fit_is_refused_before_anything_starts(
    toy_image: Callable[..., Image], machine: Callable[[str], MachineSpec], tmp_path: Path
) -> None:
    image, fine = toy_image(HANG), BootOptions(mode="wall", out=tmp_path / "out")
    exact = replace(fine, mode="exact")
    wrong: list[tuple[MachineSpec, BootOptions, str]] = [
        (machine("s390x"), fine, "toy is for arm64, but qemu-s390x is s390x"),
        (change(machine("arm64"), exact=False), exact, "cannot count instructions"),
        (machine("arm64"), replace(exact, forwards=(80,)), "no events from outside"),
        (machine("arm64"), replace(fine, forwards=(70000,)), "70000 is not a TCP port to forward: 1 to 65535"),
        (change(machine("arm64"), network=False), replace(fine, forwards=(80,)), "no network"),
    ]
    for spec, options, words in wrong:
        with pytest.raises(UserError, match=words), boot(image, spec, options):
            pass
    (image.folder / "kernel").unlink()
    with pytest.raises(UserError, match="no file 'kernel'"), boot(image, machine("arm64"), fine):
        pass
    assert not fine.out.exists()
