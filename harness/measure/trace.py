"""What a kernel recorded of its boot, as it shows that on the console. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.errors import ImageError

# What is recorded: who runs when, for whom, and what of the kernel runs in it (account.py).
EVENTS = (
    "initcall:*",
    "module:module_load",
    "syscalls:sys_enter_finit_module",
    "syscalls:sys_exit_finit_module",
    "sched:sched_switch",
    "sched:sched_process_fork",
    "sched:sched_process_exec",
    "workqueue:workqueue_execute_start",
    "workqueue:workqueue_execute_end",
    "printk:console",
)
# Words on the command line of a boot whose trace is to be shown: the image's, and the kernel's. Processes at the same
# addresses each time need the same number of page tables (`norandmaps`). The buffer holds some 40,000 events; a boot of
# a Debian kernel with four services makes 4,300.
APPEND = ("harness.trace", "norandmaps", f"trace_event={','.join(EVENTS)}", "trace_buf_size=4M")

_COUNT = re.compile(rb"^# entries-in-buffer/entries-written: (\d+)/(\d+) ", re.MULTILINE)
# TASK-PID [CPU] FLAGS SECONDS.MICROSECONDS: EVENT
_LINE = re.compile(
    rb"^ *.{1,16}-(?P<pid>\d+) +\[\d+\] \S+ +(?P<s>\d+)\.(?P<us>\d{6}): (?P<event>.{1,200})$", re.MULTILINE
)


@dataclass(frozen=True)
class TraceEvent:
    """One line of the trace: when (µs of the kernel's clock), by which task, and what."""

    us: int
    pid: int
    what: bytes


def events(console: bytes) -> list[TraceEvent]:
    """Return the trace that a console shows; ImageError when it has none, or not all of it.

    The head of the kernel's text says how many lines there are, so one that was lost or mangled is noticed.
    """
    counts = list(_COUNT.finditer(console))
    if not counts:
        raise ImageError("the console shows no trace", hint="the kernel needs CONFIG_EVENT_TRACING and tracefs")
    head = counts[-1]
    kept, written = int(head[1]), int(head[2])
    found = [
        TraceEvent(int(match["s"]) * 1_000_000 + int(match["us"]), int(match["pid"]), match["event"])
        for match in _LINE.finditer(console.replace(b"\r", b""), head.end())
    ]
    if kept != written:
        raise ImageError(f"the trace's beginning is lost: {written} events, of which {kept} fit the kernel's buffer")
    if len(found) != kept:
        raise ImageError(f"the console shows {len(found)} of the trace's {kept} events")
    return found
