"""What a host can do, announced as resources of its Dask worker: a module that Dask's workers load (``--preload``)."""

from __future__ import annotations

import platform
import signal
import socket
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import click

from harness import paths
from harness.arch import ARCHES
from harness.cluster import matching
from harness.emulator import accel
from harness.run.cells import qemu_problem
from harness.store import digest_of, file_digest
from harness.system import host, limits


def resources(boards: Iterable[str] = (), places: int | None = None, share: int = 1) -> dict[str, float]:
    """Return what a worker of this host announces, of which there are `share`.

    `places` is how many cells it takes at once, by the host's cores and memory if None.
    """
    count = places or limits.guests(limits.SMALLEST)
    able = [arch for arch in ARCHES.values() if not qemu_problem(arch)]
    found: dict[str, float] = {matching.PLACE: count, matching.MEMORY: (host.spare_memory() - limits.RESERVE) // share}
    found |= {matching.of_arch(arch.name): count for arch in able}
    if any(not accel.unusable(arch) for arch in able):
        found[matching.KVM] = count
    return found | {matching.of_board(name): 1 for name in boards}


def mine(boards: Iterable[str], names: Iterable[str]) -> list[str]:
    """Return the boards of this host: of ``NAME``, and of ``NAME@HOST`` where that is one of its names."""
    known = set(names)
    return [name for name, _, where in (one.partition("@") for one in boards) if not where or where in known]


@lru_cache
def own_code() -> str:
    """Return a digest of the harness that this process runs: who runs another measures something else."""
    there = (path for path in sorted(paths.PACKAGE.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)
    return digest_of([[str(path.relative_to(paths.PACKAGE)), file_digest(path)] for path in there])


@click.command()
@click.option("--board", multiple=True)
@click.option("--places", type=int)
@click.option("--share", type=int, default=1)
def dask_setup(worker: Any, board: tuple[str, ...], places: int | None, share: int) -> None:
    """Let a Dask worker, which has just begun, announce what its host can do."""
    names = (worker.ip, worker.name, platform.node(), socket.gethostname(), socket.getfqdn())
    found = resources(mine(board, names), places, share)
    worker.state.total_resources |= found
    worker.state.available_resources |= found
    if worker.nanny:  # which ends it: Ctrl-C of a terminal is for whoever waits for the cells
        signal.signal(signal.SIGINT, signal.SIG_IGN)
