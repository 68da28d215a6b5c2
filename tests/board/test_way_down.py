"""Which words are of a boot: none from before power-on; and a board on its way down, which is typed at no more."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.board import driver
from harness.board import line as board_line
from harness.board.driver import BoardDriver
from harness.board.line import ConsoleLine
from harness.board.loader import Dialogue
from harness.board.power import Switch
from harness.board.shells import PerLife
from harness.board.source import BoardSource
from harness.spec.models.board import LoaderStep
from harness.spec.models.power import BoardPower, PowerCommands
from harness.system.console import Console
from harness.system.consoleshell import ConsoleShell
from harness.system.listener import Listener
from harness.system.shell import LineDeadError
from harness.system.system import System
from harness.system.transcript import Transcript

from .power_servers import script


class Going(BoardSource):
    """A board whose first answer is that it goes down."""

    why = ""

    def __init__(self, says: bytes) -> None:
        self.says, self.typed, self.waiting = says, b"", b""

    def read(self, timeout: float) -> bytes | None:
        data, self.waiting = self.waiting, b""
        if not data:
            time.sleep(0.01)
        return data

    def write(self, data: bytes) -> None:
        self.typed, self.waiting, self.says = self.typed + data, self.waiting + self.says, b""

    def close(self) -> None:
        pass


def test_nothing_is_typed_at_a_system_that_goes_down(tmp_path: Path) -> None:
    # what is typed then is echoed amid the marks of the next boot, and one that does not begin its line is none
    source = Going(b"[    9.000000] harness: shutdown\r\n")
    listener = Listener(Transcript(tmp_path / "t", {}))
    console = Console(source, listener, time.monotonic)
    image = SimpleNamespace(manifest={"components": [{"name": "getty", "reference": "getty"}]})
    bench = SimpleNamespace(board=SimpleNamespace(ssh=None, login=None), base=tmp_path)
    system: Any = SimpleNamespace(
        image=image, console=console, milestones=listener.milestones, options=SimpleNamespace()
    )
    for name in ("boots", "exits", "downs"):
        setattr(system, name, getattr(System, name).__get__(system))
    system.options.timeout_multiplier = 1.0
    system.console_shell = lambda life: ConsoleShell(console, lambda: None, 1.0, life)
    of: Any = SimpleNamespace(_bench=bench, _probed=False)
    shell = cast(PerLife, BoardDriver._make(of, system))
    inner = cast(Any, shell.make()).shell
    inner._started, inner._life = True, inner.life()  # its server is there
    try:
        with pytest.raises(LineDeadError, match="restarted meanwhile"):
            inner.run("reboot")
        assert source.typed.count(b"~Q") == 1
        assert shell.life() != inner._life  # the next one is had anew
    finally:
        console.close()


def test_a_slow_restart_is_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(board_line, "time", SimpleNamespace(monotonic=lambda: now[0]))
    for restarts, silent_s in ((True, board_line.SLOW_DOWN_S), (False, board_line.SILENT_S)):
        source = Going(b"")
        line = ConsoleLine(source, Dialogue((), {}), restarts=restarts)
        source.waiting = b"[    9.000000] harness: off\n"
        line.read(0)
        now[0] += silent_s - 1
        line.read(0)
        assert not line.off
        now[0] += 2
        line.read(0)
        assert line.off


def test_words_from_before_power_on_are_of_no_boot() -> None:
    # a console server replays what it has kept, and the last system speaks until it is off
    source = Going(b"")
    steps = (LoaderStep(wait="=> $", send="boot"),)
    line = ConsoleLine(source, Dialogue(steps, {}), restarts=True)
    line.deaf = True
    source.waiting = b"=> \r\n[    1.000000] Linux version 6\r\n[    3.000000] harness: ready\r\n"
    assert line.read(0) == b"" and not line.heard and line.first_s is None and source.typed == b""
    line.begin()
    source.waiting = b"=> "
    assert line.read(0) == b"=> " and source.typed == b"boot\r"


def test_a_reset_hears_the_board_again_once_it_is_off(tmp_path: Path) -> None:
    script(tmp_path / "put", 'echo "$1" >>asked\n')
    command = PowerCommands(on=("./put", "on"), off=("./put", "off"))

    def between() -> None:
        with (tmp_path / "asked").open("a") as asked:
            asked.write("between\n")

    Switch(BoardPower(command=command, pause=0.01), tmp_path).cycle(between)
    assert (tmp_path / "asked").read_text().split() == ["off", "between", "on"]


@pytest.mark.parametrize(
    ("words", "awaited"),
    [
        (b"", driver.SILENT),
        (b"U-Boot 2024.01\r\nTFTP error: 'File not found' (1)\r\n=> \r\n", driver.NO_KERNEL),
        (b"[    0.000000] Booting Linux\r\n", ""),
    ],
)
def test_a_board_that_started_no_kernel_has_still_to_do_so(words: bytes, awaited: str) -> None:
    source = Going(b"")
    line = ConsoleLine(source, Dialogue((), {}), restarts=True)
    board = SimpleNamespace(console=SimpleNamespace(log=False), loader=())
    of: Any = SimpleNamespace(_bench=SimpleNamespace(board=board), _line=line)
    line.begin()
    source.waiting = words
    line.read(0)
    said: Any = BoardDriver.awaited
    assert said.fget(of) == awaited
