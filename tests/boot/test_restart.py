"""A reset starts a fresh QEMU: what is kept over it, and what may go wrong meanwhile."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import pytest

from harness.emulator import driver as module
from harness.emulator.argv import Launch
from harness.emulator.running import Running, run_qemu
from harness.errors import HostError, MachineError
from harness.spec.models.machine import MachineSpec

from .conftest import Toy

HANG = "\nwhile :; do $b sleep 1; done\n"
ANSWERS = "say ready\nread word </dev/console\nsay typed/$word" + HANG


def test_a_reset_keeps_the_ports_and_the_console(toy: Toy) -> None:
    with toy(ANSWERS, reboot=True, forwards=(80, 22)) as system:
        system.wait_ready()
        old, ports, before = system.driver.process, dict(system.forwards), len(system.milestones)
        assert set(ports) == {80, 22}
        system.reset()
        system.wait_ready(after=before)
        assert system.driver.process.pid != old.pid
        assert old.poll() == 0
        assert system.forwards == ports
        for port in ports.values():
            socket.create_connection(("127.0.0.1", port), timeout=10).close()
        system.console.sendline("again")
        system.wait_for("typed/again", after=before)
    assert system.driver.poll() is not None


@pytest.mark.parametrize("end", ["killed", "refused"])
def test_a_fresh_qemu_that_dies_is_told_as_any_other(toy: Toy, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    def killed(launch: Launch, out: Path) -> Running:
        running = run_qemu(launch, out)
        running.process.kill()
        return running

    def refused(launch: Launch, out: Path) -> Running:
        wrong = launch.machine.driven(args=("-device", "no-such-device"))
        return run_qemu(Launch(**{**launch.__dict__, "machine": wrong}), out)

    with toy("say ready" + HANG, reboot=True) as system:
        system.wait_ready()
        monkeypatch.setattr(module, "run_qemu", {"killed": killed, "refused": refused}[end])
        before = len(system.milestones)
        system.reset()
        words = {"killed": "was ended by SIGKILL", "refused": "ended with exit code 1"}[end]
        with pytest.raises(MachineError, match=f"QEMU {words} after 'ready'") as caught:
            system.wait_ready(after=before)
    assert end == "killed" or "no-such-device" in caught.value.details


def test_a_host_that_cannot_start_another_qemu_says_so(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(launch: Launch, out: Path) -> Running:
        raise HostError("no room for another")

    with toy("say ready" + HANG, reboot=True) as system:
        system.wait_ready()
        monkeypatch.setattr(module, "run_qemu", none)
        before = len(system.milestones)
        system.reset()
        with pytest.raises(HostError, match="no room for another"):
            system.wait_ready(after=before)


class Turn:
    """A lock that says when this thread wants it."""

    def __init__(self, wanted: Callable[[], None]) -> None:
        self.lock, self.thread, self.wanted = threading.Lock(), threading.current_thread(), wanted

    def __enter__(self) -> None:
        if threading.current_thread() is self.thread:
            self.wanted()
        self.lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.lock.release()


def test_a_machine_that_is_let_go_of_in_mid_restart_leaves_nothing(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    restarting, leaving, made = threading.Event(), threading.Event(), []

    def slow(launch: Launch, out: Path) -> Running:
        restarting.set()
        assert leaving.wait(60)
        made.append(run_qemu(launch, out))
        return made[-1]

    with toy("say ready" + HANG, reboot=True) as system:
        system.wait_ready()
        monkeypatch.setattr(module, "run_qemu", slow)
        turn = Turn(lambda: leaving.set() if restarting.is_set() else None)
        monkeypatch.setattr(system.driver, "_turn", turn)
        system.reset()
        assert restarting.wait(60)
        # and now the block is left, while the console's thread starts the next QEMU
    (fresh,) = made
    assert fresh.process.poll() == -signal.SIGKILL
    assert system.console.ended
    assert fresh.qmp is not None and fresh.qmp.closed
    assert sorted(path.name for path in system.options.out.iterdir()) == ["qemu.log", "record.json", "transcript.txt"]


@pytest.mark.parametrize("more", [{"reboot": True}, {"forwards": (80,)}], ids=["reboot", "forwards"])
def test_a_qemu_that_refuses_its_options_says_more_than_its_monitor(
    toy: Toy, machine: Callable[[str], MachineSpec], more: dict[str, object]
) -> None:
    spec = machine("arm64")
    wrong = spec.driven(machine="nosuch")
    with pytest.raises(MachineError, match="QEMU ended with exit code 1") as caught, toy(HANG, spec=wrong, **more):
        pass
    assert "nosuch" in caught.value.details


def test_a_reset_of_a_dead_machine_says_how_it_died(toy: Toy) -> None:
    with toy("say ready" + HANG, reboot=True) as system:
        system.wait_ready()
        os.kill(system.driver.process.pid, signal.SIGKILL)
        with pytest.raises(MachineError, match="QEMU was ended by SIGKILL after 'ready'"):
            system.reset()
