"""Whose turn it is at a board: locks that end with their owner, boards that take each other's place, boards set aside.

All users of a host share one folder (HARNESS_LAB). A lock is the kernel's, so that nothing is left of a dead owner.
"""

from __future__ import annotations

import getpass
import os
import random
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from harness.board import byhand, locks, things
from harness.board.faults import BusyError, LabError, announce
from harness.board.locks import Claim, Owner, lab
from harness.errors import ImageError, MachineError, UserError
from harness.spec.models.machine import MachineSpec
from harness.store import digest_of

MOST_FAULTS = 2  # in a row, and a board is set aside
POLL_S = 0.2
_mine: dict[tuple[str, Path], Claim] = {}  # the boards of this process


@dataclass(frozen=True)
class BoardFaults:
    """How often a board has failed as a machine in a row, and how it did last."""

    count: int
    when: str
    reason: str

    @property
    def aside(self) -> bool:
        """Whether that is often enough to leave it alone."""
        return self.count >= MOST_FAULTS

    def __str__(self) -> str:
        return f"failed {self.count} times in a row, the last time at {self.when}: {self.reason}"


def key_of(machine: MachineSpec) -> str:
    """Return a board's name in the lab, for its faults: its own, and what tells it from another of that name."""
    board = machine.board
    assert board is not None
    return f"{machine.name}-{digest_of([board.console.model_dump(), board.power.model_dump()])[:8]}"


def _id(machine: MachineSpec) -> tuple[str, Path]:
    """Return what tells a board of this process from another: relative programs are of the YAML's folder."""
    return key_of(machine), machine.path.parent.absolute()


def equals(machine: MachineSpec) -> list[MachineSpec]:
    """Return the boards that may serve where `machine` is asked for: itself, and those beside it with its pool's tags.

    The machine itself is the first.
    """
    from harness.spec import load_machine

    found = [machine]
    if machine.board is None or not machine.board.pool:
        return found
    for path in sorted(machine.path.parent.glob("*.yml")):
        with suppress(UserError):  # whoever asks for that one is told what is wrong with it
            other = load_machine(path) if path.resolve() != machine.path.resolve() else machine
            if other.board and other.arch == machine.arch and set(machine.board.pool) <= set(other.tags):
                found += [other] if other is not machine else []
    return found


@contextmanager
def reserved(
    machine: MachineSpec,
    *,
    avoid: Collection[str] = (),
    what: str = "",
    wait_s: float | None = None,
    say: Callable[[str], None] = announce,
) -> Iterator[MachineSpec]:
    """Give `machine`, or a board that may take its place, for oneself as long as the block lasts.

    A MachineError that leaves the block is noted as the board's fault unless it is a LabError; a good end, or an
    ImageError, as its good work. Boards named in `avoid` are taken last. BusyError when none is free within `wait_s`
    seconds (the YAML's unless given), MachineError when all are set aside.
    What is not a board is given at once; what a person has taken by hand is that person's.
    """
    if machine.board is None:
        yield machine
        return
    taken = _wait(equals(machine), avoid, what, machine.board.limits.free if wait_s is None else wait_s, say)
    try:
        yield taken
    except LabError:
        raise  # nothing is known of the board itself
    except MachineError as error:
        _note(taken, error.message)
        raise
    except ImageError:
        _forget(taken)
        raise
    else:
        _forget(taken)
    finally:
        _give_back(taken)


@contextmanager
def held(
    machine: MachineSpec, *, what: str = "", wait_s: float | None = None, say: Callable[[str], None] = announce
) -> Iterator[None]:
    """Have a board for oneself, also one that is set aside; nothing to wait for where this process has it already.

    One that this user has taken by hand is free here. `say` is told at once who has it. BusyError when it is not free
    within `wait_s` seconds, the YAML's unless given.
    """
    if machine.board is None or _id(machine) in _mine:
        yield
        return
    wait_s = machine.board.limits.free if wait_s is None else wait_s
    deadline, told = time.monotonic() + wait_s, False
    while not _take(machine, by_hand=True):
        if time.monotonic() >= deadline:
            raise BusyError(f"{machine.name} is not free within {wait_s:g} s", details=_taken([machine]))
        if not told:
            told = True
            say(f"waiting for a board, for {wait_s:g} s at most:\n{_taken([machine])}")
        time.sleep(POLL_S)
    try:
        _own(machine, what)
        yield
    finally:
        _give_back(machine)


