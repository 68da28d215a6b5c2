"""`harness machine on`, `off`, `cycle`, `console`, `take` and `give`: a person at a board."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from harness.board import byhand, pool, things
from harness.board.consoles import open_console
from harness.board.labgrid import give_place, resolved, take_place
from harness.board.power import Switch
from harness.errors import MachineError, UserError
from harness.moments import moment
from harness.spec import load_machine
from harness.spec.models.machine import MachineSpec
from harness.system.console import Console
from harness.system.interact import interact
from harness.system.listener import Listener
from harness.system.transcript import Transcript

BUSY_S = 5.0  # for whoever has the board to give it back: a person who waits can ask again


@dataclass(frozen=True)
class ByHandOptions:
    """What `take` and `give` are asked for: until when (a span, an hour, a moment), why, and another's as well."""

    until: str | None = None
    why: str = ""
    force: bool = False


def act(action: str, name: str, asked: ByHandOptions) -> int:
    """Do one of `ACTIONS` at the board of a YAML file; UserError for what is not a board. Returns 0."""
    machine = load_machine(name)
    if machine.board is None:
        hint = "harness boot starts it and ends with it"
        raise UserError(f"{machine.name} is QEMU: there is no board to switch or to take", hint=hint)
    print(ACTIONS[action](machine, asked), file=sys.stderr)
    return 0


def _switch(action: str) -> Callable[[MachineSpec, ByHandOptions], str]:
    def switched(machine: MachineSpec, _: ByHandOptions) -> str:
        with _at_hand(machine, action) as there:
            assert there.board is not None
            switch = Switch(there.board.power, there.path.parent, there.name)
            getattr(switch, action)()
            state = switch.status()
        wanted = "off" if action == "off" else "on"
        return (
            f"{machine.name} is {wanted}" if state is not None else f"{machine.name} was switched {wanted}: {_UNASKED}"
        )

    return switched


_UNASKED = "its switch cannot be asked how it stands"


def _console(machine: MachineSpec, _: ByHandOptions) -> str:
    """Let the person at the terminal speak with the board as it is, until Ctrl-] or the console's end."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UserError("harness machine console needs a terminal", hint="harness boot --run COMMAND needs none")
    with _at_hand(machine, "console") as there, tempfile.TemporaryDirectory() as folder:
        assert there.board is not None
        source = open_console(there.board.console, there.path.parent, Path(folder), there.board.ssh)
        began = time.monotonic()
        words = Transcript(Path(folder) / "transcript.log", {})
        console = Console(source, Listener(words), lambda: time.monotonic() - began)
        try:
            left = interact(console)
        finally:
            console.close()
            words.close()
        if not left:
            raise console.error or MachineError(
                f"the console of {machine.name} ended: {source.why or 'without a word'}"
            )
    return f"{machine.name} is as you left it"


def _take(machine: MachineSpec, asked: ByHandOptions) -> str:
    until = moment(asked.until, datetime.now(), "time to give it back").at if asked.until else None
    with pool.held(machine, what="harness machine take"):
        names = things.names(machine)
        if byhand.taken(names) is None:  # else it is this user's, and its place too
            take_place(machine)
        found = byhand.take(names, until, " ".join(asked.why.split()))
    return f"{machine.name} is taken by {found}\ngive it back with: harness machine give {machine.path}"


def _give(machine: MachineSpec, asked: ByHandOptions) -> str:
    names = things.names(machine)
    holder = byhand.taken(names) or byhand.lapsed(names)
    if holder is None:
        raise UserError(f"{machine.name} is taken by nobody", hint="harness machine list FOLDER shows what is")
    if not byhand.is_mine(holder) and not asked.force:
        raise UserError(f"{machine.name} is taken by {holder}", hint="ask there; --force gives it back all the same")
    if byhand.is_mine(holder):
        give_place(machine)
    byhand.give(names)
    assert machine.board is not None
    kept = machine.board.lab is not None and not byhand.is_mine(holder)
    return f"{machine.name} is free{f' here; {holder.user} has its place in the lab, as before' if kept else ''}"


@contextmanager
def _at_hand(machine: MachineSpec, action: str) -> Iterator[MachineSpec]:
    """Have the board for as long as the block lasts, with its labgrid place where it has one."""
    with pool.held(machine, what=f"harness machine {action}", wait_s=BUSY_S):
        with resolved(machine, left=pool.was_left(machine)) as there:
            yield there


ACTIONS: Mapping[str, Callable[[MachineSpec, ByHandOptions], str]] = {
    **{name: _switch(name) for name in ("on", "off", "cycle")},
    "console": _console,
    "take": _take,
    "give": _give,
}
