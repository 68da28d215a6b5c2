"""Boards of a labgrid lab, through its own client: a place is acquired, and its serial line and power are used.

labgrid-client is run as a program, for labgrid brings a pySerial and a pytest plugin of its own.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml

from harness import proc
from harness.board import byhand, things
from harness.board.faults import BusyError, LabError, announce
from harness.errors import HostError, UserError
from harness.proc import CommandError
from harness.spec.models.board import BoardConsole, LabgridPlace
from harness.spec.models.machine import MachineSpec
from harness.spec.models.power import PowerCommands

CLIENT = "labgrid-client"
TIMEOUT_S = 60.0
POLL_S = 2.0
MINE = "You have already acquired place"  # by a process of ours that died, or by hand
BY_HAND = "this user, by hand,"
SCHEMES = {"rfc2217": "rfc2217", "raw": "socket"}  # of a NetworkSerialPort's `protocol`
# the client's words: place NAME is already acquired by HOST/USER (or by another place); is reserved for TOKEN; newer
# ones go on with another sentence
_TAKEN = re.compile(r"(?:already acquired by|is reserved for) (place '[^']*'|[^\s',)]+?)(?=\.?(?:[\s',)]|$))")
_TOKEN = re.compile(r"^export LG_TOKEN=([A-Z0-9]{4,32})$", re.MULTILINE)


@contextmanager
def resolved(
    machine: MachineSpec, wait_s: float | None = None, say: Callable[[str], None] = announce, *, left: bool = False
) -> Iterator[MachineSpec]:
    """Give the machine with the console and power of its labgrid place, acquired as long as the block lasts.

    A machine without ``lab`` is given as it is. HostError without labgrid's client, LabError when the place cannot be
    had or lacks what is asked of it, BusyError when somebody else has it for `wait_s` seconds (the YAML's unless
    given); `say` is told who. With `left` a process of ours died with it, and the place that this user has already is
    that one's; else a person's. A place that `take_place` has stays acquired.
    """
    board = machine.board
    if board is None or board.lab is None:
        yield machine
        return
    place, wait_s = board.lab.labgrid, board.limits.free if wait_s is None else wait_s
    with ExitStack() as stack:
        name = place.place or f"+{_reserve(place, stack, wait_s)}"
        if not _is_kept(machine):
            # a place that was taken until a moment which is over is still acquired: nobody was there to give it back
            lapsed = _has_lapsed(machine)
            _acquire(place, name, machine.name, wait_s, say, left=left or lapsed)
            if lapsed:
                byhand.give(things.names(machine))
            stack.callback(_client, place, name, "release")
        changes: dict[str, Any] = {"lab": None}  # it has been asked
        if board.console.labgrid:
            changes["console"] = _console(_resources(_client(place, name, "env")), machine.name)
        if board.power.labgrid:
            changes["power"] = board.power.model_copy(update={"labgrid": False, "command": _power(place, name)})
        yield machine.driven(**changes)


def release_argv(machine: MachineSpec) -> tuple[str, ...]:
    """Return the program that gives a machine's place back, for who outlives this process; empty where there is none.

    A reservation ends by itself; what a person has taken is that person's to give back.
    """
    if machine.board is None or machine.board.lab is None or not machine.board.lab.labgrid.place or _is_kept(machine):
        return ()
    place = machine.board.lab.labgrid
    return (*_argv(place, place.place), "release")


def take_place(machine: MachineSpec, say: Callable[[str], None] = announce) -> None:
    """Acquire a machine's labgrid place until `give_place`; nothing to do without one.

    UserError where any place with some tags will do; errors as `resolved`'s.
    """
    if (place := _own_place(machine)) is not None and machine.board is not None:
        left = _has_lapsed(machine)
        _acquire(place, place.place, machine.name, machine.board.limits.free, say, left=left)


def give_place(machine: MachineSpec) -> None:
    """Release a machine's labgrid place; LabError when the lab refuses to."""
    if (place := _own_place(machine)) is not None:
        _client(place, place.place, "release")


def _own_place(machine: MachineSpec) -> LabgridPlace | None:
    if machine.board is None or machine.board.lab is None:
        return None
    place = machine.board.lab.labgrid
    if not place.place:
        raise UserError(
            f"{machine.name} is any place of the lab that has its tags",
            hint="only a place with a name is taken by hand: give lab.labgrid.place in a file of its own",
        )
    return place


