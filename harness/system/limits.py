"""How many guests may run at once."""

from __future__ import annotations

from harness.system import host

OVERHEAD = 256  # MiB of QEMU itself: translated code, device models
RESERVE = 512  # MiB left to the host
SMALLEST = 256  # MiB of the smallest guest, where it is not known yet which there will be
SPARE = 1  # guest more than cores: a case that waits for its guest (restarts, time limits) leaves a core idle


def guests(memory: int) -> int:
    """Return how many guests of `memory` MiB the host can take at once: by cores and free memory, at least 1."""
    room = (host.spare_memory() - RESERVE) // (memory + OVERHEAD)
    return max(1, min(host.cores() + SPARE, room))
