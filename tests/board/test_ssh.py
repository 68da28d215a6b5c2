"""A shell over SSH against a real sshd: exact bytes, limits, keys, hosts to go over, files."""

from __future__ import annotations

import getpass
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiers import needs

from harness import tools
from harness.board.connection import Connection, jumps
from harness.board.ssh import SshShell
from harness.errors import MachineError, UserError
from harness.spec.models.board import SshTarget
from harness.system.shell import CommandFailedError, CommandTimeoutError, ShellDeadError

from .lab_servers import Sshd, free_port, sshd

pytestmark = pytest.mark.skipif(not tools.find("sshd"), reason="no sshd")


@pytest.fixture(scope="module")
@needs("servers")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running


def shell(server: Sshd, **changes: object) -> SshShell:
    return SshShell(Connection(server.target(**changes), server.folder))


@pytest.fixture
def on(server: Sshd) -> Iterator[SshShell]:
    made = shell(server)
    yield made
    made.close()


def test_bytes_and_codes_are_exact(on: SshShell, tmp_path: Path) -> None:
    assert on.run("printf 'a\\0b\\377\\r\\n'; printf e >&2; exit 3").stdout == b"a\0b\xff\r\ne"
    assert on.run("exit 3").code == 3
    data = random.Random(1).randbytes(3_000_000)
    (tmp_path / "data").write_bytes(data)
    assert on.run(f"cat {tmp_path}/data").stdout == data
    assert on.run("echo '" + "l" * 60_000 + "'").stdout == b"l" * 60_000 + b"\n"
    assert on.run("cat").stdout == b""  # its input is empty
    with pytest.raises(CommandFailedError):
        on.run("exit 1", check=True)
    with pytest.raises(UserError, match="not a command"):
        on.run(" ")


def test_a_command_ends_with_its_time_and_the_shell_goes_on(on: SshShell) -> None:
    with pytest.raises(CommandTimeoutError, match="was ended"):
        on.run("echo first; sleep 100", timeout=1)
    assert on.run("echo still").text == "still\n"


def test_what_runs_on_behind_does_not_hold_it_up(on: SshShell) -> None:
    assert on.run("sleep 30 & echo there", timeout=20).text == "there\n"
    on.run("pkill -f '^sleep 30$' || true")


@pytest.mark.proc
def test_a_lost_connection_is_told_and_made_again(on: SshShell) -> None:
    with pytest.raises(ShellDeadError, match="connection was lost"):
        on.run(
            "kill -KILL $(awk '/^PPid/{print $2}' /proc/$(awk '/^PPid/{print $2}' /proc/$PPID/status)/status); sleep 9"
        )
    assert on.run("echo again").text == "again\n"


def test_a_machine_that_does_not_answer_is_waited_for_in_vain(server: Sshd) -> None:
    with pytest.raises(ShellDeadError, match="does not answer over SSH"):
        shell(server, port=free_port()).start(timeout=1)


def test_files_go_and_come(on: SshShell, tmp_path: Path) -> None:
    data = os.urandom(200_000)
    (tmp_path / "here").write_bytes(data)
    on.put(tmp_path / "here", str(tmp_path / "there"))
    on.get(str(tmp_path / "there"), tmp_path / "back")
    assert (tmp_path / "there").read_bytes() == data == (tmp_path / "back").read_bytes()
    with pytest.raises(MachineError, match="cannot be got"):
        on.get("/no/such/file", tmp_path / "back")
    with pytest.raises(MachineError, match="cannot be put"):
        on.put(tmp_path / "here", "/no/such/folder/file")


def test_hosts_to_go_over(server: Sshd) -> None:
    over = f"{getpass.getuser()}@127.0.0.1:{server.port}"
    on = shell(server, jump=(over, over))
    assert on.run("echo far").text == "far\n"
    on.close()


def test_how_hosts_to_go_over_are_written() -> None:
    target = SshTarget(host="board", user="root", jump=("me@gate:2222", "[fe80::1]:23", "plain"))
    assert [(one.user, one.host, one.port) for one in jumps(target)] == [
        ("me", "gate", 2222),
        ("root", "fe80::1", 23),
        ("root", "plain", 22),
    ]


def test_a_key_with_a_password(server: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="has a password"):
        shell(server, key="locked").run("true")
    with pytest.raises(UserError, match="not in the environment"):
        shell(server, key="locked", key_password_env="LAB_KEY").run("true")
    monkeypatch.setenv("LAB_KEY", "dull-heron-8")
    with pytest.raises(UserError, match="does not open with its password"):
        shell(server, key="locked", key_password_env="LAB_KEY", port=free_port()).run("true")  # nothing is reached
    monkeypatch.setenv("LAB_KEY", "brisk-heron-7")
    on = shell(server, key="locked", key_password_env="LAB_KEY")
    assert on.run("echo open").text == "open\n"
    on.close()


def test_a_public_key_in_place_of_a_private_one_is_told_at_once(server: Sshd) -> None:
    with pytest.raises(UserError, match=r"'id\.pub' is a public key"):
        shell(server, key="id.pub", port=free_port()).run("true")


def test_the_agents_keys(server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    socket = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL) as agent:
        try:
            monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
            for _ in range(100):
                if subprocess.run(["ssh-add", "-q", str(server.folder / "id")], check=False).returncode == 0:
                    break
            on = shell(server, key="")
            assert on.run("echo by the agent").text == "by the agent\n"
            on.close()
        finally:
            agent.kill()


def test_host_keys_are_checked(server: Sshd, tmp_path: Path) -> None:
    (tmp_path / "none").write_text("")
    with pytest.raises(UserError, match=r"host key of .* is not known"):
        shell(server, known_hosts=str(tmp_path / "none")).run("true")
    other = (server.folder / "id.pub").read_text()
    (tmp_path / "other").write_text(f"[127.0.0.1]:{server.port} {other}")
    with pytest.raises(MachineError, match="another host key"):
        shell(server, known_hosts=str(tmp_path / "other")).run("true")


def test_a_login_that_is_refused(server: Sshd) -> None:
    with pytest.raises(UserError, match="refuses the login"):
        shell(server, key="host").run("true")
    with pytest.raises(UserError, match="there is no key"):
        shell(server, key="missing").run("true")
