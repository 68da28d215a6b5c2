"""What a cell asks of a host, what a host announces, and which cells go out next. Pure.

Both are quantities of Dask's worker resources. Dask's scheduler finds a worker that has what a task asks for; what is
here holds back as many cells as find no free place, the shortest, so that no long one is begun last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.run.cells import Cell

PLACE, MEMORY, KVM = "cells", "memory", "kvm"  # cells at once, MiB for their guests, whether KVM can be tried
AHEAD = 2  # places of all hosts for which cells are left, and one more is handed over to each host
Asked = Mapping[str, float]


def of_arch(name: str) -> str:
    """Return the resource of a host that has an architecture's QEMU."""
    return f"qemu {name}"


def of_board(name: str) -> str:
    """Return the resource of the one host that holds a board."""
    return f"board {name}"


def asks(cell: Cell, overhead: int) -> dict[str, float]:
    """Return what a cell asks of a host; `overhead` is the MiB that a QEMU takes besides its guest's memory.

    A board that is reached through labgrid's coordinator is any host's.
    """
    board, qemu = cell.spec.board, cell.spec.qemu
    if board is not None:
        through_labgrid = board.lab is not None and board.lab.labgrid is not None
        return {PLACE: 1} if through_labgrid else {PLACE: 1, of_board(cell.machine): 1}
    wants_kvm = qemu is not None and qemu.accel == "kvm"
    return {
        PLACE: 1,
        of_arch(cell.arch): 1,
        MEMORY: cell.spec.host_memory + overhead,
        **({KVM: 1} if wants_kvm else {}),
    }


@dataclass(frozen=True)
class Host:
    """A worker as Dask's scheduler tells of it."""

    address: str
    threads: int
    resources: Asked

    def room(self, asked: Asked) -> int:
        """Return how many cells that ask for this it takes at once."""
        shares = (int(self.resources.get(name, 0) // amount) for name, amount in asked.items() if amount)
        return min((self.threads, *shares))


@dataclass(frozen=True)
class Waiting:
    """A cell that is not under way: what it asks for, and about how long it takes."""

    id: str
    asked: Asked
    cost: float

    @property
    def kind(self) -> frozenset[tuple[str, float]]:
        """What cells share that ask for the same."""
        return frozenset(self.asked.items())


def room(hosts: Iterable[Host], asked: Asked) -> int:
    """Return how many cells that ask for this all hosts take at once."""
    return sum(host.room(asked) for host in hosts)


def next_out(waiting: Sequence[Waiting], under_way: Sequence[Waiting], hosts: Sequence[Host]) -> Iterator[Waiting]:
    """Yield the cells to hand over now: of those that fewest hosts can take first, then the longest.

    As many as find a place, in all and of those that ask for the same; while many are left one more for each host, so
    that it need not wait for its next. Towards the end none lies where it cannot be begun.
    """
    places = sum(min(host.threads, int(host.resources.get(PLACE, 0))) for host in hosts)
    ahead = len(hosts) if len(waiting) > AHEAD * places else 0
    free = places + ahead - len(under_way)
    rooms = {one.kind: room(hosts, one.asked) for one in {one.kind: one for one in waiting}.values()}
    taken = Counter(one.kind for one in under_way)
    for one in sorted(waiting, key=lambda one: (rooms[one.kind], -one.cost, one.id)):
        if free <= 0:
            return
        if 0 < rooms[one.kind] > taken[one.kind] - ahead:
            taken[one.kind] += 1
            free -= 1
            yield one
