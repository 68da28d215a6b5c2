"""Power switches against what they speak to: real programs where there are any, else the protocol."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import tools
from harness.board.power import WAYS, Switch, powered, way_called
from harness.board.power.snmp import config
from harness.errors import HostError, ImageError, MachineError, UserError
from harness.spec.models.power import BoardPower, PowerSnmp

from .power_servers import OID, PASSWORD, SECOND, USER, Web, ipmi_sim, script, snmpd, web


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_PASSWORD", PASSWORD)
    monkeypatch.setenv("LAB_SECOND", SECOND)
    monkeypatch.setenv("LAB_WRONG", "wrong-wrong")


@pytest.fixture
def server() -> Iterator[Web]:
    with web() as state:
        yield state


def switch(base: Path, confirm_s: float = 5.0, **power: object) -> Switch:
    return Switch(BoardPower.model_validate({"pause": 0.01, "confirm": confirm_s, **power}), base, "board")


def by_files(tmp_path: Path, **more: object) -> Switch:
    state = tmp_path / "state"
    state.write_text("off\n")
    put = script(tmp_path / "put", f'echo "$1" >>{tmp_path}/asked; echo "$1" >{state}\n')
    status = {"status": ("cat", str(state))}
    return switch(tmp_path, command={"on": (str(put), "on"), "off": ("./put", "off"), **status, **more})


def test_commands(tmp_path: Path) -> None:
    one = by_files(tmp_path)
    one.cycle()
    assert (tmp_path / "asked").read_text().split() == ["off", "on"] and one.status() is True
    one.off()
    assert one.status() is False


def test_a_command_that_does_both(tmp_path: Path) -> None:
    by_files(tmp_path, cycle=("./put", "cycled")).cycle()
    assert (tmp_path / "asked").read_text().split() == ["cycled"]


def test_commands_that_fail(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"board cannot be switched on: .*exit code 1") as error:
        switch(tmp_path, command={"on": ("sh", "-c", "echo no relay >&2; exit 1"), "off": ("true",)}).on()
    assert "no relay" in error.value.details
    with pytest.raises(HostError, match="no-such-program is not installed"):
        switch(tmp_path, command={"on": ("no-such-program",), "off": ("true",)}).on()
    with pytest.raises(MachineError, match="was switched on but still says it is off"):
        switch(tmp_path, 0.1, command={"on": ("true",), "off": ("true",), "status": ("echo", "Power is OFF")}).on()


def test_power_is_off_when_the_block_is_left(tmp_path: Path) -> None:
    one = by_files(tmp_path)
    with powered(one):
        one.on()
    assert one.status() is False
    for kind in (ImageError, KeyboardInterrupt):
        with pytest.raises(kind), powered(one):
            one.on()
            raise kind("x")
        assert one.status() is False


def test_what_went_wrong_first_is_told_first(tmp_path: Path) -> None:
    one = switch(tmp_path, command={"on": ("true",), "off": ("false",)})
    with pytest.raises(ImageError, match="it panicked") as error, powered(one):
        raise ImageError("it panicked")
    assert "then: board cannot be switched off" in error.value.details


def test_http(server: Web, tmp_path: Path) -> None:
    one = switch(tmp_path, http={"on": f"{server.url}/relay?turn=on", "off": f"{server.url}/relay?turn=off"})
    one.on()
    assert server.on
    one.off()
    assert not server.on and server.asked == ["GET /relay?turn=on", "GET /relay?turn=off"]


def test_http_with_a_body_and_a_token(server: Web, tmp_path: Path) -> None:
    where = {
        "on": f"{server.url}/token",
        "off": f"{server.url}/token",
        "method": "POST",
        "on_body": "on",
        "off_body": "o",
    }
    switch(tmp_path, http={**where, "token_env": "LAB_PASSWORD"}).on()
    assert server.on and server.asked == ["POST /token on"]
    with pytest.raises(MachineError, match="refuses with status 401") as error:
        switch(tmp_path, http={**where, "token_env": "LAB_WRONG"}).on()
    assert "who?" in error.value.details and "\x1b" not in str(error.value) and "wrong-wrong" not in str(error.value)
    with pytest.raises(UserError, match="not in the environment"):
        switch(tmp_path, http={**where, "token_env": "LAB_NOT_SET"}).on()


def test_nobody_answers(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"board cannot be switched on: http://127.0.0.1:9 does not answer"):
        switch(tmp_path, http={"on": "http://127.0.0.1:9/on", "off": "http://127.0.0.1:9/off"}).on()


def test_pdudaemon(server: Web, tmp_path: Path) -> None:
    one = switch(tmp_path, pdudaemon={"url": f"{server.url}/", "pdu": "rack-1", "outlet": 3})
    one.on()
    assert server.on and server.asked == ["GET /power/control/on?hostname=rack-1&port=3"]
    one.off()
    assert not server.on
    with pytest.raises(MachineError, match="refuses with status 500"):
        switch(tmp_path, pdudaemon={"url": server.url, "pdu": "rack-2", "outlet": 3}).on()


@pytest.mark.slow
def test_redfish(server: Web, tmp_path: Path) -> None:
    spec = {"url": server.url, "user": USER, "password_env": "LAB_PASSWORD"}
    one = switch(tmp_path, redfish=spec)
    one.off()  # it is: nothing is asked that would be refused
    one.cycle()
    assert one.status() is True and server.on
    switch(tmp_path, redfish={**spec, "system": "1"}).off()
    assert not server.on
    with pytest.raises(MachineError, match="refuses with status 401"):
        switch(tmp_path, redfish={**spec, "password_env": "LAB_WRONG"}).on()
    server.systems = ("1", "2")
    with pytest.raises(MachineError, match="has 2 systems") as error:
        one.on()
    assert error.value.hint == "name one as `system`: 1, 2"
    server.stuck, server.systems = True, ("1",)
    with pytest.raises(MachineError, match="was switched on but still says it is off"):
        switch(tmp_path, 0.1, redfish=spec).on()


@pytest.mark.skipif(not (tools.find("snmpd") and tools.find("snmpset")), reason="no snmpd or no snmpset")
@pytest.mark.servers
def test_snmp(tmp_path: Path) -> None:
    third = {"version": "3", "user": USER, "auth_password_env": "LAB_PASSWORD", "privacy_password_env": "LAB_SECOND"}
    with snmpd(tmp_path) as port:
        where = {"host": "127.0.0.1", "port": port, "oid": OID}
        for how in ({"community_env": "LAB_PASSWORD"}, {"community_env": "LAB_PASSWORD", "version": "1"}, third):
            one = switch(tmp_path, snmp={**where, **how})
            one.on()
            assert (tmp_path / "outlet").read_text() == "1\n"
            one.off()
            assert (tmp_path / "outlet").read_text() == "2\n" and one.status() is False
        with pytest.raises(MachineError, match="cannot be switched on"):
            switch(tmp_path, snmp={**where, **third, "auth_password_env": "LAB_WRONG"}).on()
        with pytest.raises(MachineError, match="cannot be"):
            switch(tmp_path, snmp={**where, "oid": "1.3.6.1.4.1.1.1", "community_env": "LAB_PASSWORD"}).on()


def test_snmps_secrets_cannot_add_to_its_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_PASSWORD", "a\ndefVersion 1")
    with pytest.raises(UserError, match="may have no quotes or line ends"):
        config(PowerSnmp(host="pdu", oid="1.2", community_env="LAB_PASSWORD"))


@pytest.mark.skipif(not (tools.find("ipmi_sim") and tools.find("ipmitool")), reason="no ipmi_sim or no ipmitool")
@pytest.mark.servers
def test_ipmi(tmp_path: Path) -> None:
    with ipmi_sim(tmp_path) as port:
        where = {"host": "127.0.0.1", "port": port, "user": USER, "cipher": 3}
        one = switch(tmp_path, ipmi={**where, "password_env": "LAB_PASSWORD"})
        one.on()
        assert (tmp_path / "chassis").read_text() == "1\n" and one.status() is True
        one.off()
        assert (tmp_path / "chassis").read_text() == "0\n"
        with pytest.raises(MachineError, match="ipmitool failed with exit code 1"):
            switch(tmp_path, ipmi={**where, "password_env": "LAB_WRONG"}).on()


BY_HAND = """
from pathlib import Path
from harness.board.power import Switch
from harness.spec.models.power import BoardPower
Switch(BoardPower(manual=True), Path(), "desk-1").on()
print("done", flush=True)
"""


@pytest.mark.slow
def test_a_person_is_asked(tmp_path: Path) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", BY_HAND])
    heard = b""
    while b"return key" not in heard:
        heard += os.read(terminal, 4096)
    assert b"desk-1: switch it ON" in heard
    os.write(terminal, b"\n")
    while b"done" not in heard:
        heard += os.read(terminal, 4096)
    os.waitpid(pid, 0)
    os.close(terminal)


@pytest.mark.slow
def test_nobody_can_be_asked() -> None:
    done = subprocess.run([sys.executable, "-c", BY_HAND], capture_output=True, check=False, start_new_session=True)
    assert b"desk-1 is switched by hand, and nobody can be asked" in done.stderr


@pytest.mark.parametrize(
    ("says", "state"), [("1", True), ("0", False), ("on", True), ("true", True), ("Outlet 1: OFF", False)]
)
def test_what_a_status_says(tmp_path: Path, says: str, state: bool) -> None:
    command = {"on": ("true",), "off": ("true",), "status": ("echo", says)}
    assert switch(tmp_path, command=command).status() is state


def test_a_status_that_says_neither_is_refused_in_its_words(tmp_path: Path) -> None:
    for says in ("2", "outlet 1 of 2", ""):
        command = {"on": ("true",), "off": ("true",), "status": ("echo", says)}
        with pytest.raises(MachineError, match=f"says neither on nor off: '{says}'"):
            switch(tmp_path, command=command).status()


def test_every_kind_of_switch_in_the_model_is_one_of_them_and_has_its_module() -> None:
    models = {name for name, field in BoardPower.model_fields.items() if "Power" in str(field.annotation)}
    assert models | {"manual", "labgrid"} == set(BoardPower.one_of)
    assert all(way_called(name).put for name in WAYS)