def _own(machine: MachineSpec, what: str) -> None:
    _mine[_id(machine)].own(Owner(os.getpid(), getpass.getuser(), _now(), what))


def _give_back(machine: MachineSpec) -> None:
    _mine.pop(_id(machine)).give_back()


def claimed(machine: MachineSpec) -> Claim:
    """Return what this process has of a board that it has: its locks, and the files that say whose it is."""
    return _mine[_id(machine)]


def was_left(machine: MachineSpec) -> bool:
    """Say to who has a board now whether the owner before died with it: it may be on."""
    return _id(machine) in _mine and claimed(machine).left


def left_by(machine: MachineSpec) -> Owner | None:
    """Return who died with a board that nobody has now; None when its last owner gave it back."""
    return None if owner(machine) is not None else locks.left_by(things.names(machine))


def _wait(
    boards: list[MachineSpec], avoid: Collection[str], what: str, wait_s: float, say: Callable[[str], None]
) -> MachineSpec:
    deadline, told = time.monotonic() + wait_s, False
    while True:
        left = [one for one in boards if not is_aside(one)]
        if not left:
            raise MachineError(
                f"{boards[0].name} is set aside" + (", and so is all that could take its place" if boards[1:] else ""),
                details="\n".join(f"{one.name}, {faults(one)}" for one in boards),
                hint=f"see what is wrong with it (harness machine check), then: harness machine free {boards[0].name}",
            )
        fresh = [one for one in left if one.name not in avoid] or left
        for one in [*fresh[:1], *random.sample(fresh[1:], len(fresh) - 1)]:
            if _take(one, by_hand=False):
                if is_aside(one):  # meanwhile
                    _mine.pop(_id(one)).release()
                    continue
                _own(one, what)
                return one
        if time.monotonic() >= deadline:
            raise BusyError(f"no board is free within {wait_s:g} s", details=_taken(left))
        if not told:
            told = True
            say(f"waiting for a board, for {wait_s:g} s at most:\n{_taken(left)}")
        time.sleep(POLL_S)


def owner(machine: MachineSpec) -> Owner | None:
    """Return who has a board now, or one of its things by another file; None when it is free."""
    names = things.names(machine)
    return locks.left_by(names) if _id(machine) in _mine else locks.owner_of(names)


def faults(machine: MachineSpec) -> BoardFaults:
    """Return how a board has failed lately."""
    try:
        return BoardFaults(**locks.read(_faults_file(machine)))
    except TypeError:
        return BoardFaults(0, "", "")


def is_aside(machine: MachineSpec) -> bool:
    """Say whether a board is set aside."""
    return faults(machine).aside


def free(machine: MachineSpec) -> bool:
    """Bring a board back that was set aside; say whether it was."""
    was = is_aside(machine)
    _forget(machine)
    return was


def free_named(name: str) -> bool:
    """Bring back every board of this name that was set aside; say whether there was one."""
    found = [path for path in lab().glob("*.faults.json") if path.name.removesuffix(".faults.json")[:-9] == name]
    for path in found:
        path.unlink(missing_ok=True)
    return bool(found)


def _note(machine: MachineSpec, reason: str) -> None:
    locks.write(_faults_file(machine), asdict(BoardFaults(faults(machine).count + 1, _now(), reason)))


def _forget(machine: MachineSpec) -> None:
    with suppress(FileNotFoundError):
        _faults_file(machine).unlink()


def _taken(boards: list[MachineSpec]) -> str:
    return "\n".join(f"{one.name}: {owner(one) or taken_by_hand(one) or 'free just now'}" for one in boards)


def taken_by_hand(machine: MachineSpec) -> byhand.TakenBoard | None:
    """Return who has taken a board by hand; None when nobody has."""
    return byhand.taken(things.names(machine))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _faults_file(machine: MachineSpec) -> Path:
    return lab() / f"{key_of(machine)}.faults.json"


def _take(machine: MachineSpec, *, by_hand: bool) -> bool:
    """Take a board if it is free; what another thread has, or a block around this one, is not.

    Nor is what a person has taken by hand; with `by_hand` it is free to that person.
    """
    names = things.names(machine)
    holder = byhand.taken(names)
    if holder and not (by_hand and byhand.is_mine(holder)):
        return False
    if _id(machine) in _mine or (taken := locks.claim(names)) is None:
        return False
    _mine[_id(machine)] = taken
    return True
