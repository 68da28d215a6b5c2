"""Boards shared by processes: one at a time, free when their owner is dead, set aside when they fail."""

from __future__ import annotations

import getpass
import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import ANY

import pytest
import yaml

from harness.board import pool
from harness.board.consoles import open_console
from harness.board.faults import (
    BusyError,
    ConsoleServerError,
    DeliveryError,
    LabError,
    OtherImageError,
    SwitchError,
)
from harness.board.power import Switch
from harness.errors import ImageError, MachineError
from harness.spec import load_machine
from harness.spec.models.machine import MachineSpec

from .lab_servers import free_port


@pytest.fixture(autouse=True)
def _lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_LAB", str(tmp_path / "lab"))


def board(tmp_path: Path, name: str, tags: tuple[str, ...] = ("rpi4",), **more: object) -> MachineSpec:
    path = tmp_path / f"{name}.yml"
    console = {"console": {"serial": f"/dev/tty-{name}"}, "pool": ["rpi4"], **more}
    path.write_text(yaml.safe_dump({"arch": "arm64", "console": "ttyS0", "tags": list(tags), "board": console}))
    return load_machine(path)


def test_which_boards_take_each_others_place(tmp_path: Path) -> None:
    one, _, other = board(tmp_path, "one"), board(tmp_path, "two", ("rpi4", "fast")), board(tmp_path, "other", ("x",))
    (tmp_path / "broken.yml").write_text("arch: [")
    assert [machine.name for machine in pool.equals(one)] == ["one", "two"]
    assert [machine.name for machine in pool.equals(other)] == ["other", "one", "two"]
    alone = board(tmp_path, "alone", pool=[])
    assert [machine.name for machine in pool.equals(alone)] == ["alone"]


def test_one_at_a_time(tmp_path: Path) -> None:
    one, two = board(tmp_path, "one"), board(tmp_path, "two")
    with pool.reserved(one, what="a cell") as first, pool.reserved(one) as second:
        assert {first.name, second.name} == {"one", "two"}
        assert "a cell" in str(pool.owner(first)) and str(os.getpid()) in str(pool.owner(first))
        with pytest.raises(MachineError, match="no board is free within 0 s") as error, pool.reserved(two, wait_s=0):
            pass
        assert str(os.getpid()) in error.value.details
        with pool.held(one), pool.held(two):  # ours already
            pass
    assert pool.owner(one) is None and pool.owner(two) is None


OWNER = """
import sys, time
from harness.board import pool
from harness.spec import load_machine
with pool.reserved(load_machine(sys.argv[1])):
    print("mine", flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_a_dead_owner_frees_it(tmp_path: Path) -> None:
    one = board(tmp_path, "one")
    with subprocess.Popen([sys.executable, "-c", OWNER, str(one.path)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout and owner.stdout.readline() == "mine\n"
        assert pool.owner(one) == pool.Owner(owner.pid, pool.owner(one).user, pool.owner(one).since)  # type: ignore[union-attr]
        with pytest.raises(MachineError, match="is free"), pool.reserved(one, wait_s=0):
            pass
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        assert pool.left_by(one) == pool.Owner(owner.pid, getpass.getuser(), ANY)
        with pool.reserved(one, wait_s=5):
            assert pool.was_left(one) and pool.left_by(one) is None
        with pool.reserved(one):
            assert not pool.was_left(one)
        assert pool.left_by(one) is None


def fail(machine: MachineSpec, kind: type[Exception] = MachineError) -> str:
    with pytest.raises(kind), pool.reserved(machine) as taken:
        raise kind("its line is dead")
    return taken.name


def test_a_board_that_fails_twice_is_set_aside_and_brought_back(tmp_path: Path) -> None:
    one = board(tmp_path, "one", pool=[])
    fail(one)
    assert not pool.is_aside(one)
    fail(one)
    with pytest.raises(MachineError, match="one is set aside") as error, pool.reserved(one):
        pass
    assert "its line is dead" in error.value.details and "harness machine free" in error.value.hint
    with pool.held(one):  # who looks what is wrong with it may have it
        pass
    assert pool.free(one) and not pool.free(one)
    with pool.reserved(one):
        pass


def test_an_images_fault_is_none_of_the_board_and_good_work_clears_it(tmp_path: Path) -> None:
    one = board(tmp_path, "one", pool=[])
    fail(one)
    fail(one, ImageError)
    fail(one)
    with pool.reserved(one):
        pass
    fail(one)
    assert not pool.is_aside(one)


@pytest.mark.parametrize("kind", [BusyError, ConsoleServerError, SwitchError, DeliveryError, OtherImageError])
def test_what_leads_to_a_board_is_not_held_against_it(tmp_path: Path, kind: type[LabError]) -> None:
    one = board(tmp_path, "one", pool=[])
    fail(one)
    fail(one, kind)
    fail(one, kind)
    assert not pool.is_aside(one) and pool.faults(one).count == 1
    fail(one)  # nor is it good work of the board
    assert pool.is_aside(one)


def test_a_console_server_that_is_down_is_not_the_board(tmp_path: Path) -> None:
    one = board(tmp_path, "one", pool=[], console={"serial": f"rfc2217://127.0.0.1:{free_port()}"})
    for _ in range(3):
        with pytest.raises(ConsoleServerError), pool.reserved(one) as taken:
            assert taken.board
            open_console(taken.board.console, tmp_path, tmp_path)
    assert not pool.is_aside(one)


def test_a_switch_that_cannot_be_reached_is_not_the_board(tmp_path: Path) -> None:
    one = board(tmp_path, "one", pool=[], power={"command": {"on": ["false"], "off": ["false"]}})
    for _ in range(3):
        with pytest.raises(SwitchError), pool.reserved(one) as taken:
            assert taken.board
            Switch(taken.board.power, tmp_path).on()
    assert not pool.is_aside(one)


@pytest.mark.slow
def test_who_has_a_board_is_said_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = board(tmp_path, "one", pool=[])
    with subprocess.Popen([sys.executable, "-c", OWNER, str(one.path)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout and owner.stdout.readline() == "mine\n"
        with pytest.raises(BusyError), pool.held(one, wait_s=0.3):
            pass
        owner.kill()
    said = capsys.readouterr().err
    assert "for 0.3 s at most" in said and f"process {owner.pid}" in said and said.count("waiting") == 1


def test_another_one_is_taken_once_it_has_failed(tmp_path: Path) -> None:
    one, _ = board(tmp_path, "one"), board(tmp_path, "two")
    assert fail(one) == "one"
    with pool.reserved(one, avoid={"one"}) as taken:
        assert taken.name == "two"
    assert fail(one) == "one"
    with pool.reserved(one) as taken:
        assert taken.name == "two"


def test_another_configuration_is_another_board(tmp_path: Path) -> None:
    one = board(tmp_path, "one", pool=[])
    fail(one)
    fail(one)
    assert not pool.is_aside(board(tmp_path, "one", console={"serial": "/dev/tty-repaired"}, pool=[]))
