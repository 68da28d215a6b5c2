"""A lock is on the thing: a console and an outlet have one each, however many files describe them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.board import pool, things
from harness.board.faults import BusyError
from harness.spec import load_machine
from harness.spec.models.machine import MachineSpec

LINE = {"serial": "rfc2217://127.0.0.1:4001"}
SWITCH = {"command": {"on": ["uhubctl", "on"], "off": ["uhubctl", "off"]}}
SNMP = {"snmp": {"host": "127.0.0.1", "oid": ".1.2.3.4"}}
OUTLET = {"http": {"on": "http://localhost/outlet/3?on", "off": "http://localhost/outlet/3?off"}}
ALWAYS = {"command": {"on": ["true"], "off": ["true"]}}  # no switch at all
PDU = {"pdudaemon": {"url": "http://localhost:16421", "pdu": "rack", "outlet": 1}}


@pytest.fixture(autouse=True)
def _lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_LAB", str(tmp_path / "lab"))


def board(folder: Path, name: str, console: Any = None, power: Any = None, **more: Any) -> MachineSpec:
    folder.mkdir(exist_ok=True)
    described = {"console": console or {"serial": f"/dev/tty-{name}"}, **({"power": power} if power else {}), **more}
    path = folder / f"{name}.yml"
    path.write_text(yaml.safe_dump({"arch": "arm64", "console": "ttyS0", "board": described}))
    return load_machine(path)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"console": LINE}, {"console": LINE}),
        ({"console": LINE}, {"console": {"serial": "socket://localhost:4001"}}),
        ({"console": LINE}, {"console": {**LINE, "baud": 9600}}),
        ({"console": {"serial": "DIR/by-id"}}, {"console": {"serial": "DIR/ttyUSB0"}}),
        ({"console": {"command": ["./con", "b1"]}}, {"console": {"command": ["DIR/con", "b1"], "ready": "go"}}),
        ({"console": {"ssh": {"host": "localhost", "command": "con b1"}}},
         {"console": {"ssh": {"host": "127.0.0.1", "command": "con b1", "user": "lab"}}}),
        ({"power": SWITCH}, {"power": {**SWITCH, "pause": 9.0}}),
        ({"power": SNMP}, {"power": {"snmp": {"host": "localhost", "oid": "1.2.3.4", "off": 0}}}),
        ({"power": OUTLET}, {"power": {"http": {**OUTLET["http"], "on": "http://127.0.0.1:80/outlet/3?on"}}}),
        ({"power": PDU}, {"power": {"pdudaemon": {**PDU["pdudaemon"], "url": "http://127.0.0.1:16421/"}}}),
        ({"power": {"ipmi": {"host": "127.0.0.1"}}}, {"power": {"ipmi": {"host": "localhost", "interface": "lan"}}}),
        ({"power": {"redfish": {"url": "https://localhost"}}},
         {"power": {"redfish": {"url": "https://localhost:443/"}}}),
    ],
)  # fmt: skip
def test_one_thing_described_twice_is_had_once(tmp_path: Path, one: dict[str, Any], other: dict[str, Any]) -> None:
    (tmp_path / "ttyUSB0").touch()
    (tmp_path / "by-id").symlink_to("ttyUSB0")

    def made(name: str, keys: dict[str, Any]) -> MachineSpec:
        return board(tmp_path, name, **yaml.safe_load(yaml.safe_dump(keys).replace("DIR", str(tmp_path))))

    first, second = made("first", one), made("second", other)
    with pool.held(first, what="a boot"):
        assert "a boot" in str(pool.owner(second))
        with pytest.raises(BusyError, match="second is not free"), pool.held(second, wait_s=0):
            pass
    with pool.held(second, wait_s=0):
        pass


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"console": LINE}, {"console": {"serial": "rfc2217://127.0.0.1:4002"}}),
        ({"power": SNMP}, {"power": {"snmp": {**SNMP["snmp"], "oid": "1.2.3.5"}}}),
        ({"power": SNMP}, {"power": {"snmp": {**SNMP["snmp"], "port": 1161}}}),
        ({"power": OUTLET}, {"power": {"http": {**OUTLET["http"], "on": "http://localhost/outlet/4?on"}}}),
        ({"power": {"http": {**OUTLET["http"], "method": "POST", "on_body": "3"}}},
         {"power": {"http": {**OUTLET["http"], "method": "POST", "on_body": "4"}}}),
        ({"power": PDU}, {"power": {"pdudaemon": {**PDU["pdudaemon"], "outlet": 2}}}),
        ({"power": ALWAYS}, {"power": ALWAYS}),
    ],
)  # fmt: skip
def test_two_things_are_two(tmp_path: Path, one: dict[str, Any], other: dict[str, Any]) -> None:
    with pool.held(board(tmp_path, "first", **one)), pool.held(board(tmp_path, "second", **other), wait_s=0):
        pass


def test_a_program_beside_the_yaml_is_of_that_folder(tmp_path: Path) -> None:
    console = {"command": ["./con", "{here}/b1"]}
    one, other = board(tmp_path / "a", "desk", console), board(tmp_path / "b", "desk", console)
    assert not set(things.names(one)) & set(things.names(other))
    with pool.held(one), pool.held(other, wait_s=0):
        assert pool.claimed(one).descriptors and pool.claimed(one).descriptors != pool.claimed(other).descriptors


def test_what_is_had_in_part_is_not_had(tmp_path: Path) -> None:
    both = board(tmp_path, "both", LINE, SNMP)
    with pool.held(board(tmp_path, "outlet", power=SNMP)):
        with pytest.raises(BusyError), pool.held(both, wait_s=0):
            pass
        with pool.held(board(tmp_path, "line", LINE), wait_s=0):  # nothing was kept
            pass


OWNER = """
import sys, time
from harness.board import pool
from harness.spec import load_machine
with pool.held(load_machine(sys.argv[1])):
    print("mine", flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_what_a_dead_owner_left_on_is_known_by_each_of_its_things(tmp_path: Path) -> None:
    dead = board(tmp_path, "dead", LINE, SNMP)
    with subprocess.Popen([sys.executable, "-c", OWNER, str(dead.path)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout and owner.stdout.readline() == "mine\n"
        owner.kill()
    line, outlet = board(tmp_path, "line", LINE), board(tmp_path, "outlet", power=SNMP)
    assert pool.left_by(line) and pool.left_by(outlet)
    with pool.held(line):
        assert pool.was_left(line)
    assert not pool.left_by(line)
    with pool.held(outlet):  # what had its console has not switched it
        assert pool.was_left(outlet)


def test_what_may_still_be_on_is_said_to_the_next(tmp_path: Path) -> None:
    one = board(tmp_path, "one")
    with pool.held(one):
        pool.claimed(one).on = True
    assert pool.left_by(one)
    with pool.held(one):
        assert pool.was_left(one)
    assert not pool.left_by(one)
