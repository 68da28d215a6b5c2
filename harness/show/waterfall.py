"""A boot as a waterfall in the terminal: phases, what runs inside of each, and when."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from harness.measure import phases as phases_
from harness.measure.phases import Phase

LEAST_SHARE = 0.004  # of the whole: what takes less is summed up
NAME = 34
ON_PATH = "on path"
NUMBERS = 23  # two figures of 11 columns, and a space


def lines(phases: Sequence[Phase], width: int, *, blocks: bool = True) -> Iterator[str]:
    """Yield the waterfall, no line wider than `width`: begin and length in ms, name, and a bar where it lies.

    ``blocks``: bars of block characters, else of number signs. Small steps of one phase are one line.
    """
    line = [phase for phase in phases if not phase.under]
    if not line:
        return
    begin = line[0].start_us
    end = max(begin + 1, line[-1].start_us + line[-1].us)
    name = min(NAME, max(12, width - NUMBERS - 22))
    room = max(0, width - NUMBERS - name - 2)
    yield f"{'from':>11} {'takes ms':>11} phase"
    for phase in line:
        yield _line(phase, 0, name, room, begin, end, blocks)
        inner = [one for one in phases if one.under == phase.name]
        large = [one for one in inner if one.us < 0 or one.us >= LEAST_SHARE * (end - begin) or one.cpu_us is not None]
        for one in large:
            yield _line(one, 1, name, room, begin, end, blocks)
        rest = [one for one in inner if one not in large]
        if rest:
            yield f"{'':11} {sum(one.us for one in rest) / 1000:11.3f}   {len(rest)} smaller steps"[:width]
    yield f"{'':11} {(end - begin) / 1000:11.3f} all"


def path(phases: Sequence[Phase], width: int) -> Iterator[str]:
    """Yield what `ready` waited for, with ms, and who could have idled for how long, no line wider than `width`."""
    steps = phases_.path(phases)
    if steps:
        told = ", ".join(f"{step.name} {step.us / 1000:.3f}" for step in steps)
        yield from textwrap.wrap(f"path to ready: {told}", width, subsequent_indent="  ")
    slack = [phase for phase in phases if phase.slack_us]
    if slack:
        told = ", ".join(f"{phase.name} {(phase.slack_us or 0) / 1000:.3f}" for phase in slack)
        yield from textwrap.wrap(f"in slack: {told}", width, subsequent_indent="  ")


def _line(phase: Phase, depth: int, name: int, room: int, begin: int, end: int, blocks: bool) -> str:
    label = "  " * depth + phase.name
    cpu = [] if phase.cpu_us is None else [f"cpu {phase.cpu_us / 1000:.1f}"]
    slack = [f"slack {phase.slack_us / 1000:.1f}"] if phase.slack_us else [ON_PATH] if phase.slack_us == 0 else []
    if cpu or slack:
        label += f" ({', '.join((*cpu, *slack))})"
    if len(label) > name:
        label = label[: name - 1] + ("…" if blocks else "~")
    # where it begins and ends, in columns; the shortest has one
    left = (phase.start_us - begin) * room // (end - begin)
    right = (phase.start_us + phase.us - begin) * room // (end - begin)
    bar = " " * left + ("█" if blocks else "#") * max(1, right - left)
    return f"{phase.start_us / 1000:11.3f} {phase.us / 1000:11.3f} {label:{name}} {bar[:room]}".rstrip()
