"""Milestones on the console: boot marks, whose syntax is in docs/architecture.md, or a foreign OS's patterns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, Protocol

from harness.arch import ARCHES
from harness.image import Bootable
from harness.patterns import compiled
from harness.spec.models.packet import PacketPattern, packet_pattern
from harness.system.frames import Frame, packet_of
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
_STAMPED_LINES = re.compile(rb"^" + STAMP, re.MULTILINE)
_READY_LINE = re.compile(rb" harness: ready\b[^\n]*\n")
RTC_BASE = "2026-01-01"  # of exact boots: measured TOD clocks start there
LONGEST_SEARCHED = 1000  # bytes of a line in which a pattern is looked for


Clock = Literal["emulator", "guest", "host"]


@dataclass(frozen=True)
class Milestone:
    """A mark: the guest's stamp (µs of the kernel's clock) and the host's, when it was heard (s since power-on).

    ``emulator_us`` is when it left as a frame, in µs of the emulator's clock since power-on; None when it did not, or
    was not counted. ``line_s`` is what a board's serial line took of the host's time; None where that is not known or
    there is none. ``waited_s`` is how long QEMU's processor, by then, had waited for one of the host's (s); None where
    nobody counts that. ``higher_us`` is a stamp that was heard before it although it is higher; None where none was.
    """

    name: str
    guest_us: int | None
    host_s: float
    values: dict[str, str] = field(default_factory=dict)
    line_s: float | None = None
    emulator_us: int | None = None
    higher_us: int | None = None
    waited_s: float | None = None

    @property
    def said_s(self) -> float:
        """When it was said, as far as that is known (s of the host since power-on)."""
        return self.host_s - (self.line_s or 0.0)

    @property
    def clock(self) -> Clock:
        """Whose clock tells when it was: the emulator's, which no guest can write to, before the guest's own."""
        if self.emulator_us is not None:
            return "emulator"
        return "host" if self.guest_us is None else "guest"


class Finder(Protocol):
    """Finds an image's milestones in what its console says and in the frames that it sends."""

    @property
    def awaited(self) -> str:
        """What is looked for next, in words; empty when that is not known."""

    def find(self, raw: bytes, lines: bytes, host_s: float) -> tuple[list[Milestone], int]:
        """Return the milestones in whole lines, given as they came and cleaned, and where in `raw` ready is.

        That is the end of its line, or the beginning where it bears no stamp; -1 when ready is not among them.
        """

    def glance(self, unfinished: bytes, host_s: float) -> tuple[list[Milestone], bool]:
        """Return the milestones in a line that has not ended, for a prompt never does, and whether ready is there."""

    def sent(self, frames: Sequence[Frame], host_s: float) -> list[Milestone]:
        """Return the milestones among the frames that the guest has sent."""


def finder(image: Bootable) -> Finder:
    """Return what finds the milestones of `image`."""
    if not image.milestones:
        return Marks()
    return Patterns(
        [(row.name, packet_pattern(row.packet) if row.packet else row.pattern or "") for row in image.milestones]
    )


class Marks:
    """Finds boot marks."""

    awaited = ""

    def find(self, raw: bytes, lines: bytes, host_s: float) -> tuple[list[Milestone], int]:
        ready = _READY_LINE.search(raw)
        return parse(lines, host_s), ready.end() if ready else -1

    def glance(self, unfinished: bytes, host_s: float) -> tuple[list[Milestone], bool]:
        return [], False

    def sent(self, frames: Sequence[Frame], host_s: float) -> list[Milestone]:
        return []


