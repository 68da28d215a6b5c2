"""The time limits that a board's YAML gives: for the board, its switch, its console and its boot loader."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.board import line as board_line
from harness.board import pool
from harness.board.consoles import open_console
from harness.board.faults import BusyError, ConsoleServerError, LoaderRefusedError, SwitchError
from harness.board.line import ConsoleLine
from harness.board.loader import Dialogue
from harness.board.power import Switch
from harness.board.source import BoardSource
from harness.errors import MachineError
from harness.spec.models.board import BoardConsole, BoardLimits, LoaderStep
from harness.spec.models.power import BoardPower

from .power_servers import script
from .test_locks import board

STEPS = (LoaderStep(wait="=> $", send="boot"),)


class Says(BoardSource):
    """A board that says what it is given."""

    def __init__(self) -> None:
        self.why, self.words = "", b""

    def read(self, timeout: float) -> bytes | None:
        data, self.words = self.words, b""
        return data

    def write(self, data: bytes) -> None:
        pass

    def close(self) -> None:
        pass


def test_a_silent_board_and_a_boot_loader_have_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(board_line, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=time.sleep))
    source, limits = Says(), BoardLimits(silence=10, loader=60)
    line = ConsoleLine(source, Dialogue(STEPS, {}), restarts=True, limits=limits)
    line.begin()
    now[0] += 9
    line.read(0)
    now[0] += 2
    with pytest.raises(MachineError, match="silent for 10 s since power-on") as caught:
        line.read(0)
    assert not isinstance(caught.value, LoaderRefusedError)  # it is the board's own
    line.begin()
    source.words = b"U-Boot\n"
    line.read(0)
    now[0] += 59
    line.read(0)
    now[0] += 2
    with pytest.raises(LoaderRefusedError, match=r"within 60 s, its boot loader did not say '=> \$'"):
        line.read(0)
    line.begin()
    source.words = b"=> "
    line.read(0)
    now[0] += 1000
    line.read(0)


def test_without_limits_it_has_the_boots_own(monkeypatch: pytest.MonkeyPatch) -> None:
    line = ConsoleLine(Says(), Dialogue(STEPS, {}), restarts=True)
    line.begin()
    later = time.monotonic() + 100_000
    monkeypatch.setattr(board_line, "time", SimpleNamespace(monotonic=lambda: later))
    assert line.read(0) == b"" and not line.off


def test_a_switch_that_takes_too_long(tmp_path: Path) -> None:
    script(tmp_path / "put", "exec sleep 60\n")
    power = BoardPower.model_validate({"command": {"on": ("./put",), "off": ("./put", "off")}, "timeout": 0.2})
    with pytest.raises(SwitchError, match="cannot be switched on"):
        Switch(power, tmp_path).on()


def test_a_switch_that_never_shows_what_it_was_told(tmp_path: Path) -> None:
    command: dict[str, Any] = {"on": ("true",), "off": ("true", "off"), "status": ("echo", "off")}
    power = BoardPower.model_validate({"command": command, "confirm": 0.01})
    with pytest.raises(MachineError, match="was switched on but still says it is off"):
        Switch(power, tmp_path, "desk").on()


def test_a_console_that_is_not_connected(tmp_path: Path) -> None:
    console = BoardConsole(command=("sleep", "60"), ready="Connected", timeout=0.1)
    with pytest.raises(ConsoleServerError, match=r"did not say 'Connected' within 0\.1 s"):
        open_console(console, tmp_path, tmp_path)


def test_a_board_that_somebody_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_LAB", str(tmp_path / "lab"))
    line: dict[str, Any] = {"serial": "socket://127.0.0.1:1"}
    one, other = (board(tmp_path, name, line, limits={"free": 0.05}) for name in ("one", "other"))
    with pool.held(one):
        with pytest.raises(BusyError, match=r"not free within 0\.05 s"), pool.held(other):
            pass
        with pytest.raises(BusyError, match=r"no board is free within 0\.05 s"), pool.reserved(other):
            pass
