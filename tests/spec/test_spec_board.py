"""What a board's YAML may not say, beyond its shape."""

from __future__ import annotations

import pytest

from harness.spec.rules.board import board
from harness.spec.text.complaints import spell

GOOD = {
    "console": {"serial": "rfc2217://rack-1.example:4001", "baud": 9600},
    "power": {"snmp": {"host": "10.0.0.7", "oid": "1.3.6.1.4.1.1.3", "community_env": "PDU_COMMUNITY"}, "pause": 1.0},
    "ssh": {"host": "fe80::1%eth0", "user": "root", "jump": ("me@gate.example:2222", "[::1]:22", "gate")},
    "secrets_env": ("IPMI_PASSWORD",),
}


def complaints(**changes: object) -> list[str]:
    return [f"{spell(one.path)}: {one.what}" for one in board({**GOOD, **changes})]


def test_nothing_is_wrong_with_a_good_one() -> None:
    assert complaints() == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"console": {}}, "board.console: says nothing of what it is"),
        ({"console": {"serial": "/dev/ttyS0", "command": ("a",)}}, "board.console.command: there is 'serial' already"),
        ({"console": {"command": ()}}, "board.console.command: is not a command"),
        ({"console": {"command": ("a",), "rtscts": True}}, "board.console.rtscts: means nothing without `serial`"),
        ({"console": {"serial": "rfc2216://a:1"}}, "board.console.serial: unknown kind of line 'rfc2216'"),
        ({"console": {"ssh": {"host": "-oProxyCommand=x"}}},
         "board.console.ssh.host: '-oProxyCommand=x' is not a host"),
        (
            {"console": {"log": True}, "login": {"user": "root"}},
            "board.login: needs a console, and there is only the kernel's log",
        ),
        ({"power": {"manual": False}}, "board.power: says nothing of what it is"),
        ({"power": {"command": {"on": ("",), "off": ("b",)}}}, "board.power.command.on: is not a command"),
        ({"power": {"http": {"on": "ftp://a", "off": "http://a"}}}, "board.power.http.on: is not a web address"),
        ({"power": {"redfish": {"url": "https://me:x@a"}}}, "board.power.redfish.url: has a user or a password in it"),
        ({"power": {"ipmi": {"host": "a", "user": "-f"}}}, "board.power.ipmi.user: '-f' is not a user's name"),
        ({"power": {"snmp": {"host": "a", "oid": "-x"}}}, "board.power.snmp.oid: '-x' is not an object of SNMP's"),
        ({"power": {"snmp": {"oid": "1", "user": "u"}}}, "board.power.snmp.user: is for SNMP's version 3"),
        ({"power": {"snmp": {"oid": "1.2", "version": "3"}}}, "board.power.snmp: SNMP's version 3 without its `user`"),
        ({"ssh": {"jump": ("-oX",)}}, "board.ssh.jump[0]: '-oX' is not a host to jump over"),
        ({"ssh": {"password_env": "hunter 2"}}, "board.ssh.password_env: is not a variable's name"),
        ({"secrets_env": ("a-b",)}, "board.secrets_env[0]: is not a variable's name"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(changes: dict[str, object], said: str) -> None:
    assert complaints(**changes) == [said]