class Patterns:
    """Finds milestones by patterns of lines, one after another: each counts from where the one before was found.

    A line that bears the kernel's stamp gives its milestone the guest's time; another one has the host's alone. A
    packet gives its milestone the emulator's. Lines and packets come by two ways, neither of which waits for the other;
    the milestones are given in the order of the rows.
    """

    def __init__(self, rows: Sequence[tuple[str, str | PacketPattern]]) -> None:
        self._rows = list(rows)
        self._lines = [(at, compiled(wanted)) for at, (_, wanted) in enumerate(rows) if isinstance(wanted, str)]
        self._packets = [(at, wanted) for at, (_, wanted) in enumerate(rows) if not isinstance(wanted, str)]
        self._found: dict[int, Milestone] = {}
        self._given = 0

    @property
    def awaited(self) -> str:
        missing = next((row for at, row in enumerate(self._rows) if at not in self._found), None)
        if missing is None:
            return ""
        name, wanted = missing
        if isinstance(wanted, str):
            return f"no line had the pattern {wanted!r} of the milestone {name!r}"
        return f"no packet {wanted} left, which is the milestone {name!r}"

    def find(self, raw: bytes, lines: bytes, host_s: float) -> tuple[list[Milestone], int]:
        place, at = -1, 0
        for came, line in zip(raw.split(b"\n"), lines.split(b"\n"), strict=False):
            if not self._lines:
                break
            at += len(came) + 1
            if self._in(line, host_s):
                stamped = self._found[len(self._rows) - 1].guest_us is not None
                place = min(at, len(raw)) if stamped else at - len(came) - 1
        return self._next(), place

    def glance(self, unfinished: bytes, host_s: float) -> tuple[list[Milestone], bool]:
        # what may bear a stamp is read when it is whole: when its pieces come is the host's affair
        if not self._lines or (line := clean(unfinished[:LONGEST_SEARCHED])).startswith(b"["):
            return [], False
        ready = self._in(line, host_s)
        return self._next(), ready

    def sent(self, frames: Sequence[Frame], host_s: float) -> list[Milestone]:
        for frame in frames if self._packets else ():
            packet = packet_of(frame.data)
            while packet and self._packets and self._packets[0][1].fits(packet.protocol, packet.port):
                at = self._packets.pop(0)[0]
                self._found[at] = Milestone(self._rows[at][0], None, host_s, emulator_us=frame.at_us)
        return self._next()

    def _in(self, line: bytes, host_s: float) -> bool:
        """Look for milestones in a line; say whether ready, the last row, is one."""
        line, at = line[:LONGEST_SEARCHED], -1
        while self._lines and self._lines[0][1].search(line):
            at = self._lines.pop(0)[0]
            stamp = _STAMPED.match(line)
            guest_us = int(stamp["s"]) * 1_000_000 + int(stamp["us"]) if stamp else None
            self._found[at] = Milestone(self._rows[at][0], guest_us, host_s)
        return at == len(self._rows) - 1

    def _next(self) -> list[Milestone]:
        first = self._given
        while self._given in self._found:
            self._given += 1
        return [self._found[at] for at in range(first, self._given)]


class Stamps:
    """Watches the kernel's stamps at the beginning of lines: time does not run backwards."""

    def __init__(self) -> None:
        self._highest = -1

    @property
    def seen(self) -> bool:
        """Whether any line has borne a stamp."""
        return self._highest >= 0

    def after(self, lines: bytes, found: Sequence[Milestone]) -> list[Milestone]:
        """Return the milestones found in whole lines, each with the higher stamp that was heard before it, if any."""
        looked_for = {mark.guest_us for mark in found}
        higher: dict[int, int] = {}
        for stamp in _STAMPED_LINES.finditer(lines) if lines.startswith(b"[") or b"\n[" in lines else ():
            us = int(stamp["s"]) * 1_000_000 + int(stamp["us"])
            if us in looked_for and us < self._highest:
                higher.setdefault(us, self._highest)
            self._highest = max(self._highest, us)
        if not higher:
            return list(found)
        return [replace(mark, higher_us=higher.get(mark.guest_us or -1)) for mark in found]


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


def power_on_us(arch: str, mark: Milestone) -> int | None:
    """Return the µs from power-on to the kernel's clock zero by an exact boot's `mark`; None when it has no counter."""
    text = mark.values.get("counter", "")
    row = ARCHES.get(arch)
    if row is None or mark.guest_us is None or not re.fullmatch(r"(0x)?[0-9a-fA-F]{1,16}", text):
        return None
    start = _tod_at_power_on() if row.counter_since_1900 else 0
    return round((int(text, 16) - start) / row.counter_per_us) - mark.guest_us
