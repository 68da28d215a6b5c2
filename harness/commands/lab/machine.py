"""`harness machine`: the lab, who has which board, which are set aside; and what a person does with one."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.board import pool
from harness.board.labgrid import resolved
from harness.board.power import Switch
from harness.build.settings import Settings
from harness.commands.lab.machine_byhand import ACTIONS, ByHandOptions
from harness.commands.lab.machine_byhand import act as by_hand
from harness.errors import UserError
from harness.spec import load_machine
from harness.spec.models.machine import MachineSpec
from harness.spec.rules.plan import is_path
from harness.spec.rules.references import machines

FREE_S = 5.0  # for a board that somebody has taken meanwhile


@dataclass(frozen=True)
class MachineRow:
    """A machine and how it stands: ``state`` is free, taken or aside."""

    name: str
    kind: str
    tags: tuple[str, ...]
    state: str
    detail: str = ""


def row(machine: MachineSpec) -> MachineRow:
    """Return how a machine stands now; what is not a board is always free."""
    kind = "QEMU" if machine.board is None else "board"
    if machine.board is not None:
        if pool.is_aside(machine):
            return MachineRow(machine.name, kind, machine.tags, "aside", str(pool.faults(machine)))
        if holder := pool.owner(machine) or pool.taken_by_hand(machine):
            return MachineRow(machine.name, kind, machine.tags, "taken", f"by {holder}")
        if dead := pool.left_by(machine):
            return MachineRow(
                machine.name, kind, machine.tags, "free", f"perhaps on: it was left by {dead}, which has died"
            )
    return MachineRow(machine.name, kind, machine.tags, "free")


def act(
    action: str, names: Sequence[str], images: Sequence[str], settings: Settings, asked: ByHandOptions, *, as_json: bool
) -> int:
    """Do what the command line asks for; UserError when it names no machine, or several where one is meant."""
    one = names[0] if len(names) == 1 else ""
    if action == "list":
        return show([Path(name) for name in names], as_json=as_json)
    if action == "free" and one:
        return free(one)
    if action == "check" and one:
        from harness.commands.lab.machine_check import check

        return check(one, images or ["minimal"], settings, as_json=as_json)
    if action in ACTIONS and one:
        return by_hand(action, one, asked)
    given = f"{len(names)} were given" if names else "none was given"
    which = "NAME" if action == "free" else "FILE.yml"
    raise UserError(
        f"harness machine {action} takes one machine, and {given}", hint=f"harness machine {action} {which}"
    )


def show(places: Sequence[Path], *, as_json: bool) -> int:
    """Print the machines of these files and folders, of the harness's own ones where none is named."""
    rows = [row(load_machine(path)) for path in _files(places)]
    if as_json:
        print(json.dumps([_json(one) for one in rows], indent=1))
        return 0
    width = max((len(one.name) for one in rows), default=0)
    for one in rows:
        print(f"{one.name:{width}}  {one.kind:5}  {one.state:5}  {' '.join(one.tags)}".rstrip())
        if one.detail:
            print(f"{'':{width}}  {one.detail}")
    return 0


def free(name: str) -> int:
    """Bring back a board that was set aside, and switch one off whose owner died; UserError when it was neither.

    The second needs the board's YAML: a name alone tells nothing of its switch.
    """
    machine = load_machine(name) if is_path(name) else None
    off = machine is not None and _switched_off(machine)
    if not (pool.free(machine) if machine else pool.free_named(name)) and not off:
        raise UserError(f"{name} is not set aside", hint="harness machine list FOLDER shows the boards that are")
    print(f"{name} is {'off and ' if off else ''}back", file=sys.stderr)
    return 0


def _switched_off(machine: MachineSpec) -> bool:
    """Switch a board off whose owner died, and say whether there was anything to do."""
    if machine.board is None or pool.left_by(machine) is None:
        return False
    with pool.held(machine, what="harness machine free", wait_s=FREE_S), resolved(machine, left=True) as there:
        assert there.board is not None
        Switch(there.board.power, there.path.parent, there.name).off()
    return True


def _files(places: Sequence[Path]) -> list[Path]:
    if not places:
        return list(machines().values())
    found = [path for place in places for path in (sorted(place.glob("*.yml")) if place.is_dir() else [place])]
    if not found:
        raise UserError("there is no machine's YAML there", hint="name files, or folders with *.yml in them")
    return found


def _json(one: MachineRow) -> dict[str, Any]:
    return {**one.__dict__, "tags": list(one.tags)}
