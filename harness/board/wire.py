"""What a serial line takes of the times at which a boot is heard; pure: arrival times, byte counts and stamps in.

A line of B baud takes 10/B s for each character (start bit, 8 bits, stop bit), and what is said meanwhile waits. The
kernel stamps its lines with a clock of its own that runs as fast as this host's: the line that came soonest after its
stamp tells when that clock was zero, and what another one came later than by that clock is what the line took of it.

What this cannot know: the delay that no line escaped (of the adapter, the console's server, the network, and up to
`harness.system.channels.GATHER_S` of this host); when a milestone without a stamp was said; and that a kernel which
waits until its console has taken a line is slower for it. A stamp that a bad line has changed is left out where the
next one contradicts it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace

from harness.system.milestones import STAMP, Milestone
from harness.system.text import clean

BITS = 10  # of a character on the line
BACK_S = 0.1  # a stamp is of another boot when it is so much lower than the one before: processors print out of order
LONGEST_LINE = 4096  # bytes
MOST_BOOTS = 1000
_STAMPED = re.compile(STAMP)


@dataclass
class LineBoot:
    """A boot on the line: when its first stamp was heard, and the earliest moment of its clock's zero (s)."""

    since_s: float
    zero_s: float | None = None


class Wire:
    """Learns from a console's bytes as they come when each boot's clock was zero. Times in s of any one clock."""

    def __init__(self, baud: int | None) -> None:
        """`baud` is None where the line's speed is not known: then a line's own characters count as no delay."""
        self._character_s = BITS / baud if baud else 0.0
        self._rest = b""
        self._boots: list[LineBoot] = []
        self._held: tuple[float, float] | None = None  # stamp and zero of the last line, until the next one agrees

    def hear(self, data: bytes, now_s: float) -> None:
        """Take the bytes that had come by `now_s`."""
        *lines, rest = (self._rest + data).split(b"\n")
        left = len(data)  # the rest of an earlier piece came before
        for number, line in enumerate(lines):
            left -= len(line) + 1 - (len(self._rest) if number == 0 else 0)
            if match := _STAMPED.match(clean(line[:LONGEST_LINE])):
                came_s = now_s - left * self._character_s  # at the latest: those after it took their time
                stamp_s = int(match["s"]) + int(match["us"]) / 1e6
                self._take(stamp_s, came_s, came_s - (len(line) + 1) * self._character_s - stamp_s)
        self._rest = rest[-LONGEST_LINE:]

    def _take(self, stamp_s: float, came_s: float, zero_s: float) -> None:
        again = self._held is not None and stamp_s < self._held[0] - BACK_S
        if self._held is not None and not again:
            self._believe(self._held[1])
        if (again or not self._boots) and len(self._boots) < MOST_BOOTS:
            self._boots.append(LineBoot(came_s))
        self._held = stamp_s, zero_s

    def _believe(self, zero_s: float) -> None:
        boot = self._boots[-1]
        boot.zero_s = zero_s if boot.zero_s is None else min(boot.zero_s, zero_s)

    def zero_s(self, since_s: float) -> float | None:
        """Return when the clock of the first boot heard after `since_s` was zero; None when that is not known."""
        return next((boot.zero_s for boot in self._boots if boot.since_s >= since_s), None)

    def timed(self, marks: Iterable[Milestone], on_s: float) -> list[Milestone]:
        """Return `marks`, heard since `on_s`, each with what the line took of its time where that is known."""
        return [replace(mark, line_s=self._took(mark, on_s)) for mark in marks]

    def _took(self, mark: Milestone, on_s: float) -> float | None:
        if mark.guest_us is None:
            return None
        heard_s = on_s + mark.host_s
        number = bisect_right([boot.since_s for boot in self._boots], heard_s) - 1
        if number < 0:
            return None
        zero_s = self._boots[number].zero_s
        if zero_s is None and self._held is not None:  # its only line so far
            zero_s = self._held[1]
        if zero_s is None:
            return None
        return round(max(0.0, heard_s - zero_s - mark.guest_us / 1e6), 6)
