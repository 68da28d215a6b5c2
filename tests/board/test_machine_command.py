"""`harness machine`: the lab as it stands, a board brought back, and a new one looked at."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from harness.board import pool
from harness.build.settings import Settings
from harness.commands.lab import machine as command
from harness.commands.lab.machine_byhand import ByHandOptions
from harness.commands.lab.machine_check import Check, Step, check, judged
from harness.errors import MachineError, UserError
from harness.image import Image
from harness.launch import boot
from harness.spec import load_machine
from harness.spec.models.machine import MachineSpec
from harness.system import BootOptions

from .standins import DIALOGUE, Standin, standin


@pytest.fixture(autouse=True)
def _lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_LAB", str(tmp_path / "lab"))


def board(tmp_path: Path, name: str = "desk-1", **keys: object) -> MachineSpec:
    (tmp_path / "rack").mkdir(exist_ok=True)
    path = tmp_path / "rack" / f"{name}.yml"
    power = {"command": {"on": ["true"], "off": ["true"]}, "pause": 0.01}
    made = {"console": {"command": ["echo", "U-Boot 2026.01"]}, "power": power, **keys}
    path.write_text(yaml.safe_dump({"arch": "arm64", "console": "ttyS0", "tags": ["rack"], "board": made}))
    return load_machine(path)


def test_the_lab_is_shown_and_a_board_is_brought_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, _ = board(tmp_path), board(tmp_path, "desk-2")
    for _ in range(2):
        with pytest.raises(MachineError), pool.reserved(one):
            raise MachineError("its line is dead")
    with pool.reserved(load_machine(tmp_path / "rack" / "desk-2.yml"), what="a cell"):
        command.act("list", [str(tmp_path / "rack")], [], Settings(), ByHandOptions(), as_json=True)
    aside, taken = json.loads(capsys.readouterr().out)
    assert (aside["name"], aside["state"], aside["tags"]) == ("desk-1", "aside", ["rack"])
    assert "its line is dead" in aside["detail"]
    assert (taken["name"], taken["state"]) == ("desk-2", "taken") and "a cell" in taken["detail"]
    assert command.act("free", ["desk-1"], [], Settings(), ByHandOptions(), as_json=False) == 0
    with pytest.raises(UserError, match="desk-1 is not set aside"):
        command.act("free", ["desk-1"], [], Settings(), ByHandOptions(), as_json=False)
    capsys.readouterr()
    command.act("list", [str(one.path)], [], Settings(), ByHandOptions(), as_json=False)
    assert capsys.readouterr().out == "desk-1  board  free   rack\n"


OWNER = """
import sys, time
from harness.board import pool
from harness.board.power import Switch
from harness.spec import load_machine
machine = load_machine(sys.argv[1])
with pool.held(machine):
    Switch(machine.board.power, machine.path.parent).on()
    print("on", flush=True)
    time.sleep(600)
"""


def left_on(there: Standin, machine: MachineSpec) -> None:
    """Somebody has the board on, and is killed."""
    with subprocess.Popen([sys.executable, "-c", OWNER, str(machine.path)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout and owner.stdout.readline() == "on\n"
        owner.kill()
    assert there.is_on


@pytest.mark.slow
def test_a_board_that_was_left_on_is_switched_off(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with standin(tmp_path / "board", firmware="loader") as there:
        machine = there.machine()
        left_on(there, machine)
        command.act("list", [str(machine.path)], [], Settings(), ByHandOptions(), as_json=True)
        (row,) = json.loads(capsys.readouterr().out)
        assert row["state"] == "free" and row["detail"].startswith("perhaps on: it was left by")
        assert command.act("free", [str(machine.path)], [], Settings(), ByHandOptions(), as_json=False) == 0
        assert capsys.readouterr().err == f"{machine.path} is off and back\n"
        assert not there.is_on
        with pytest.raises(UserError, match="is not set aside"):
            command.act("free", [str(machine.path)], [], Settings(), ByHandOptions(), as_json=False)


def test_an_image_is_not_brought_to_a_board_that_was_left_on(tmp_path: Path, minimal: Image) -> None:
    with standin(tmp_path / "board", firmware="loader") as there:
        state = ["sh", "-c", f"{shlex.join(there.switch('status'))} >{tmp_path}/state"]
        machine = there.machine(deploy={"command": state})
        left_on(there, machine)
        with boot(minimal, machine, BootOptions(mode="wall", out=tmp_path / "boot")):
            assert there.is_on
    assert (tmp_path / "state").read_text() == "off\n"


def test_what_cannot_be_done(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="check takes one machine, and none was given"):
        command.act("check", [], [], Settings(), ByHandOptions(), as_json=False)
    with pytest.raises(UserError, match="is not a board"):
        command.act("check", ["qemu-arm64"], [], Settings(), ByHandOptions(), as_json=False)


def test_what_was_heard_is_judged(tmp_path: Path) -> None:
    spec = board(tmp_path, console={"serial": "/dev/ttyUSB0", "baud": 9600}).board
    assert spec is not None
    assert (
        judged(b"\x1b[1mU-Boot 2026.01\r\nDRAM: 2 GiB\r\n", spec, 1).seen
        == "33 bytes of text: U-Boot 2026.01 | DRAM: 2 GiB"
    )
    noise = judged(bytes(range(128, 256)), spec, 1)
    assert noise.ok is False and "another `baud` than 9600" in noise.change
    assert judged(b"", spec, 5).seen == "nothing was heard for 5 s after power-on"


def steps(machine: MachineSpec, tmp_path: Path, images: list[str], listen_s: float = 1.0) -> dict[str, Step]:
    assert machine.board is not None
    looked = Check(machine, machine.board, tmp_path / "out", listen_s)
    (tmp_path / "out").mkdir()
    return {step.name: step for step in looked.steps(images, Settings())}


def test_a_board_that_is_well(tmp_path: Path, minimal: Image) -> None:
    with standin(tmp_path / "board", firmware="loader") as there:
        found = steps(there.machine(loader=DIALOGUE), tmp_path, [str(minimal.folder)], 10.0)
        assert not there.is_on
    assert [name for name, step in found.items() if not step.ok] == []
    assert "it says it is on" in found["power"].seen and "stop autoboot" in found["speed"].seen
    assert "it answers: Linux" in found["shell"].seen


def test_a_console_that_does_not_open(tmp_path: Path, minimal: Image) -> None:
    (tmp_path / "line").touch()  # no terminal
    found = steps(board(tmp_path, console={"serial": str(tmp_path / "line")}), tmp_path, [str(minimal.folder)])
    assert "cannot be opened" in found["console"].seen and "plugged in" in found["console"].change
    assert [step.ok for step in found.values()] == [False, None, None, None, None, None]


def test_a_console_that_does_not_appear(tmp_path: Path, minimal: Image) -> None:
    none = {"serial": "/dev/no-such-line", "timeout": 0.1}
    found = steps(board(tmp_path, console=none), tmp_path, [str(minimal.folder)])
    assert found["console"].seen == "it is not there before power-on"  # it may be the board's own
    assert "no-such-line did not appear within 0.1 s of power-on" in found["speed"].seen
    assert [step.ok for step in found.values()] == [None, True, False, None, None, None]


def test_a_switch_that_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    machine = board(tmp_path, power={"command": {"on": ["false"], "off": ["true"]}, "pause": 0.01})
    assert check(str(machine.path), [], Settings(), as_json=False) == 4
    said = capsys.readouterr().out
    assert "console  ok" in said and "power    WRONG" in said and "cannot be switched on" in said
    assert "to change: try it by hand: false" in said and "boot     not tried" in said
