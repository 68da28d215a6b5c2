"""A lab of light boards that workers share, some of which fail at random: does the run end, and is it right?

``python -m harness.bench.pools FOLDER WORKER`` is one worker.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from harness.bench.context import Context, FigureOrTable
from harness.bench.figures import BenchFigure
from harness.board.consoles import open_console
from harness.board.pool import equals, is_aside, reserved
from harness.errors import HostError, ImageError, MachineError
from harness.spec import load_machine
from harness.spec.models.machine import MachineSpec
from harness.system.console import Console
from harness.system.consoleshell import ConsoleShell
from harness.system.folder import BootFolder
from harness.system.listener import Listener
from harness.system.transcript import Transcript

BOARDS, FAILING, WORKERS, CELLS = 20, 3, 8, 80
BAD_EVERY = 7  # each such cell's image fails, whatever the board
LONGEST_S = 600.0  # of one run
PASSED, FAILED, LOST = "passed", "failed", "no board"
# a board: one at a time or it tells; a failing one dies every other time, in the middle of what it is asked
SIMULATOR = """#!/bin/sh
exec 9>"$1.lock"
flock -n 9 || echo "$1" >>"$1.shared"
echo "U-Boot on $1"
[ "$2" != failing ] || [ $(($(od -An -N1 -tu1 /dev/urandom) % 2)) = 0 ] || { read -r x; exit 1; }
BOARD=$(basename "$1") exec sh -i
"""


def pool(context: Context) -> Iterator[FigureOrTable]:
    """Share BOARDS boards among WORKERS processes, FAILING of them failing at random, several times."""
    good, seconds, moved, aside = 0, [], 0, 0
    runs = context.times(10, 2)
    broken = ""
    for number in range(runs):
        began = time.monotonic()
        folder = context.folder("pool", str(number))
        wrong, tries = _run(folder)
        seconds.append(time.monotonic() - began)
        moved += tries - CELLS
        aside += sum(is_aside(load_machine(path)) for path in _boards(folder))
        good += not wrong
        broken = broken or wrong
        context.say(f"pool: run {number + 1} of {runs}: {wrong or 'right'}")
    what = f"of {runs} runs, {BOARDS} boards, {WORKERS} workers, {FAILING} boards failing at random"
    yield BenchFigure(f"not ended, a board shared or a verdict wrong, {what}", "runs", (float(runs - good),), goal=0,
                 note=f"{moved} tries were made again, {aside} times a board was set aside", broken=broken)  # fmt: skip
    yield BenchFigure(f"one such run of {CELLS} cells", "s", tuple(seconds))


def _boards(folder: Path) -> list[Path]:
    os.environ["HARNESS_LAB"] = str(folder / "lab")
    return sorted((folder / "rack").glob("*.yml"))


def _run(folder: Path) -> tuple[str, int]:
    """Return what was wrong with one run ("" when nothing), and how many tries its cells took."""
    _make(folder)
    argv = [sys.executable, "-m", "harness.bench.pools", str(folder)]
    env = {**os.environ, "HARNESS_LAB": str(folder / "lab")}
    workers = [subprocess.Popen([*argv, str(at)], stdout=subprocess.PIPE, env=env, text=True) for at in range(WORKERS)]
    told: dict[int, str] = {}
    tries = 0
    try:
        for one in workers:
            said, _ = one.communicate(timeout=LONGEST_S)
            for row in map(json.loads, said.splitlines()):
                told[row["cell"]] = row["verdict"]
                tries += row["tries"]
    except subprocess.TimeoutExpired:
        return f"it did not end within {LONGEST_S:g} s", tries
    finally:
        for one in workers:
            one.kill()
            one.wait()
    wrong = [cell for cell in range(CELLS) if told.get(cell) != (FAILED if cell % BAD_EVERY == 0 else PASSED)]
    shared = [path.name for path in (folder / "rack").glob("*.shared")]
    if wrong:
        return f"cells {wrong[:5]} came to {[told.get(cell) for cell in wrong[:5]]}", tries
    return (f"{shared} were shared" if shared else ""), tries


def _make(folder: Path) -> None:
    rack = folder / "rack"
    rack.mkdir()
    program = rack / "board.sh"
    program.write_text(SIMULATOR)
    program.chmod(0o755)
    for at in range(BOARDS):
        name = f"board-{at:02}"
        command = [str(program), str(rack / name), "failing" if at < FAILING else "well"]
        board = {
            "console": {"command": command},
            "power": {"command": {"on": ["true"], "off": ["true"]}},
            "pool": ["rack"],
        }
        text = json.dumps({"arch": "arm64", "console": "ttyS0", "tags": ["rack"], "board": board})
        (rack / f"{name}.yml").write_text(text)


def work(folder: Path, worker: int) -> None:
    """Do every cell that is this worker's, and print its verdict."""
    boards = _boards(folder)
    for cell in range(worker, CELLS, WORKERS):
        verdict, tries = _cell(load_machine(boards[cell % BOARDS]), cell, folder)
        print(json.dumps({"cell": cell, "verdict": verdict, "tries": tries}), flush=True)


def _cell(machine: MachineSpec, cell: int, folder: Path) -> tuple[str, int]:
    """Return a cell's verdict and how many tries it took, as a run of cases makes them."""
    avoid: set[str] = set()
    assert machine.board is not None
    most = machine.board.tries * len(equals(machine))
    for attempt in range(1, most + 1):
        try:
            with reserved(machine, avoid=avoid, what=f"cell {cell}") as taken:
                avoid.add(taken.name)
                _case(taken, cell, folder)
            return PASSED, attempt
        except ImageError:
            return FAILED, attempt
        except MachineError:
            continue
    return LOST, most


def _case(taken: MachineSpec, cell: int, folder: Path) -> None:
    """Ask the board for its name; MachineError when it dies, ImageError when what it says is not right."""
    assert taken.board is not None
    out = folder / f"{cell}-{taken.name}"
    out.mkdir(exist_ok=True)
    began = time.monotonic()
    with Transcript(BootFolder(out).transcript, {}) as transcript:
        console = Console(
            open_console(taken.board.console, out, out), Listener(transcript), lambda: time.monotonic() - began
        )
        try:
            said = ConsoleShell(console, lambda: None).run("echo $BOARD").text
        finally:
            console.close()
    if said != f"{taken.name}\n":
        raise HostError(f"{taken.name} answered {said!r}")
    if cell % BAD_EVERY == 0:
        raise ImageError("this image is bad")


if __name__ == "__main__":
    work(Path(sys.argv[1]), int(sys.argv[2]))
