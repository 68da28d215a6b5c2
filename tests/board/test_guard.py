"""A board is off, and free, when its harness has ended: also by a kill, a hang-up, a lost terminal."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from harness.board import pool
from harness.spec import load_machine
from harness.spec.models.machine import MachineSpec

from .power_servers import PASSWORD, script

pytestmark = pytest.mark.slow  # each starts a harness, which loads a machine and ends

OWNER = """
import signal, sys, time
from pathlib import Path
from harness.board import pool
from harness.board.guard import guarded
from harness.board.power import Switch, powered
from harness.spec import load_machine
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored, also by what is started
machine = load_machine(sys.argv[1])
with pool.reserved(machine), guarded(machine, pool.claimed(machine), Path("log"), sys.argv[3:]):
    with powered(Switch(machine.board.power, machine.path.parent)) as switch:
        switch.on()
        print("on", flush=True)
        if sys.argv[2] == "stay":
            time.sleep(600)
"""


@pytest.fixture(autouse=True)
def _lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_LAB", str(tmp_path / "lab"))
    monkeypatch.chdir(tmp_path)


def board(tmp_path: Path, after: str = "off", **more: object) -> MachineSpec:
    script(tmp_path / "put", 'echo "$1" >state; echo "$1" >>asked\n')
    command = {"on": ["./put", "on"], "off": ["./put", "off"], "status": ["cat", "state"]}
    described = {"console": {"serial": "/dev/tty-one"}, "power": {"command": command}, "after": after, **more}
    (tmp_path / "one.yml").write_text(yaml.safe_dump({"arch": "arm64", "console": "ttyS0", "board": described}))
    return load_machine(tmp_path / "one.yml")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_whatever_ends_the_harness_the_board_is_off_and_free(tmp_path: Path, how: signal.Signals) -> None:
    one = board(tmp_path)
    with subprocess.Popen([sys.executable, "-c", OWNER, str(one.path), "stay"], stdout=subprocess.PIPE) as owner:
        assert owner.stdout and owner.stdout.readline() == b"on\n"
        owner.send_signal(how)
        owner.wait()
    with pool.held(one, wait_s=60):  # the lock is given back once it is off
        assert (tmp_path / "state").read_text() == "off\n"
        assert not pool.was_left(one)


def test_a_good_end_switches_once(tmp_path: Path) -> None:
    one = board(tmp_path)
    subprocess.run([sys.executable, "-c", OWNER, str(one.path), "end"], check=True)
    with pool.held(one, wait_s=0):
        assert (tmp_path / "asked").read_text().split() == ["on", "off"]


def test_a_board_that_is_to_stay_on_has_no_guard(tmp_path: Path) -> None:
    one = board(tmp_path, "on")
    with subprocess.Popen([sys.executable, "-c", OWNER, str(one.path), "stay"], stdout=subprocess.PIPE) as owner:
        assert owner.stdout and owner.stdout.readline() == b"on\n"
        owner.kill()
    with pool.held(one, wait_s=60):
        assert (tmp_path / "asked").read_text().split() == ["on"] and pool.was_left(one)


def test_a_guard_that_fails_leaves_it_to_the_next_owner(tmp_path: Path) -> None:
    one = board(tmp_path)
    with subprocess.Popen([sys.executable, "-c", OWNER, str(one.path), "stay"], stdout=subprocess.PIPE) as owner:
        assert owner.stdout and owner.stdout.readline() == b"on\n"
        script(tmp_path / "put", "echo no relay >&2; exit 1\n")
        owner.kill()
    with pool.held(one, wait_s=60):
        assert pool.was_left(one)
    assert "cannot be switched off" in (tmp_path / "log").read_text()


def test_a_guard_gives_a_labs_place_back_once_the_board_is_off(tmp_path: Path) -> None:
    one = board(tmp_path)
    script(tmp_path / "release", f"cat {tmp_path}/state >{tmp_path}/released\n")
    argv = [sys.executable, "-c", OWNER, str(one.path), "stay", str(tmp_path / "release")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as owner:
        assert owner.stdout and owner.stdout.readline() == b"on\n"
        owner.kill()
    with pool.held(one, wait_s=60):
        assert (tmp_path / "released").read_text() == "off\n" and not pool.was_left(one)


def test_a_guard_writes_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PDU_TOKEN", PASSWORD)
    one = board(tmp_path, secrets_env=["PDU_TOKEN"])
    with subprocess.Popen([sys.executable, "-c", OWNER, str(one.path), "stay"], stdout=subprocess.PIPE) as owner:
        assert owner.stdout and owner.stdout.readline() == b"on\n"
        script(tmp_path / "put", 'echo "refused: $PDU_TOKEN" >&2; exit 1\n')
        owner.kill()
    with pool.held(one, wait_s=60):
        log = (tmp_path / "log").read_text()
    assert "refused: [secret]" in log and PASSWORD not in log
