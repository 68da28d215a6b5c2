"""The shell over a console that lies: right bytes or a clear error, whatever the line does."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.bench.badline import LineBoard, LineFaults, board
from harness.board.consoles import SerialSource
from harness.errors import MachineError
from harness.spec.models.board import BoardConsole
from harness.system.console import Console
from harness.system.consoleshell import ConsoleShell
from harness.system.listener import Listener
from harness.system.shell import ShellDeadError
from harness.system.transcript import Transcript

TROUBLES = {
    "none": LineFaults(),
    "lost": LineFaults(mean=1500, kinds=("lost",)),
    "doubled": LineFaults(mean=1500, kinds=("doubled",)),
    "flipped": LineFaults(mean=1500, kinds=("flipped",)),
    "the kernel prints": LineFaults(kernel_s=0.02),
    "no echo": LineFaults(mean=1500, echo=False),
    "late": LineFaults(late_s=3),
    "terminal codes": LineFaults(codes=True),
    "all": LineFaults(mean=1500, kinds=("lost", "doubled", "flipped"), kernel_s=0.05, codes=True, late_s=1),
}


@contextmanager
def console(made: LineBoard, tmp_path: Path) -> Iterator[Console]:
    began = time.monotonic()
    source = SerialSource(BoardConsole(serial=made.device))
    opened = Console(source, Listener(Transcript(tmp_path / "t", {})), lambda: time.monotonic() - began)
    try:
        yield opened
    finally:
        opened.close()


def shell(opened: Console, made: LineBoard) -> ConsoleShell:
    return ConsoleShell(opened, lambda: None, life=lambda: made.resets)


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.slow
def test_right_bytes(trouble: str, tmp_path: Path) -> None:
    data = random.Random(2).randbytes(3000)
    (tmp_path / "data").write_bytes(data)
    with board(TROUBLES[trouble], seed=1) as made, console(made, tmp_path) as opened:
        on = shell(opened, made)
        on.start(timeout=600)
        for number in range(20):
            assert on.run(f"printf '{number}\\n'; exit {number}").stdout == b"%d\n" % number
        result = on.run(f"cat {tmp_path}/data; exit 7")
        assert (result.stdout, result.code) == (data, 7)
        assert bool(made.spoilt) == bool(made.faults.mean)


@pytest.mark.slow
@pytest.mark.parametrize(
    "open_", ["'", '"', "`", "$(", "${", "$((", '"$((', "(", "{", "if true", 'x="$(', "case a in", "\\"]
)
def test_a_shell_that_a_spoilt_line_left_in_mid_command_is_woken(open_: str, tmp_path: Path) -> None:
    with board(LineFaults()) as made, console(made, tmp_path) as opened:
        opened.sendline(f"echo {open_}" if open_[0] in "'\"`$\\" else open_)
        on = shell(opened, made)
        on.start(timeout=120)
        assert on.run("echo right").text == "right\n"


@pytest.mark.slow
def test_files(tmp_path: Path) -> None:
    data = random.Random(3).randbytes(60_000)
    (tmp_path / "here").write_bytes(data)
    with board(LineFaults(mean=15000, kernel_s=0.05), seed=2) as made, console(made, tmp_path) as opened:
        on = shell(opened, made)
        on.start(timeout=120)
        on.put(tmp_path / "here", f"{tmp_path}/it's there")
        on.get(f"{tmp_path}/it's there", tmp_path / "back")
        assert (tmp_path / "it's there").read_bytes() == data == (tmp_path / "back").read_bytes()
        with pytest.raises(MachineError, match="did not arrive whole"):
            on.put(tmp_path / "here", "/no/such/folder/file")
        with pytest.raises(MachineError, match="cannot be got"):
            on.get("/no/such/file", tmp_path / "back")


def test_a_reset_in_mid_command_is_told_and_the_shell_starts_anew(tmp_path: Path) -> None:
    with board(LineFaults()) as made, console(made, tmp_path) as opened:
        on = shell(opened, made)
        assert on.run("echo before").text == "before\n"
        threading.Timer(0.5, lambda: setattr(made, "reset_at", 1)).start()
        with pytest.raises(ShellDeadError, match="was restarted meanwhile"):
            on.run("sleep 20", timeout=30)
        assert on.run("echo after").text == "after\n"


def test_a_reset_that_nothing_tells_of_is_no_answer(tmp_path: Path) -> None:
    with board(LineFaults()) as made, console(made, tmp_path) as opened:
        on = ConsoleShell(opened, lambda: None, multiplier=0.1)  # of the patience
        assert on.run("echo before", timeout=100).text == "before\n"
        made.reset_at = made.heard + 1
        with pytest.raises(ShellDeadError, match="no whole answer"):
            on.run("echo gone", timeout=10)


def test_a_server_that_a_harness_left_behind_is_taken_over(tmp_path: Path) -> None:
    with board(LineFaults()) as made:
        with console(made, tmp_path) as opened:
            assert shell(opened, made).run("echo first").text == "first\n"
        with console(made, tmp_path) as opened:  # the first one has said no word of farewell
            assert shell(opened, made).run("echo second").text == "second\n"


def test_a_command_that_ends_itself_was_not_late(tmp_path: Path) -> None:
    with board(LineFaults()) as made, console(made, tmp_path) as opened:
        assert shell(opened, made).run("kill -9 $$", timeout=5).code == 137


@pytest.mark.slow
def test_what_still_writes_behind_does_not_spoil_the_output(tmp_path: Path) -> None:
    with board(LineFaults()) as made, console(made, tmp_path) as opened:
        on = shell(opened, made)
        result = on.run("(while :; do echo more; done) & head -c 9000 /dev/zero; sleep 0.1; kill $!")
        assert result.stdout.count(b"\0") == 9000
        assert on.run("echo then").text == "then\n"


def test_a_full_disk_runs_no_other_command(tmp_path: Path) -> None:
    with board(LineFaults()) as made, console(made, tmp_path) as opened:
        on = shell(opened, made)
        on.run("true")
        on.run('cd "$CONSOLE_SHELL" && rm -f cmd && ln -s /dev/full cmd && rm -f 0 && ln -s /dev/full 0')
        with pytest.raises(MachineError, match="could not keep"):
            on.run("echo x")
