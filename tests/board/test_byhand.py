"""A board in a person's hands: switched, spoken with, taken and given back; runs wait for it meanwhile."""

from __future__ import annotations

import getpass
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pexpect
import pytest
import yaml

from harness.board import byhand, locks, pool, things
from harness.board.faults import BusyError
from harness.build.settings import Settings
from harness.commands.lab import machine as command
from harness.commands.lab.machine_byhand import ByHandOptions
from harness.errors import UserError
from harness.spec import load_machine
from harness.spec.models.machine import MachineSpec

HARNESS = [sys.executable, "-c", "from harness.cli import main; main()"]
ECHO = ["sh", "-c", "echo U-Boot 2026.01; exec cat"]


@pytest.fixture(autouse=True)
def _lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_LAB", str(tmp_path / "lab"))


def board(tmp_path: Path, name: str = "desk-1", **keys: object) -> MachineSpec:
    """A board whose switch writes down how it stands."""
    state = tmp_path / f"{name}.power"
    power = {"command": {word: ["sh", "-c", f"echo {word} >>{state}"] for word in ("on", "off")}, "pause": 0.01}
    path = tmp_path / f"{name}.yml"
    made = {"console": {"command": ECHO}, "power": power, **keys}
    path.write_text(yaml.safe_dump({"arch": "arm64", "console": "ttyS0", "tags": ["rack"], "board": made}))
    return load_machine(path)


def act(action: str, machine: MachineSpec, asked: ByHandOptions | None = None) -> int:
    return command.act(action, [str(machine.path)], [], Settings(), asked or ByHandOptions(), as_json=False)


def others(machine: MachineSpec, until: str = "", why: str = "") -> None:
    """Let somebody else have taken it."""
    byhand.take(things.names(machine), None, why)
    for name in things.names(machine):
        file = locks.lab() / f"{name}.taken.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "user": "ann", "until": until}))


def test_it_is_switched_as_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = board(tmp_path)
    for action in ("on", "cycle", "off"):
        assert act(action, one) == 0
    assert (tmp_path / "desk-1.power").read_text().split() == ["on", "off", "on", "off"]
    assert "desk-1 was switched on: its switch cannot be asked" in capsys.readouterr().err


def test_what_is_taken_is_waited_for_by_runs_and_used_by_who_took_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = board(tmp_path)
    act("take", one, ByHandOptions(until="2h", why="a new\nkernel"))
    with pytest.raises(BusyError) as error, pool.reserved(one, wait_s=0):
        pass
    assert getpass.getuser() in error.value.details and "by hand" in error.value.details
    assert error.value.details.endswith(": a new kernel")
    with pool.held(one, wait_s=0):  # as `harness boot` has it
        pass
    act("on", one)
    capsys.readouterr()
    command.act("list", [str(one.path)], [], Settings(), ByHandOptions(), as_json=True)
    (row,) = json.loads(capsys.readouterr().out)
    assert row["state"] == "taken" and "by hand" in row["detail"]
    act("give", one)
    with pool.reserved(one, wait_s=0):
        pass
    with pytest.raises(UserError, match="desk-1 is taken by nobody"):
        act("give", one)


def test_of_a_pool_another_is_used_meanwhile(tmp_path: Path) -> None:
    one, two = board(tmp_path, pool=["rack"]), board(tmp_path, "desk-2", pool=["rack"], console={"command": ["cat"]})
    act("take", one)
    with pool.reserved(one, wait_s=0) as given:
        assert given.name == two.name


@pytest.mark.slow
def test_what_somebody_else_has_taken_is_theirs(tmp_path: Path) -> None:
    one = board(tmp_path)
    others(one, why="mine")
    for action in ("on", "off", "console"):
        with pytest.raises((BusyError, UserError)):
            act(action, one)
    assert not (tmp_path / "desk-1.power").exists()
    with pytest.raises(BusyError) as error, pool.held(one, wait_s=0):
        pass
    assert "ann, by hand since" in error.value.details
    with pytest.raises(UserError, match="desk-1 is taken by ann"):
        act("give", one)
    assert act("give", one, ByHandOptions(force=True)) == 0
    with pool.reserved(one, wait_s=0):
        pass


def test_its_time_ends_it(tmp_path: Path) -> None:
    one = board(tmp_path)
    now = datetime.now(UTC)
    others(one, (now + timedelta(hours=1)).isoformat())
    with pytest.raises(BusyError), pool.reserved(one, wait_s=0):
        pass
    others(one, (now - timedelta(seconds=1)).isoformat())
    with pool.reserved(one, wait_s=0):
        pass


@pytest.mark.parametrize("text", ["yesterday", "2020-01-01", "8x"])
def test_an_end_that_is_none_is_refused_before_anything(text: str, tmp_path: Path) -> None:
    one = board(tmp_path)
    with pytest.raises(UserError, match="time to give it back"):
        act("take", one, ByHandOptions(until=text))
    assert byhand.taken(things.names(one)) is None


def test_what_lies_in_the_labs_folder_is_not_believed(tmp_path: Path) -> None:
    one = board(tmp_path)
    for content in ("", "[]", "{}", '{"user": 1, "since": 2}', '{"user": "a", "since": "b", "more": "c"}'):
        for name in things.names(one):
            (locks.lab() / f"{name}.taken.json").write_text(content)
        with pool.reserved(one, wait_s=0):
            pass


def test_qemu_is_not_taken() -> None:
    with pytest.raises(UserError, match="is QEMU: there is no board"):
        command.act("take", ["qemu-arm64"], [], Settings(), ByHandOptions(), as_json=False)


@pytest.mark.slow
def test_a_person_speaks_with_it_and_leaves_it(tmp_path: Path) -> None:
    one = board(tmp_path)
    person = pexpect.spawn(HARNESS[0], [*HARNESS[1:], "machine", "console", str(one.path)], timeout=30,
                           env={**os.environ, "TERM": "dumb"})  # fmt: skip
    person.expect_exact("the console is yours")
    person.expect_exact("U-Boot 2026.01")
    person.send("printenv\r")
    person.expect_exact("printenv")
    with pytest.raises(BusyError), pool.held(one, wait_s=0):
        pass
    person.send("\x1d")
    person.expect_exact("desk-1 is as you left it")
    person.expect(pexpect.EOF)
    person.close()
    assert person.exitstatus == 0 and not (tmp_path / "desk-1.power").exists()
    with pool.held(one, wait_s=0):
        pass


@pytest.mark.slow
def test_a_console_that_ends_is_said_to(tmp_path: Path) -> None:
    one = board(tmp_path, console={"command": ["sh", "-c", "echo the adapter fell off; exit 3"]})
    person = pexpect.spawn(HARNESS[0], [*HARNESS[1:], "machine", "console", str(one.path)], timeout=30)
    person.expect_exact("the console of desk-1 ended")
    person.expect(pexpect.EOF)
    person.close()
    assert person.exitstatus == 4
