"""Whether a guest behaves when it is measured as it does else: a counted boot beside one in wall time. Pure.

An image can tell that its instructions are counted, and do its slow work only where nobody counts. Then its boot in
wall time takes longer than the counted one explains: of that the host's own clock tells, less what QEMU waited for a
processor of a busy host. A boot that counts runs the same code on the same host, so its own time by that clock is the
measure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING

from harness.measure.phases import Phase, phases

if TYPE_CHECKING:
    from harness.system.milestones import Milestone
    from harness.system.record import BootRecord

READY = "ready"
# How many times as long as the counted boot took (by the host's clock, and by the time it counted) a stretch may take
# in wall time, and what a host may add.
TIMES = 4.0
SLACK_US = 3_000_000
# And how many times as much longer than it is counted as the kernel's start, which no program slows: to ready, and a
# stretch of it, for a kernel that mostly unpacks itself is slowed less than what follows. An image that makes the
# counted boot itself slow gets no more by that.
FACTOR, MOST = 8.0, 32.0


@dataclass(frozen=True)
class _Stretch:
    """A stretch of both boots in µs: as it was counted, of the host's time while it was, and in wall time."""

    name: str
    counted: int
    hosts: int
    taken: int
    under: str = ""


def misfits(exact: BootRecord, wall: BootRecord) -> tuple[str, ...]:
    """Return in words where a wall boot does not fit an exact boot of the same image on the same host; () when it fits.

    An exact boot without a time of ready says nothing: () as well.
    """
    wall = _unwaited(exact, wall)
    if exact.ready_us is None or wall.ready_us is None:
        return ()
    hosts = dict(_hosts(exact))
    counted = {one.name: one for one in [*phases(exact), Phase(READY, 0, exact.ready_us)]}
    taken = {one.name: one for one in [*phases(wall), Phase(READY, 0, wall.ready_us)]}
    both = [_Stretch(name, counted[name].us, hosts.get(name, 0), one.us, one.under)
            for name, one in taken.items() if name in counted]  # fmt: skip
    new = [f"{name}: takes {one.us / 1e3:.0f} ms in wall time, and is not there when it is counted"
           for name, one in taken.items() if name not in counted]  # fmt: skip
    return (*new, *_late(both))


def _late(stretches: list[_Stretch]) -> Iterator[str]:
    kernels = stretches[0].taken / max(1, stretches[0].counted)
    most = {one.name: _most(one, kernels) for one in stretches}
    for one in stretches:
        fits = max(most[one.name], most.get(one.under, 0))  # services run side by side: one may take what all take
        if one.taken > fits:
            yield (
                f"{one.name}: takes {one.taken / 1e3:.0f} ms in wall time, and {one.counted / 1e3:.0f} ms when it is "
                f"counted, which took the host {one.hosts / 1e3:.0f} ms; {fits / 1e3:.0f} ms would fit"
            )


def _most(one: _Stretch, kernels: float) -> float:
    """Return how long a stretch may take where the kernel's start takes `kernels` times as long as it is counted."""
    by_host = TIMES * (one.hosts + one.counted)
    by_kernel = (FACTOR if one.name == READY else MOST) * kernels * one.counted
    return min(by_host, by_kernel) + SLACK_US


def _own_us(mark: Milestone) -> float:
    """Return when a mark was heard, in µs since power-on, less what QEMU had waited for a processor by then."""
    return (mark.host_s - (mark.waited_s or 0.0)) * 1e6


def _unwaited(exact: BootRecord, wall: BootRecord) -> BootRecord:
    """Return a wall boot whose times are the host's, without what QEMU waited: as the guest's clock would tell them.

    They begin where those of the exact boot do: at power-on, or at the kernel's clock zero.
    """
    sent = exact.foreign and exact.ready_clock == "emulator"
    timed = {mark.name for mark in exact.milestones if (mark.emulator_us if sent else mark.guest_us) is not None}
    marks = [mark for mark in wall.milestones if mark.name in timed or not exact.foreign]
    if not marks:
        return replace(wall, ready_us=None)
    first, zero = marks[0], 0.0
    if not sent and first.guest_us is not None and first.host_s:
        zero = _own_us(first) - first.guest_us * _own_us(first) / (first.host_s * 1e6)
    times = accumulate((max(0, round(_own_us(mark) - zero)) for mark in marks), max)
    found = tuple(replace(mark, guest_us=us, emulator_us=None) for mark, us in zip(marks, times, strict=True))
    ready = next((mark.guest_us for mark in found if mark.name == READY), None)
    return replace(wall, milestones=found, ready_us=ready, ready_clock="host")


def _hosts(exact: BootRecord) -> Iterator[tuple[str, int]]:
    """Yield how long each stretch of an exact boot took the host at most, in µs.

    Its console is a file that QEMU writes to when it gets to it, and marks may be heard together: then a stretch began
    after what was heard before.
    """
    sent = exact.foreign and exact.ready_clock == "emulator"
    times = [(mark.emulator_us if sent else mark.guest_us, mark) for mark in exact.milestones]
    heard = dict(times)
    for one in phases(exact):
        end, start = heard.get(one.start_us + one.us), heard.get(one.start_us)
        before = [_own_us(mark) for mark in exact.milestones if start and mark.host_s < start.host_s]
        if end:
            yield one.name, max(0, round(_own_us(end) - max(before, default=0.0)))
    ready = next((mark for mark in exact.milestones if mark.name == READY), None)
    if ready:
        yield READY, round(_own_us(ready))
