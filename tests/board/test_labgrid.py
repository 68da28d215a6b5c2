"""A board of a labgrid lab: a real coordinator, exporter and client on loopback, in an environment of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from harness.board.consoles import open_console
from harness.board.faults import BusyError, LabError
from harness.board.labgrid import release_argv, resolved
from harness.board.power import Switch
from harness.commands.lab.machine_byhand import ByHandOptions
from harness.commands.lab.machine_byhand import act as at_hand
from harness.errors import HostError, UserError
from harness.spec import load_machine
from harness.spec.models.machine import MachineSpec
from harness.spec.rules.board import board as judged
from harness.spec.text.complaints import spell
from harness.system.console import Console
from harness.system.consoleshell import ConsoleShell
from harness.system.listener import Listener
from harness.system.transcript import Transcript

from .lab_servers import await_port, free_port, running, ser2net, shell_on_pty
from .power_servers import Web, web

pytestmark = pytest.mark.servers


def machine(tmp_path: Path, **lab: object) -> MachineSpec:
    path = tmp_path / "rpi.yml"
    board = {"console": {"labgrid": True}, "power": {"labgrid": True, "pause": 0.1}, "lab": {"labgrid": lab}}
    path.write_text(yaml.safe_dump({"arch": "arm64", "console": "ttyS0", "board": board}))
    return load_machine(path)


@pytest.mark.parametrize(
    ("lab", "said"),
    [
        ({}, "lab.labgrid: says nothing of what it is"),
        ({"place": "a", "tags": {"b": "c"}}, "lab.labgrid.tags: there is 'place' already"),
        ({"place": "-x"}, "lab.labgrid.place: '-x' is not a valid place"),
        ({"tags": {"b": "--c"}}, "lab.labgrid.tags.b: is not a tag"),
    ],
)
def test_what_a_place_may_not_be(lab: dict[str, object], said: str) -> None:
    found = judged({"console": {"labgrid": True}, "lab": {"labgrid": lab}}, ())
    assert [f"{spell(one.path)}: {one.what}" for one in found] == [said]
    (none,) = judged({"console": {"labgrid": True}}, ())
    assert none.what == "there is no place to take it from"


def test_without_its_client_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        pytest.raises(HostError, match="labgrid-client is not installed") as error,
        resolved(machine(tmp_path, place="rpi")),
    ):
        pass
    assert "[labgrid]" in error.value.hint


# what labgrid-client says to who acquires a place: the file `held` names who has it
STAND_IN = """#!/bin/sh
case "$*" in
  *acquire) [ ! -s held ] || { echo "place rpi is already acquired by $(cat held). To share it: allow" >&2; exit 1; } ;;
  *env) echo "targets: {main: {resources: [{NetworkSerialPort: {host: h, port: 1, speed: 9600}}]}}" ;;
