"""Milestones on the console: boot marks, whose syntax is in docs/architecture.md, or a foreign OS's patterns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from harness.image import Bootable
from harness.patterns import Pattern, compiled
from harness.system.text import clean

PREFIX = b" harness: "
# The kernel's stamp, perhaps its caller (CONFIG_PRINTK_CALLER), then the mark up to the end of its line.
STAMP = rb"\[ *(?P<s>\d{1,9})\.(?P<us>\d{6})\](?:\[ *[TC]\d+\])? "
MARK = re.compile(
    STAMP + rb"harness: "
    rb"(?P<step>[\w./:@+-]{1,120}(?: [a-z]{1,20})?)(?P<values>(?: [a-z_]+=[\w.:/+-]{1,64}){0,8})[ \r]*$",
    re.MULTILINE,
)
_STAMPED = re.compile(STAMP)
_READY_LINE = re.compile(rb" harness: ready\b[^\n]*\n")
RTC_BASE = "2026-01-01"  # of exact boots: measured TOD clocks start there
LONGEST_SEARCHED = 1000  # bytes of a line in which a pattern is looked for


@dataclass(frozen=True)
class Milestone:
    """A mark: the guest's stamp (µs of the kernel's clock) and the host's, when it was heard (s since power-on).

    ``line_s`` is what a board's serial line took of the host's; None where that is not known or there is none.
    """

    name: str
    guest_us: int | None
    host_s: float
    values: dict[str, str] = field(default_factory=dict)
    line_s: float | None = None

    @property
    def said_s(self) -> float:
        """When it was said, as far as that is known (s of the host since power-on)."""
        return self.host_s - (self.line_s or 0.0)


class Finder(Protocol):
    """Finds an image's milestones in what its console says."""

    @property
    def awaited(self) -> str:
        """What is looked for next, in words; empty when that is not known."""

    def find(self, raw: bytes, lines: bytes, host_s: float) -> tuple[list[Milestone], int]:
        """Return the milestones in whole lines, given as they came and cleaned, and where in `raw` ready is.

        That is the end of its line, or the beginning where it bears no stamp; -1 when ready is not among them.
        """

    def glance(self, unfinished: bytes, host_s: float) -> list[Milestone]:
        """Return the milestones in a line that has not ended: a prompt never does."""


def finder(image: Bootable) -> Finder:
    """Return what finds the milestones of `image`."""
    return Patterns([(row.name, row.pattern) for row in image.milestones]) if image.milestones else Marks()


class Marks:
    """Finds boot marks."""

    awaited = ""

    def find(self, raw: bytes, lines: bytes, host_s: float) -> tuple[list[Milestone], int]:
        ready = _READY_LINE.search(raw)
        return parse(lines, host_s), ready.end() if ready else -1

    def glance(self, unfinished: bytes, host_s: float) -> list[Milestone]:
        return []


class Patterns:
    """Finds milestones by patterns, one after another: each counts from where the one before was found.

    A line that bears the kernel's stamp gives its milestone the guest's time; another one has the host's alone.
    """

    def __init__(self, rows: Sequence[tuple[str, str]]) -> None:
        self._rows = list(rows)
        self._compiled: list[Pattern] = [compiled(pattern) for _, pattern in rows]
        self._next = 0

    @property
    def awaited(self) -> str:
        if self._next == len(self._rows):
            return ""
        name, pattern = self._rows[self._next]
        return f"no line had the pattern {pattern!r} of the milestone {name!r}"

    def find(self, raw: bytes, lines: bytes, host_s: float) -> tuple[list[Milestone], int]:
        found: list[Milestone] = []
        place, at = -1, 0
        for came, line in zip(raw.split(b"\n"), lines.split(b"\n"), strict=False):
            if self._next == len(self._rows):
                break
            new = self._in(line, host_s)
            at += len(came) + 1
            found += new
            if new and self._next == len(self._rows):
                place = min(at, len(raw)) if new[-1].guest_us is not None else at - len(came) - 1
        return found, place

    def glance(self, unfinished: bytes, host_s: float) -> list[Milestone]:
        # what may bear a stamp is read when it is whole: when its pieces come is the host's affair
        if self._next == len(self._rows) or (line := clean(unfinished[:LONGEST_SEARCHED])).startswith(b"["):
            return []
        return self._in(line, host_s)

    def _in(self, line: bytes, host_s: float) -> list[Milestone]:
        line = line[:LONGEST_SEARCHED]
        first = self._next
        while self._next < len(self._rows) and self._compiled[self._next].search(line):
            self._next += 1
        stamp = _STAMPED.match(line)
        guest_us = int(stamp["s"]) * 1_000_000 + int(stamp["us"]) if stamp else None
        return [Milestone(name, guest_us, host_s) for name, _ in self._rows[first : self._next]]


def parse(text: bytes, host_s: float) -> list[Milestone]:
    """Return the marks in `text`, whole lines that had come by `host_s`; anything else in it is passed over."""
    if PREFIX not in text:
        return []
    return [
        Milestone(
            name=match["step"].decode(errors="replace"),
            guest_us=int(match["s"]) * 1_000_000 + int(match["us"]),
            host_s=host_s,
            values=dict(pair.split("=", 1) for pair in match["values"].decode(errors="replace").split()),
        )
        for match in MARK.finditer(text)
    ]


def _tod_at_power_on() -> int:
    """Return s390x's TOD clock at power-on as QEMU sets it.

    It turns whole seconds into TOD units before it multiplies by 10^9 (hw/s390x/tod-tcg.c), so what is lost of the
    unit counts a billion times: up to a quarter of a second, 146.484375 ms at this base.
    """
    seconds = int(datetime.fromisoformat(f"{RTC_BASE}T00:00:00+00:00").timestamp())
    return 0x7D91_048B_CA00_0000 + (seconds * 512 // 125) * 1_000_000_000  # the first is TOD at 1970


# architecture: (counts a microsecond, the count at power-on), of exact boots
COUNTERS: dict[str, tuple[float, int]] = {
    "x86_64": (1000.0, 0),
    "arm64": (62.5, 0),
    "s390x": (4096.0, _tod_at_power_on()),
}


def power_on_us(arch: str, mark: Milestone) -> int | None:
    """Return the µs from power-on to the kernel's clock zero by an exact boot's `mark`; None when it has no counter."""
    text = mark.values.get("counter", "")
    if arch not in COUNTERS or mark.guest_us is None or not re.fullmatch(r"(0x)?[0-9a-fA-F]{1,16}", text):
        return None
    per_us, start = COUNTERS[arch]
    return round((int(text, 16) - start) / per_us) - mark.guest_us
