"""A board without a console: the kernel's log over SSH, of each boot once, and what it cannot tell."""

from __future__ import annotations

import time

import pytest

from harness.board import line as board_line
from harness.board.kernellog import PIECE, Records
from harness.board.line import ConsoleLine
from harness.board.loader import Dialogue
from harness.board.source import BoardSource
from harness.system.milestones import parse

BOOT = b"f6b9e7a2-0001\n"
FIRST = b"6,0,0,-;Booting Linux\n SUBSYSTEM=cpu\n DEVICE=+cpu:1\n10,7,712345,-,caller=T1;harness: init counter=2\n"


def test_records_become_the_consoles_lines() -> None:
    records = Records()
    records.begin()
    assert not records.heard
    lines = records.take(BOOT + FIRST)
    assert lines == b"[    0.000000] Booting Linux\n[    0.712345] harness: init counter=2\n"
    assert [(mark.name, mark.guest_us) for mark in parse(lines, 1.0)] == [("init", 712345)]
    assert records.heard


def test_pieces_may_end_anywhere() -> None:
    records = Records()
    records.begin()
    whole = BOOT + FIRST
    assert b"".join(records.take(whole[at : at + 1]) for at in range(len(whole))).count(b"\n") == 2


def test_a_log_that_is_read_again_says_what_is_new_and_another_boots_all() -> None:
    records = Records()
    records.begin()
    records.take(BOOT + FIRST)
    records.begin()
    assert records.take(BOOT + FIRST + b"10,8,900000,-;harness: ready\n") == b"[    0.900000] harness: ready\n"
    records.begin()
    assert records.take(b"f6b9e7a2-0002\n" + FIRST).count(b"\n") == 2


@pytest.mark.parametrize(
    "hostile",
    [
        b"6,1,9" + b"9" * 40 + b",-;x\n",
        b"x\n" * 9,
        b";\n",
        b"6,1,2,-;a\rb\x1b[2J\n",
        b"\0" * (2 * PIECE),
        b"6,-1,2,-;x\n",
    ],
)
def test_what_is_no_record_is_passed_over_in_bounded_memory(hostile: bytes) -> None:
    records = Records()
    records.begin()
    records.take(BOOT)
    assert records.take(hostile).count(b"\n") <= 1
    assert len(records._rest) <= PIECE


class Log(BoardSource):
    why = ""

    def read(self, timeout: float) -> bytes | None:
        return b""

    def write(self, data: bytes) -> None:
        raise AssertionError

    def close(self) -> None:
        pass


@pytest.mark.parametrize(("restarts", "patience_s"), [(False, board_line.GONE_S), (True, board_line.RESTART_S)])
def test_a_system_that_answers_no_more_is_off_after_a_while(restarts: bool, patience_s: float) -> None:
    source = Log()
    line = ConsoleLine(source, Dialogue((), {}), restarts=restarts)
    line.read(0)
    assert not line.off  # it never answered
    source.lost_s = time.monotonic() - patience_s + 5
    line.read(0)
    assert not line.off
    source.lost_s = time.monotonic() - patience_s
    line.read(0)
    assert line.off