esac
"""


def test_a_place_that_is_taken_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "labgrid-client").write_text(STAND_IN)
    (tmp_path / "labgrid-client").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr("harness.board.labgrid.POLL_S", 0.01)
    monkeypatch.chdir(tmp_path)
    held = tmp_path / "held"
    held.write_text("desk/ana")
    told: list[str] = []

    def say(words: str) -> None:
        told.append(words)
        held.write_text("desk/bo" if len(told) == 1 else "")

    with resolved(machine(tmp_path, place="rpi"), 30, say) as spec:
        assert spec.board and spec.board.console.serial == "rfc2217://h:1"
    assert [words.partition("most: ")[2] for words in told] == [
        "desk/ana has its labgrid place rpi",
        "desk/bo has its labgrid place rpi",
    ]
    held.write_text("desk/ana")
    with (
        pytest.raises(BusyError, match="not free within 0 s: desk/ana has"),
        resolved(machine(tmp_path, place="rpi"), 0),
    ):
        pass
    (tmp_path / "labgrid-client").write_text("#!/bin/sh\necho no such place >&2; exit 1\n")
    with pytest.raises(LabError, match="refuses to acquire"), resolved(machine(tmp_path, place="rpi"), 30):
        pass


def test_a_place_that_this_user_has_by_hand_is_not_taken_from_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = 'echo "You have already acquired place rpi" >&2; exit 1'
    (tmp_path / "labgrid-client").write_text(f'#!/bin/sh\necho "$*" >>asked\ncase "$*" in *acquire) {refused};; esac\n')
    (tmp_path / "labgrid-client").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.chdir(tmp_path)
    mine = machine(tmp_path, place="rpi")
    with pytest.raises(BusyError, match="this user, by hand, has its labgrid place rpi"), resolved(mine, 0):
        pass
    assert "release" not in (tmp_path / "asked").read_text()
    (tmp_path / "labgrid-client").write_text(f"{(tmp_path / 'labgrid-client').read_text()}{STAND_IN[9:]}")
    with resolved(mine, 0, left=True):  # what a process of ours left behind is ours
        pass
    assert "release" in (tmp_path / "asked").read_text()


def test_a_place_taken_by_hand_stays_acquired_until_it_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_LAB", str(tmp_path / "lab"))
    mine = "[ ! -e mine ] || { echo 'You have already acquired place rpi' >&2; exit 1; };"
    stand_in = STAND_IN.replace("case", 'echo "$*" >>asked\ncase', 1).replace("*acquire)", f"*acquire) {mine}", 1)
    (tmp_path / "labgrid-client").write_text(stand_in)
    (tmp_path / "labgrid-client").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.chdir(tmp_path)
    path = str(machine(tmp_path, place="rpi").path)
    at_hand("take", path, ByHandOptions())
    at_hand("take", path, ByHandOptions(why="longer"))
    with resolved(load_machine(path), 0):
        assert release_argv(load_machine(path)) == ()
    asked = (tmp_path / "asked").read_text()
    assert (asked.count("acquire"), asked.count("release")) == (1, 0)
    at_hand("give", path, ByHandOptions())
    assert (tmp_path / "asked").read_text().count("release") == 1
    assert release_argv(load_machine(path))[-1] == "release"
    # its time is over: the place is still acquired, until this user uses it or gives it back
    for end in ("use", "give"):
        at_hand("take", path, ByHandOptions())
        for file in (tmp_path / "lab").glob("*.taken.json"):
            file.write_text(json.dumps({**json.loads(file.read_text()), "until": "2020-01-01T00:00:00+00:00"}))
        (tmp_path / "mine").touch()
        before = (tmp_path / "asked").read_text().count("release")
        if end == "use":
            with resolved(load_machine(path), 0):
                pass
        else:
            at_hand("give", path, ByHandOptions())
        assert (tmp_path / "asked").read_text().count("release") == before + 1
        assert not list((tmp_path / "lab").glob("*.taken.json"))
        (tmp_path / "mine").unlink()
    with pytest.raises(UserError, match="any place of the lab that has its tags"):
        at_hand("take", str(machine(tmp_path, tags={"board": "rpi"}).path), ByHandOptions())


@dataclass
class Lab:
    """A running lab with the place ``rpi``, whose outlet is `web`."""

    client: list[str]
    coordinator: str
    outlet: Web

    def ask(self, *words: str, user: str = "") -> subprocess.CompletedProcess[str]:
        env = {**os.environ, **({"LG_USERNAME": user} if user else {})}
        return subprocess.run([*self.client, *words], capture_output=True, text=True, check=False, env=env)


@contextmanager
def lab(tmp_path: Path, programs: Path) -> Iterator[Lab]:
    with ExitStack() as stack:
        device = stack.enter_context(shell_on_pty())
        ports, outlet = stack.enter_context(ser2net(tmp_path, device)), stack.enter_context(web())
        port = free_port()
        coordinator = f"127.0.0.1:{port}"
        # it keeps its places in the folder it is started in
        there = ["env", "-C", str(tmp_path), str(programs / "labgrid-coordinator"), "-l", coordinator]
        started = stack.enter_context(running(there))
        await_port(port, started)
        serial = {"host": "127.0.0.1", "port": ports["rfc2217"], "speed": 115200, "protocol": "rfc2217"}
        power = {"model": "simplerest", "host": f"{outlet.url}/labgrid/{{index}}/{{value}}", "index": "3"}
        resources = tmp_path / "exporter.yaml"
        resources.write_text(json.dumps({"rpi": {"NetworkSerialPort": serial, "NetworkPowerPort": power}}))
        argv = [str(programs / "labgrid-exporter"), "-c", coordinator, "-n", "exp", "--hostname", "127.0.0.1"]
        stack.enter_context(running([*argv, str(resources)]))
        made = Lab([str(programs / "labgrid-client"), "-x", coordinator, "-p", "rpi"], coordinator, outlet)
        end = time.monotonic() + 60
        while "exp/rpi" not in made.ask("resources").stdout:
            assert time.monotonic() < end
            time.sleep(0.2)
        for words in (("create",), ("add-match", "exp/rpi/*"), ("set-tags", "board=rpi4")):
            assert made.ask(*words).returncode == 0
        yield made


@pytest.mark.long
def test_a_place_is_acquired_used_and_released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    subprocess.run([str(venv / "bin/pip"), "install", "-q", "labgrid>=24.0"], check=True, capture_output=True)
    monkeypatch.setenv("PATH", f"{venv}/bin:{os.environ['PATH']}")
    (tmp_path / "servers").mkdir()
    with lab(tmp_path / "servers", venv / "bin") as there:
        for how in ({"place": "rpi"}, {"tags": {"board": "rpi4"}}):
            with resolved(machine(tmp_path, coordinator=there.coordinator, **how), wait_s=30) as spec:
                assert spec.board is not None
                assert "already acquired" in there.ask("acquire", user="another").stderr
                switch = Switch(spec.board.power, tmp_path, spec.name)
                switch.on()
                assert there.outlet.on and switch.status() is True
                answers(spec, tmp_path)
                switch.off()
                assert not there.outlet.on
            assert there.ask("acquire", user="another").returncode == 0
            assert there.ask("release", user="another").returncode == 0
        assert there.ask("acquire").returncode == 0  # a process of ours that died
        with resolved(machine(tmp_path, coordinator=there.coordinator, place="rpi"), left=True):
            pass
        monkeypatch.setenv("HARNESS_LAB", str(tmp_path / "lab"))
        by_hand = str(machine(tmp_path, coordinator=there.coordinator, place="rpi").path)
        at_hand("take", by_hand, ByHandOptions())
        with resolved(load_machine(by_hand), 0):
            pass
        assert "already acquired" in there.ask("acquire", user="another").stderr
        at_hand("give", by_hand, ByHandOptions())
        there.ask("acquire", user="another")
        taken = machine(tmp_path, coordinator=there.coordinator, place="rpi")
        with pytest.raises(BusyError, match=r"rpi is not free within 0 s: .*/another has"), resolved(taken, 0):
            pass
        told: list[str] = []

        def say(words: str) -> None:
            told.append(words)
            assert there.ask("release", user="another").returncode == 0

        with resolved(taken, 30, say):
            assert "already acquired" in there.ask("acquire", user="another").stderr
        assert len(told) == 1 and "/another has its labgrid place rpi" in told[0]


def answers(spec: MachineSpec, tmp_path: Path) -> None:
    """A shell answers over the place's serial line."""
    assert spec.board is not None
    began = time.monotonic()
    source = open_console(spec.board.console, tmp_path, tmp_path)
    console = Console(source, Listener(Transcript(tmp_path / "t", {})), lambda: time.monotonic() - began)
    try:
        on = ConsoleShell(console, lambda: None)
        assert on.run("echo at the place").text == "at the place\n"
        on.close()
    finally:
        console.close()
