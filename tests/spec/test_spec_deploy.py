"""What a board's YAML may not say of images, boot loaders and logins."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from harness.errors import UserError
from harness.spec import load_machine
from harness.spec.models.board import reached

GOOD = {
    "console": {"serial": "/dev/ttyUSB0"},
    "loader": [{"wait": "=> $", "send": "setenv bootargs '{cmdline}'; load ${kernel_addr_r} {x}"}, {"wait": "boot"}],
    "deploy": {"command": ["cp", "{kernel}", "{folder}/cmdline", "."]},
    "address": "10.0.0.7",
}


def machine(folder: Path, **keys: object) -> Path:
    path = folder / "m.yml"
    path.write_text(yaml.safe_dump({"arch": "arm64", "console": "ttyAMA0", **keys}))
    return path


def test_a_good_one_is_a_machine_without_qemu(tmp_path: Path) -> None:
    made = load_machine(machine(tmp_path, board=GOOD))
    assert made.qemu is None and made.board is not None
    assert (made.counts, made.network, made.host_memory, made.tries) == (False, True, 0, 2)
    assert made.why_not_exact == "a board has no instruction counter"


def test_where_a_guests_port_is_reached(tmp_path: Path) -> None:
    made = load_machine(machine(tmp_path, board={**GOOD, "ports": ["2222:22", "22:2222"]})).board
    assert made is not None
    assert [reached(made, port) for port in (22, 2222, 80)] == [("10.0.0.7", 2222), ("10.0.0.7", 22), ("10.0.0.7", 80)]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"loader": [{"wait": "a("}]}, "board.loader[0].wait: is not a pattern: missing )"),
        ({"loader": [{"wait": "x*"}]}, "board.loader[0].wait: is found in an empty line"),
        ({"loader": [{"wait": "x", "send": "a\nb"}]}, "board.loader[0].send: has characters that cannot be typed"),
        ({"loader": [{"wait": "x", "send": "{kernl}"}]}, "nothing is called {kernl}, did you mean {kernel}?"),
        ({"loader": [{"wait": "x"}] * 51}, "board.loader: has 51 steps"),
        ({"deploy": {}}, "board.deploy: says nothing of what it is"),
        ({"deploy": {"command": ["a"], "installed": True}}, "board.deploy.installed: there is 'command' already"),
        ({"deploy": {"command": []}}, "board.deploy.command: is not a command"),
        ({"deploy": {"kexec": True}}, "board.deploy.kexec: needs `ssh`"),
        ({"deploy": {"netboot": {"interface": "-x", "range": "1,2"}}}, "'-x' is not a valid interface"),
        ({"deploy": {"netboot": {"interface": "eth1", "range": "10.0.0.1"}}}, "'10.0.0.1' is not a valid range"),
        ({"deploy": {"netboot": {"interface": "e", "range": "::1,::2", "file": "../x"}}}, "'../x' is not a valid file"),
        ({"address": "-oX"}, "board.address: '-oX' is not a host"),
        ({"ports": ["22"]}, "board.ports[0]: '22' is not a pair of ports"),
        ({"ports": ["2222:22", "65536:80"]}, "board.ports[1]: '65536:80' is not a pair of ports"),
        ({"ports": ["2222:22", "2223:22"]}, "board.ports[1]: the guest's port 22 has one already"),
        ({"ports": ["2222:22"], "address": ""}, "board.ports: means nothing without `address`"),
        ({"login": {"password": "a", "password_env": "B"}}, "board.login.password_env: there is a password already"),
        ({"tries": 0}, "board.tries: the number 0 is too small"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    with pytest.raises(UserError) as caught:
        load_machine(machine(tmp_path, board={**GOOD, **changes}))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, "nothing says what makes the machine"),
        ({"board": GOOD, "qemu": {"machine": "virt", "cpu": "max"}}, "board: there is 'qemu' already"),
    ],
)
def test_a_machine_is_qemu_or_a_board(tmp_path: Path, keys: dict[str, object], said: str) -> None:
    with pytest.raises(UserError) as caught:
        load_machine(machine(tmp_path, **keys))
    assert said in str(caught.value)
