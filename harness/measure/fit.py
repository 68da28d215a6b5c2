"""Whether a guest behaves when it is measured as it does else: a counted boot beside one in wall time. Pure.

An image can tell that its instructions are counted, and do its slow work only where nobody counts. Then its boot in
wall time takes longer than the counted one explains.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median_low
from typing import TYPE_CHECKING

from harness.measure.phases import phases

if TYPE_CHECKING:
    from harness.system.record import BootRecord

# How much longer a stretch may take in wall time than in counted time, beside what the kernel's own start took longer
# on the same host, and what a host that is busy for a moment may add.
FACTOR = 8.0
SLACK_US = 3_000_000
READY = "ready"
# Of how many stretches, of how many counted microseconds each, a median is taken; and what it may come to.
LEAST, LEAST_US, MOST = 3, 10_000, 10.0


def misfits(exact: BootRecord, wall: BootRecord) -> tuple[str, ...]:
    """Return in words where the guest's clock of a wall boot does not fit an exact boot of the same image; () when it
    fits. Either without a stamp at ready says nothing: () as well."""
    if exact.ready_us is None or wall.ready_us is None:
        return ()
    counted = {phase.name: phase.us for phase in phases(exact)} | {READY: exact.ready_us}
    taken = {phase.name: phase.us for phase in phases(wall)} | {READY: wall.ready_us}
    return tuple(_late(counted, taken, scale(counted, taken)))


def scale(counted: dict[str, int], taken: dict[str, int]) -> float:
    """Return how many times as long a stretch takes in wall time: as the first, the kernel's, which no program slows.

    A kernel that mostly unpacks itself is slowed less than what follows: where most of that takes longer still, the
    median of it counts, up to `MOST` times the kernel's. What comes before the kernel's clock is known of counted boots
    alone.
    """
    first, *rest = (name for name in counted if name in taken)
    kernels = taken[first] / max(1, counted[first])
    others = [taken[name] / counted[name] for name in rest if name != READY and counted[name] >= LEAST_US]
    if len(others) < LEAST:
        return kernels
    return max(kernels, min(median_low(others), MOST * kernels))


def _late(counted: dict[str, int], taken: dict[str, int], scale: float) -> Iterator[str]:
    for name, us in taken.items():
        if name not in counted:
            yield f"{name}: takes {us / 1e3:.0f} ms in wall time, and is not there when it is counted"
            continue
        most = counted[name] * scale * FACTOR + SLACK_US
        if us > most:
            yield (
                f"{name}: takes {us / 1e3:.0f} ms in wall time and {counted[name] / 1e3:.0f} ms when it is counted, on "
                f"a host where the kernel's start, or most of the rest, takes {scale:.1f} times as long; "
                f"{most / 1e3:.0f} ms would fit"
            )
