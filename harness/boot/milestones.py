"""Boot marks on the console, and what their counters mean. The syntax is in docs/architecture.md."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime

from harness.boot.qemu import RTC_BASE

PREFIX = b" harness: "
# The kernel's stamp, perhaps its caller (CONFIG_PRINTK_CALLER), then the mark up to the end of its line.
MARK = re.compile(
    rb"\[ *(?P<s>\d{1,9})\.(?P<us>\d{6})\](?:\[ *[TC]\d+\])? harness: "
    rb"(?P<step>[\w./:@+-]{1,120}(?: [a-z]{1,20})?)(?P<values>(?: [a-z_]+=[\w.:/+-]{1,64}){0,8})[ \r]*$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Milestone:
    """A mark: the guest's stamp (µs of the kernel's clock) and the host's (s since QEMU's start)."""

    name: str
    guest_us: int | None
    host_s: float
    values: dict[str, str] = field(default_factory=dict)


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