def _is_kept(machine: MachineSpec) -> bool:
    """Say whether this user has taken the machine by hand, and its place with it."""
    holder = byhand.taken(things.names(machine))
    return holder is not None and byhand.is_mine(holder)


def _has_lapsed(machine: MachineSpec) -> bool:
    return byhand.lapsed(things.names(machine)) is not None


def _acquire(
    place: LabgridPlace, name: str, machine: str, wait_s: float, say: Callable[[str], None], *, left: bool
) -> None:
    """Acquire a place as soon as whoever has it gives it back."""
    deadline, told = time.monotonic() + wait_s, ""
    while True:
        try:
            _client(place, name, "acquire")
            return
        except LabError as error:
            if MINE in error.details and left:
                return
            found = _TAKEN.search(error.details)
            if found is None and MINE not in error.details:
                raise
            taken = found[1] if found else BY_HAND
            if time.monotonic() >= deadline:
                raise BusyError(
                    f"{machine} is not free within {wait_s:g} s: {taken} has its labgrid place {name}",
                    details=error.details,
                    hint="" if found else f"labgrid-client -p {name} release, if nobody is at work there",
                ) from error
        if taken != told:
            told = taken
            say(f"waiting for {machine}, for {wait_s:g} s at most: {told} has its labgrid place {name}")
        time.sleep(POLL_S)


def _reserve(place: LabgridPlace, stack: ExitStack, wait_s: float) -> str:
    tags = [f"{key}={value}" for key, value in place.tags.items()]
    said = _client(place, "", "reserve", "--wait", "--shell", *tags, timeout=wait_s)
    match = _TOKEN.search(said)
    if match is None:
        raise LabError("labgrid gave no reservation", details=said[-500:])
    stack.callback(_client, place, "", "cancel-reservation", match[1])
    return match[1]


def _client(place: LabgridPlace, name: str, *words: str, timeout: float = TIMEOUT_S) -> str:
    try:
        done = proc.run([*_argv(place, name), *words], env=dict(os.environ), timeout=timeout)
    except CommandError as error:
        raise LabError(
            f"labgrid refuses to {words[0]} {name or 'a place'}",
            details=error.stderr.strip()[-1000:],
            hint="labgrid-client who and labgrid-client places show how the lab stands",
        ) from error
    return done.stdout.decode(errors="replace")


def _argv(place: LabgridPlace, name: str) -> list[str]:
    own = Path(sys.executable).with_name(CLIENT)
    try:
        program = proc.resolve(str(own) if own.exists() else CLIENT)
    except HostError as error:
        hint = "pipx install labgrid, or install this package with its extra [labgrid]"
        raise HostError(error.message, hint=hint) from error
    return [program, *(("-x", place.coordinator) if place.coordinator else ()), *(("-p", name) if name else ())]


def _resources(text: str) -> Mapping[str, Mapping[str, Any]]:
    """Return a place's resources by class, of what `labgrid-client env` says: the first of each."""
    try:
        said = yaml.safe_load(text)
        rows = [row for target in said["targets"].values() for row in target["resources"]]
        found: dict[str, Mapping[str, Any]] = {}
        for row in rows:
            for kind, params in row.items():
                found.setdefault(str(kind), dict(params))
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise LabError("labgrid's client describes no place", details=text[-500:]) from error
    return found


def _console(resources: Mapping[str, Mapping[str, Any]], name: str) -> BoardConsole:
    port = resources.get("NetworkSerialPort", {})
    scheme, host = SCHEMES.get(str(port.get("protocol", "rfc2217"))), str(port.get("host", ""))
    if scheme is None or not host or not isinstance(port.get("port"), int):
        raise LabError(
            f"the labgrid place of {name} has no serial line to be used",
            hint=f"it has: {', '.join(resources) or 'nothing'}",
        )
    host, speed = (f"[{host}]" if ":" in host else host), port.get("speed")
    console = BoardConsole(serial=f"{scheme}://{host}:{port['port']}")
    return console.model_copy(update={"baud": speed}) if isinstance(speed, int) and speed >= 50 else console


def _power(place: LabgridPlace, name: str) -> PowerCommands:
    argv = (*_argv(place, name), "power")
    return PowerCommands(on=(*argv, "on"), off=(*argv, "off"), status=(*argv, "get"))
