"""`harness machine check`: a new board step by step, each with what was seen and what to change."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness.board import pool
from harness.board.consoles import open_console
from harness.board.faults import ConsoleServerError
from harness.board.guard import guarded
from harness.board.labgrid import release_argv, resolved
from harness.board.power import Switch, powered
from harness.errors import EXIT_MACHINE, EXIT_OK, HarnessError, UserError
from harness.secrets import redact
from harness.spec import load_machine
from harness.spec.models.board import Board
from harness.spec.models.machine import MachineSpec
from harness.system.text import clean

if TYPE_CHECKING:
    from harness.build.settings import Settings

LISTEN_S = 30.0  # for a board to say something once it is on
GATHER_S = 2.0  # for it to go on
MOST_HEARD = 64 << 10  # bytes
SHOWN = 3  # lines
# printable ASCII, ends of lines, tabs and the escape of terminal codes: what a console says at the right speed
READABLE = frozenset((*range(32, 127), 7, 8, 9, 10, 13, 27))
SILENT = "if it should speak without an image: is it this board's line, TX to RX, and this board's outlet?"
STEPS = ("console", "power", "speed", "boot", "shell", "image")


@dataclass(frozen=True)
class Step:
    """One step: what was seen, and what to change unless it is ``ok``; None: not known, or not tried."""

    name: str
    ok: bool | None
    seen: str = ""
    change: str = ""


@dataclass
class Check:
    """A board that is looked at; `heard` is what it has said since power-on."""

    machine: MachineSpec
    board: Board
    out: Path
    listen_s: float = LISTEN_S
    heard: bytes = field(default=b"", init=False)

    def steps(self, images: Sequence[str], settings: Settings) -> Iterator[Step]:
        """Yield each step as it was tried; after one that failed the others are not."""
        with ExitStack() as stack:
            stack.enter_context(pool.held(self.machine, what="machine check"))
            claim, last = pool.claimed(self.machine), release_argv(self.machine)
            self.machine = stack.enter_context(resolved(self.machine, left=claim.left))
            self.board = self.machine.board or self.board
            # the boot has its own
            stack.enter_context(guarded(self.machine, claim, self.out / "check-guard.log", last))
            tries: tuple[tuple[tuple[str, ...], Callable[[], Iterator[Step]]], ...] = (
                (STEPS[:3], self._line_and_power),
                (STEPS[3:], lambda: self._boot(images, settings)),
            )
            failed = False
            for names, attempt in tries:
                told: list[str] = []
                if not failed:
                    try:
                        for step in attempt():
                            told.append(step.name)
                            failed = failed or step.ok is False
                            yield step
                    except HarnessError as error:
                        failed = True
                        name = next(one for one in names if one not in told)
                        told.append(name)
                        yield Step(name, False, _seen(error), error.hint)
                for name in names:
                    if name not in told:
                        yield Step(name, None)

    def _line_and_power(self) -> Iterator[Step]:
        base = self.machine.path.parent
        source = open_console(self.board.console, base, self.out, self.board.ssh)
        try:
            absent = source.absent_s is not None
            yield Step("console", None if absent else True, "it is not there before power-on" if absent else "it opens")
            switch = Switch(self.board.power, base, self.machine.name)
            with powered(switch):
                switch.cycle(source.powered)
                state = {True: "it says it is on", False: "", None: "it cannot be asked"}[switch.status()]
                yield Step("power", True, f"{switch.way}: switched off and on; {state}")
                end = time.monotonic() + self.listen_s
                while time.monotonic() < end and len(self.heard) < MOST_HEARD:
                    data = source.read(0.2)
                    if data is None:
                        break
                    if source.absent_s is not None:  # it has a time of its own
                        end = time.monotonic() + self.listen_s
                    if data and not self.heard:
                        end = time.monotonic() + GATHER_S
                    self.heard += data
                if source.absent_s is not None:
                    raise ConsoleServerError(
                        source.why, hint="is it the right device? `ls /dev/serial/by-id` lists them"
                    )
                yield judged(self.heard, self.board, self.listen_s, source.why)
        finally:
            source.close()

    def _boot(self, images: Sequence[str], settings: Settings) -> Iterator[Step]:
        from harness.commands.images.bootable import image_of
        from harness.launch import boot
        from harness.system import BootOptions

        image = image_of(images, self.machine, settings)
        options = BootOptions(mode="wall", out=self.out, probe=image.parts.probe is not None, reboot=True)
        with boot(image, self.machine, options) as system:
            system.wait_ready()
            yield Step("boot", True, f"{image.name} was ready {system.record.host_ready_s:.1f} s after power-on")
            said = system.shell.run("uname -srm", 60).text.strip()
            yield Step("shell", True, f"it answers: {said[:80]}")
            system.prove()
            yield Step(
                "image", True, "what runs is what was built" if not image.milestones else "a foreign OS's: not compared"
            )


def judged(heard: bytes, board: Board, listen_s: float, why: str = "") -> Step:
    """Return what is to be thought of what a board has said after power-on. Pure."""
    lines = [line for line in clean(heard).decode(errors="replace").splitlines() if line.strip()]
    shown = redact(" | ".join(line.strip()[:60] for line in lines[:SHOWN]))
    serial = board.console.serial is not None
    if not heard:
        what = f"nothing was heard for {listen_s:g} s after power-on" + (f"; {why}" if why else "")
        return Step("speed", None, what, SILENT)  # some say nothing before they have an image
    noise = sum(byte not in READABLE for byte in heard) / len(heard)
    if noise > 0.3:
        hint = (
            f"another `baud` than {board.console.baud}; 115200, 9600 and 1500000 are the usual ones" if serial else ""
        )
        return Step("speed", False, f"{len(heard)} bytes were heard, {noise:.0%} of them no text", hint)
    return Step("speed", True, f"{len(heard)} bytes of text: {shown}")


def check(name: str, images: Sequence[str], settings: Settings, *, as_json: bool) -> int:
    """Look at a board, and print each step. 0: all is well, 4: something is to be changed.

    UserError when the machine is not a board, SpecError when its YAML is wrong.
    """
    from harness.scratch import scratch

    machine = load_machine(name)
    if machine.board is None:
        raise UserError(f"{machine.name} is not a board: it is QEMU's", hint="harness doctor looks at this host")
    done: list[Step] = []
    with scratch("check") as out:
        for step in Check(machine, machine.board, out).steps(images, settings):
            done.append(step)
            if not as_json:
                _tell(step)
    if as_json:
        print(json.dumps([asdict(step) for step in done], indent=1))
    return EXIT_MACHINE if any(step.ok is False for step in done) else EXIT_OK


def _tell(step: Step) -> None:
    word = {True: "ok", False: "WRONG", None: "open" if step.seen else "not tried"}[step.ok]
    print(f"{step.name:8} {word:9} {step.seen}".rstrip(), flush=True)
    if step.change:
        print(f"{'':18} to change: {step.change}", flush=True)


def _seen(error: HarnessError) -> str:
    lines = [line for line in error.details.splitlines() if line.strip()]
    return "\n".join([error.message, *(f"{'':18} {line}" for line in lines[:20])])
