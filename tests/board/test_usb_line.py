"""A serial device that is the board's own: there with its power, gone without it, and lost while the board speaks."""

from __future__ import annotations

import os
import pty
import tty
from pathlib import Path

import pytest

from harness.board.consoles import SerialSource
from harness.board.faults import ConsoleServerError
from harness.board.line import ConsoleLine
from harness.board.loader import Dialogue
from harness.spec.models.board import BoardConsole


class Usb:
    """The device, by its name; plugged in as often as the board is switched on."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ttyUSB9"
        self.ends: tuple[int, ...] = ()

    def plug(self, says: bytes = b"") -> None:
        self.ends = pty.openpty()
        tty.setraw(self.ends[1])
        self.path.symlink_to(os.ttyname(self.ends[1]))
        os.write(self.ends[0], says)

    def unplug(self) -> None:
        self.path.unlink(missing_ok=True)
        for end in self.ends:
            os.close(end)
        self.ends = ()


def heard(line: ConsoleLine, words: bytes) -> bytes:
    data = b""
    for _ in range(400):
        data += line.read(0.05) or b""
        if words in data:
            break
    return data


def opened(usb: Usb, appears_s: float = 30.0) -> ConsoleLine:
    # a device is relative to the folder of the YAML
    source = SerialSource(BoardConsole(serial=usb.path.name), usb.path.parent, appears_s)
    line = ConsoleLine(source, Dialogue((), {}), restarts=True)
    line.mute()
    return line


def test_it_comes_and_goes_with_the_power(tmp_path: Path) -> None:
    usb, line = Usb(tmp_path), opened(Usb(tmp_path), 0.05)
    for _ in range(4):
        assert line.read(0.05) == b""  # off, for however long
    for boot in (b"the first\r\n", b"the second\r\n"):
        line.begin()
        usb.plug(boot)
        assert heard(line, boot) == boot
        line.mute()
        usb.unplug()
        for _ in range(4):
            assert line.read(0.05) == b""
    line.begin()
    usb.plug(b"[    9.000000] reboot: Restarting system\r\n")
    assert b"Restarting" in heard(line, b"Restarting")
    usb.unplug()  # it goes with a restart, too
    assert line.read(0.05) == b""
    usb.plug(b"the third\r\n")
    assert heard(line, b"third") == b"the third\r\n"
    line.close()
    usb.unplug()


def test_one_that_never_comes_is_named(tmp_path: Path) -> None:
    line = opened(Usb(tmp_path), 0.1)
    line.begin()
    with pytest.raises(ConsoleServerError, match=r"ttyUSB9 did not appear within 0\.1 s of power-on"):
        heard(line, b"anything")


def test_one_that_goes_while_the_board_speaks_is_lost(tmp_path: Path) -> None:
    usb, line = Usb(tmp_path), opened(Usb(tmp_path))
    line.begin()
    usb.plug(b"words\r\n")
    heard(line, b"words")
    usb.unplug()
    with pytest.raises(ConsoleServerError, match="was lost"):
        heard(line, b"anything")
    line.close()
