"""Commands in the guest through the probe: exact bytes, codes and deadlines, on every architecture."""

from __future__ import annotations

import hashlib
import pickle
import select
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import EXIT_IMAGE, MachineError, UserError
from harness.image import Image
from harness.launch import boot
from harness.spec.models.machine import MachineSpec
from harness.system import BootOptions, CommandFailedError, CommandTimeoutError, ShellDeadError
from harness.system.probe import ProbeShell

from .conftest import Toy


@pytest.mark.parametrize("arch", ["arm64", "s390x", pytest.param("x86_64", marks=pytest.mark.long)])
def test_a_probed_system_runs_commands_and_reboots(
    arch: str, images: Callable[[str], Image], machine: Callable[[str], MachineSpec], tmp_path: Path
) -> None:
    options = BootOptions(mode="wall", out=tmp_path, probe=True, reboot=True, timeout=120)
    with boot(images(arch), machine(arch), options) as system:
        system.wait_ready()
        run = system.shell.run
        assert run("printf 'a\\0b\\377\\r\\n'; exit 3").stdout == b"a\0b\xff\r\n"
        assert run("printf x; printf y >&2; exit 3").code == 3
        assert run("pwd; id -u; echo $TERM").text == "/\n0\ndumb\n"
        # the kernel prints meanwhile, and nothing of it gets in
        noise = "i=0; while [ $i -lt 50 ]; do echo '<2>noise' >/dev/kmsg; i=$((i+1)); done & "
        big = run(noise + "head -c 1000000 /dev/urandom >/tmp/big; cat /tmp/big; rm /tmp/keep 2>/dev/null; wait")
        assert len(big.stdout) == 1_000_000
        assert hashlib.sha256(big.stdout).hexdigest() == run("sha256sum /tmp/big").text.split()[0]
        with pytest.raises(CommandTimeoutError, match="did not end within 1 s") as caught:
            run("echo begun; sleep 1000", timeout=1)
        assert caught.value.whose == "the image"
        assert run("echo goes on").text == "goes on\n"
        with pytest.raises(CommandFailedError, match="exit code 4"):
            run("exit 4", check=True)
        assert run("exit 137").code == 137

        before = len(system.milestones)
        old = run("cat /proc/sys/kernel/random/boot_id").text
        run("reboot")
        system.wait_ready(after=before)
        assert run("cat /proc/sys/kernel/random/boot_id").text not in ("", old)
        system.power_off()
        assert system.driver.poll() == 0
        assert system.milestones[-1].name == "off"
    assert system.record.probed


def test_forwarded_ports_are_free_ones_of_this_host(toy: Toy) -> None:
    with toy("say ready\nwhile :; do $b sleep 1; done\n", forwards=(80, 22)) as system:
        system.wait_ready()
        assert set(system.forwards) == {80, 22}
        for port in system.forwards.values():
            socket.create_connection(("127.0.0.1", port), timeout=10).close()


def test_an_unprobed_boot_has_no_shell(toy: Toy) -> None:
    with toy("say ready\nwhile :; do $b sleep 1; done\n") as system, pytest.raises(MachineError, match="not probed"):
        _ = system.shell


def agent(*answers: bytes) -> ProbeShell:
    """Give a shell whose agent answers each command with the next of `answers`."""
    ours, theirs = socket.socketpair()

    theirs.sendall(b"hello 1\n")

    def serve() -> None:
        with theirs.makefile("rb") as stream:
            for answer, _ in zip(answers, stream, strict=False):
                theirs.sendall(answer)
        theirs.close()

    threading.Thread(target=serve, daemon=True).start()
    return ProbeShell(ours, lambda: None)


@pytest.mark.parametrize(
    "answer",
    [
        b"done 1 0 5\nhell",
        b"done 1 0 2\nokend 2\n",
        b"done 1 0\n",
        b"done x 0 1\n",
        b"done 1 0 99999999999\n",
        b"x" * 1000,
        b"hello 1\n",
        b"",
    ],
)
def test_a_broken_agent_gives_no_wrong_bytes(answer: bytes) -> None:
    shell = agent(answer)
    with pytest.raises(ShellDeadError) as caught:
        shell.run("anything", timeout=1)
    assert (caught.value.whose, pickle.loads(pickle.dumps(caught.value)).exit_code) == ("the image", EXIT_IMAGE)


def test_a_channel_that_fails_says_how() -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(b"hello 1\n")

    def reset() -> None:
        select.select([theirs], [], [])
        theirs.close()  # with the command unread

    threading.Thread(target=reset, daemon=True).start()
    with pytest.raises(ShellDeadError, match=r"its channel ended: .*reset by peer"):
        ProbeShell(ours, lambda: None).run("anything", timeout=1)


def test_a_channel_that_was_closed_is_a_dead_shell() -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(b"hello 1\n")
    shell = ProbeShell(ours, lambda: None)
    shell.hello(10)
    ours.close()  # as a restart does
    with pytest.raises(ShellDeadError, match="its channel ended: "):
        shell.run("anything", timeout=1)


def test_an_answer_to_an_earlier_command_is_passed_over() -> None:
    assert agent(b"done 0 9 3\noldend 0\ndone 1 0 3\nnewend 1\n").run("x").stdout == b"new"


@pytest.mark.parametrize("command", ["", " ", "a\0b", "x" * 70_000])
def test_what_is_no_command_is_the_callers_mistake(command: str) -> None:
    with pytest.raises(UserError):
        agent().run(command)
