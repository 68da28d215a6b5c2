"""A board's console over real lines: a terminal's device, ser2net, sshd, a program."""

from __future__ import annotations

import getpass
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import tools
from harness.board.consoles import open_console
from harness.board.source import BoardSource
from harness.errors import HostError, MachineError, UserError
from harness.spec.models.board import BoardConsole
from harness.system.console import Console
from harness.system.consoleshell import ConsoleShell
from harness.system.listener import Listener
from harness.system.transcript import Transcript

from .lab_servers import free_port, ser2net, shell_on_pty, sshd

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(not (tools.find("ser2net") and tools.find("sshd")), reason="no ser2net or no sshd"),
]


def opened(tmp_path: Path, **console: object) -> BoardSource:
    return open_console(BoardConsole.model_validate(console), tmp_path, tmp_path)


def exact(source: BoardSource, tmp_path: Path) -> None:
    """A shell answers over it, byte for byte."""
    began = time.monotonic()
    console = Console(source, Listener(Transcript(tmp_path / "t", {})), lambda: time.monotonic() - began)
    try:
        on = ConsoleShell(console, lambda: None)
        assert on.run("printf 'a\\0b\\377\\r\\n'; exit 3").stdout == b"a\0b\xff\r\n"
        (tmp_path / "data").write_bytes(bytes(range(256)) * 40)
        assert on.run(f"cat {tmp_path}/data").stdout == bytes(range(256)) * 40
    finally:
        console.close()


def test_a_serial_device(tmp_path: Path) -> None:
    with shell_on_pty() as device:
        exact(opened(tmp_path, serial=device), tmp_path)


@pytest.mark.parametrize("kind", ["rfc2217", "raw"])
def test_ser2net(kind: str, tmp_path: Path) -> None:
    scheme = {"rfc2217": "rfc2217", "raw": "socket"}[kind]
    with shell_on_pty() as device, ser2net(tmp_path, device) as ports:
        exact(opened(tmp_path, serial=f"{scheme}://127.0.0.1:{ports[kind]}"), tmp_path)


def test_a_command_on_another_machine(tmp_path: Path) -> None:
    with sshd(tmp_path) as server:
        target = server.target().model_dump()
        exact(opened(tmp_path, ssh={**target, "command": "exec sh -i"}), tmp_path)


def test_a_program(tmp_path: Path) -> None:
    exact(opened(tmp_path, command=("sh", "-i")), tmp_path)


def end_of(source: BoardSource) -> tuple[bytes, str]:
    heard = b""
    while (data := source.read(0.2)) is not None:
        heard += data
    source.close()
    return heard, source.why


def test_how_a_program_ends_is_told(tmp_path: Path) -> None:
    assert end_of(opened(tmp_path, command=("sh", "-c", "echo last; exit 3"))) == (
        b"last\n",
        "sh ended with exit code 3; the last words were 'last'",
    )


def test_how_a_far_command_ends_is_told(tmp_path: Path) -> None:
    with sshd(tmp_path) as server:
        source = opened(tmp_path, ssh={**server.target().model_dump(), "command": "echo last; exit 3"})
        heard, why = end_of(source)
    assert heard == b"last\r\n" and why == "echo last; exit 3 on 127.0.0.1 ended with exit code 3"


def test_a_line_that_is_cut_is_told(tmp_path: Path) -> None:
    with shell_on_pty() as device, ser2net(tmp_path, device) as ports:
        source = opened(tmp_path, serial=f"rfc2217://127.0.0.1:{ports['rfc2217']}")
    assert "was lost" in end_of(source)[1]


@pytest.mark.parametrize(
    ("console", "kind", "said"),
    [
        ({"serial": "/dev/null"}, MachineError, "cannot be opened: .*ioctl"),
        ({"serial": "socket://127.0.0.1:PORT"}, MachineError, "cannot be opened: .*refused"),
        ({"serial": "rfc2217://127.0.0.1:PORT?x=y"}, UserError, "not a line of pySerial's"),
        ({"command": ("no-such-program",)}, HostError, "no-such-program is not installed"),
        ({"ssh": {"host": "127.0.0.1", "port": "PORT", "user": getpass.getuser()}}, MachineError, "does not answer"),
    ],
)
def test_what_cannot_be_opened(console: dict[str, object], kind: type[Exception], said: str, tmp_path: Path) -> None:
    port = free_port()

    def filled(value: object) -> object:
        if isinstance(value, dict):
            return {key: filled(one) for key, one in value.items()}
        return port if value == "PORT" else value.replace("PORT", str(port)) if isinstance(value, str) else value

    with pytest.raises(kind, match=said):
        opened(tmp_path, **{key: filled(value) for key, value in console.items()})


def gone(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + 10
    while time.monotonic() < end and not condition():
        time.sleep(0.05)
    return condition()


@pytest.mark.parametrize("first", ["", "trap '' HUP; "], ids=["plain", "nohup"])
def test_a_program_and_its_children_end_with_the_console(tmp_path: Path, first: str) -> None:
    pids = tmp_path / "pids"
    source = opened(tmp_path, command=("sh", "-c", f"{first}sleep 1000 & echo $$ $! >{pids}; wait"))
    assert gone(lambda: pids.is_file() and len(pids.read_text().split()) == 2)
    source.close()
    assert gone(lambda: not any(Path(f"/proc/{pid}/stat").exists() for pid in pids.read_text().split()))


def test_a_device_is_one_programs_alone(tmp_path: Path) -> None:
    assert shutil.which("stty")
    with shell_on_pty() as device:
        first = opened(tmp_path, serial=device)
        with pytest.raises(MachineError, match="cannot be opened"):
            opened(tmp_path, serial=device)
        first.close()
