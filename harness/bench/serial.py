"""Commands over serial lines that lie: how many wrong results were taken for right ones."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from harness.bench.badline import LineBoard, LineFaults, board
from harness.bench.context import Context, FigureOrTable
from harness.bench.figures import BenchFigure
from harness.board.consoles import SerialSource
from harness.errors import MachineError
from harness.spec.models.board import BoardConsole
from harness.system.console import Console
from harness.system.consoleshell import ConsoleShell
from harness.system.folder import BootFolder
from harness.system.listener import Listener
from harness.system.transcript import Transcript

FAULTS = LineFaults(mean=2000, kinds=("lost", "flipped"), kernel_s=0.2)
LINES = 2  # boards at once
A_BOARD = 250  # commands of one


@dataclass
class CommandTally:
    """What came of the commands of one board."""

    right: int = 0
    wrong: int = 0
    errors: int = 0
    spoilt: int = 0  # characters
    seconds: list[float] = field(default_factory=list)


def serial(context: Context) -> Iterator[FigureOrTable]:
    """Run 10,000 commands, each with an output and an exit code of its own, over lines with FAULTS."""
    count = context.times(10_000, 500)
    began = time.monotonic()
    with ThreadPoolExecutor(LINES) as lines:
        waiting = [lines.submit(_board, context.folder("serial", str(at)), at) for at in range(count // A_BOARD)]
        done: list[CommandTally] = []
        for one in waiting:
            done.append(one.result())
            context.say(f"serial: {len(done) * A_BOARD} commands")
    what = f"of {count} commands over a line with 1 in {FAULTS.mean:g} characters lost or flipped, the kernel printing"
    wrong, errors, spoilt = (sum(getattr(one, name) for one in done) for name in ("wrong", "errors", "spoilt"))
    yield BenchFigure(f"wrong results accepted {what}", "commands", (float(wrong),), goal=0, note=f"{spoilt} spoilt")
    yield BenchFigure(f"machine errors {what}", "commands", (float(errors),))
    yield BenchFigure("a command over such a line", "ms", tuple(1000 * took for one in done for took in one.seconds))
    yield BenchFigure(f"all of them, {LINES} lines at once", "s", (time.monotonic() - began,))


def _board(folder: Path, seed: int) -> CommandTally:
    wish, told, began = random.Random(seed), CommandTally(), time.monotonic()
    with board(FAULTS, seed) as made, Transcript(BootFolder(folder).transcript, {}) as transcript:
        source = SerialSource(BoardConsole(serial=made.device))
        console = Console(source, Listener(transcript), lambda: time.monotonic() - began)
        shell = ConsoleShell(console, lambda: None, life=lambda: made.resets)
        try:
            for _ in range(A_BOARD):
                begun = time.monotonic()
                _one(shell, wish, told, made)
                told.seconds.append(time.monotonic() - begun)
        finally:
            console.close()
        told.spoilt = made.spoilt
    return told


def _one(shell: ConsoleShell, wish: random.Random, told: CommandTally, made: LineBoard) -> None:
    """Run a command whose result is known; note whether it came right, wrong or as an error."""
    words, code = f"{wish.randrange(10**9)}-" * wish.randrange(1, 60), wish.randrange(126)
    try:
        result = shell.run(f"printf %s {words}; exit {code}", timeout=60)
    except MachineError:
        told.errors += 1
        made.reset()
        return
    if (result.stdout, result.code) == (words.encode(), code):
        told.right += 1
    else:
        told.wrong += 1
