"""A console that a program gives: where it is found, when it is connected, how it ends."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from harness import tools
from harness.board.consoles import open_console
from harness.board.faults import ConsoleServerError
from harness.board.power import Switch
from harness.board.source import BoardSource
from harness.board.usual import CONSERVER, IPMITOOL, completed
from harness.spec.models.board import BoardConsole
from harness.spec.models.power import BoardPower

from .lab_servers import shell_on_pty
from .power_servers import PASSWORD, USER, ipmi_sim, script


def opened(tmp_path: Path, **console: object) -> BoardSource:
    return open_console(BoardConsole.model_validate(console), tmp_path, tmp_path)


def test_programs_are_relative_to_the_yamls_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lab").mkdir()
    script(tmp_path / "lab/beside", "[ $# -gt 0 ] || pwd; sleep 1\n")
    monkeypatch.chdir(tmp_path)
    source = open_console(BoardConsole(command=("./beside",)), Path("lab"), tmp_path)
    assert reads(source, b"lab").strip().endswith(str(tmp_path / "lab").encode())
    source.close()
    switch = Switch(BoardPower.model_validate({"command": {"on": ("./beside",), "off": ("./off",)}}), Path("lab"))
    script(tmp_path / "lab/off", "touch was-off\n")
    switch.off()
    assert (tmp_path / "lab/was-off").exists()


def test_a_program_is_waited_for_and_what_it_says_of_itself_is_not_the_boards(tmp_path: Path) -> None:
    program = ("sh", "-c", "echo Trying; sleep 0.5; echo Connected to one.; printf 'U-Boot'; sleep 9")
    source = opened(tmp_path, command=program, ready=r"Connected to .*\r?\n")
    assert reads(source, b"Boot") == b"U-Boot"
    source.close()


def test_a_program_that_does_not_connect_is_told_in_its_words(tmp_path: Path) -> None:
    with pytest.raises(ConsoleServerError, match=r"not connected: sh ended with exit code 3; .*'no such console'"):
        opened(tmp_path, command=("sh", "-c", "echo no such console; exit 3"), ready="Connected")


def test_a_program_ends_its_session_and_what_comes_after_is_run(tmp_path: Path) -> None:
    program = ("sh", "-c", f"trap 'echo term >>{tmp_path}/said; exit' TERM; echo up; while :; do sleep 0.05; done")
    source = opened(tmp_path, command=program, after=("sh", "-c", f"echo after >>{tmp_path}/said"))
    assert b"up" in reads(source, b"up")
    source.close()
    assert (tmp_path / "said").read_text().split() == ["term", "after"]


def reads(source: BoardSource, wanted: bytes) -> bytes:
    """What a console says until `wanted` came."""
    heard, end = b"", time.monotonic() + 30
    while wanted not in heard and time.monotonic() < end:
        heard += source.read(0.2) or b""
    return heard


SOL = ("ipmitool", "-I", "lanplus", "-H", "bmc", "sol")


@pytest.mark.parametrize(
    ("command", "ready", "after"),
    [
        ((*SOL, "activate"), IPMITOOL, (*SOL, "deactivate")),
        (("/opt/bin/ipmitool", "sol", "activate", "instance=2"), IPMITOOL, ("/opt/bin/ipmitool", "sol", "deactivate")),
        ((*SOL, "info"), "", None),
        (("console", "-M", "host", "b1"), CONSERVER, None),
        (("console", "-q", "b1"), "", None),
        (("cat",), "", None),
    ],
)
def test_known_programs_are_waited_for_and_closed(
    command: tuple[str, ...], ready: str, after: tuple[str, ...] | None
) -> None:
    made = completed(BoardConsole(command=command))
    assert (made.ready, made.after) == (ready, after)
    own = completed(BoardConsole(command=command, ready="mine", after=("true",)))  # what the YAML says stands
    assert (own.ready, own.after) == ("mine", ("true",))


@pytest.mark.servers
@pytest.mark.skipif(not (tools.find("ipmi_sim") and tools.find("ipmitool")), reason="no ipmi_sim or no ipmitool")
def test_serial_over_lan_opens_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPMI_PASSWORD", PASSWORD)
    with shell_on_pty() as device, ipmi_sim(tmp_path, f'sol "{device}" 115200 history=4000\n') as port:
        login = ("-H", "127.0.0.1", "-p", str(port), "-C", "3", "-U", USER, "-E")
        for _ in range(3):
            source = opened(tmp_path, command=("ipmitool", "-I", "lanplus", *login, "sol", "activate"))
            heard = b""
            while b"n42" not in heard:  # its first moments take no keys
                source.write(b"echo n$((40+2))\n")
                piece = source.read(0.2)
                assert piece is not None, source.why
                heard += piece
            source.close()
