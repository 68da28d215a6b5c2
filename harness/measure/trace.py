"""What the kernel did while it booted, from its own trace: initcalls and modules with their times. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from harness.errors import ImageError
from harness.measure.phases import Phase

# Words on the command line of a boot whose trace is to be shown: the image's, and the kernel's. Processes at the same
# addresses each time need the same number of page tables (`norandmaps`). The buffer holds some 20,000 events; a Debian
# kernel's boot makes 1,400.
EVENTS = ("initcall:*", "module:module_load", "syscalls:sys_enter_finit_module", "syscalls:sys_exit_finit_module")
APPEND = ("harness.trace", "harness.serial", "norandmaps", f"trace_event={','.join(EVENTS)}", "trace_buf_size=2M")

_COUNT = re.compile(rb"^# entries-in-buffer/entries-written: (\d+)/(\d+) ", re.MULTILINE)
# TASK-PID [CPU] FLAGS SECONDS.MICROSECONDS: EVENT
_LINE = re.compile(
    rb"^ *.{1,16}-(?P<pid>\d+) +\[\d+\] \S+ +(?P<s>\d+)\.(?P<us>\d{6}): (?P<event>.{1,200})$", re.MULTILINE
)
_INITCALL = re.compile(
    rb"initcall_(?P<step>start|finish): func=(?P<name>[\w.]{1,80})\+0x[0-9a-f]+/0x[0-9a-f]+(?: ret=-?\d+)?$"
)
_LOADED = re.compile(rb"module_load: (?P<name>[\w-]{1,64})")


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


def steps(found: Sequence[TraceEvent]) -> list[Phase]:
    """Return the kernel's initcalls and the modules that were loaded, in order, as phases that are part of none yet.

    A module's time is that of its whole system call: reading, checking its signature, linking and its own initcall.
    """
    return sorted([*_initcalls(found), *_modules(found)], key=lambda phase: (phase.start_us, phase.name))


def _initcalls(found: Iterable[TraceEvent]) -> Iterator[Phase]:
    began: dict[int, tuple[bytes, int]] = {}
    for event in found:
        match = _INITCALL.match(event.what)
        if match is None:
            continue  # a module's initcall has another form, and is counted with its module
        if match["step"] == b"start":
            began[event.pid] = (match["name"], event.us)
        elif event.pid in began:
            name, start = began.pop(event.pid)
            if name == match["name"]:
                yield Phase(f"initcall/{name.decode()}", start, event.us - start)


def _modules(found: Iterable[TraceEvent]) -> Iterator[Phase]:
    began: dict[int, int] = {}
    names: dict[int, str] = {}
    for event in found:
        loaded = _LOADED.match(event.what)
        if event.what.startswith(b"sys_finit_module("):
            began[event.pid] = event.us
        elif loaded:
            names[event.pid] = loaded["name"].decode()
        elif event.what.startswith(b"sys_finit_module ->") and event.pid in began:
            start, name = began.pop(event.pid), names.pop(event.pid, "")
            if name:  # else it was there already, or was refused
                yield Phase(f"module/{name}", start, event.us - start)


def placed(line: Sequence[Phase], inner: Sequence[Phase]) -> list[Phase]:
    """Return `inner` as parts of the main line's phases in whose time they began; what is in none is left out."""
    found = []
    for phase in inner:
        around = next((one for one in line if one.start_us <= phase.start_us < one.start_us + one.us), None)
        if around is not None:
            found.append(replace(phase, under=around.name))
    return found


def explained(plain: Sequence[Phase], traced: Sequence[Phase], inner: Sequence[Phase]) -> list[Phase]:
    """Return a plain boot's phases with the steps of a traced one, each where it lay in its phase.

    Tracing costs a little, so a step's time is the traced boot's, and its phase's the plain one's.
    """
    starts = {phase.name: phase.start_us for phase in plain if not phase.under}
    line = [phase for phase in traced if not phase.under]
    before = {phase.name: phase.start_us for phase in line}
    steps_ = [
        replace(step, start_us=step.start_us - before[step.under] + starts[step.under])
        for step in placed(line, inner)
        if step.under in starts
    ]
    return [*plain, *steps_]


def totals(inner: Iterable[Phase]) -> dict[str, int]:
    """Return µs by name; steps of one name (there are static functions of the same name) are added up."""
    found: dict[str, int] = {}
    for phase in inner:
        found[phase.name] = found.get(phase.name, 0) + phase.us
    return found
