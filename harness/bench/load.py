"""What a bench does to the host beside the measured: keeps it busy, or keeps itself to some cores."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from harness import proc

# as in boot/process.py: ended by the kernel with its starter, or by itself when that was gone already
LOOP = '[ "$PPID" = "$0" ] || exit 0; while :; do :; done'


@contextmanager
def busy(loops: int) -> Iterator[list[int]]:
    """Keep `loops` processes busy while in the block (main thread only); give their pids."""
    argv = [proc.resolve("setpriv"), "--pdeathsig", "KILL", "--", "/bin/sh", "-c", LOOP, str(os.getpid())]
    with ExitStack() as stack:
        pids = []
        for _ in range(loops):
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True)
            stack.callback(process.wait)
            stack.callback(process.kill)
            pids.append(process.pid)
        yield pids


@contextmanager
def on_cores(count: int) -> Iterator[int]:
    """Keep this process and what it starts to at most `count` cores; give how many they are."""
    before = os.sched_getaffinity(0)
    chosen = sorted(before)[:count]
    os.sched_setaffinity(0, chosen)
    try:
        yield len(chosen)
    finally:
        os.sched_setaffinity(0, before)
