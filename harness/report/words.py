"""How pages write numbers and what strangers wrote. Pure."""

from __future__ import annotations

import re

from harness.text import lines

DIGEST = 12  # letters of a digest or commit that are shown


def visible(text: str) -> str:
    """Return a stranger's text with what cannot be seen, or would turn the text around it, as escapes: \\u202e.

    Control characters, marks of direction, halves of surrogates (invalid UTF-8 becomes those) and the like.
    """
    return lines(text, None)


def ms(us: float | None, digits: int = 3) -> str:
    """Return µs as ms."""
    return "–" if us is None else f"{us / 1000:.{digits}f}"


def megabytes(size: float | None) -> str:
    """Return bytes as MB of 10^6."""
    return "–" if size is None else f"{size / 1e6:.2f}"


def data(size: float) -> str:
    """Return bytes with the unit that fits."""
    for unit, name, digits in ((1e6, "MB", 2), (1e3, "kB", 1)):
        if abs(size) >= unit:
            return f"{size / unit:.{digits}f} {name}"
    return f"{size:.0f} bytes"


def amount(mode: str, value: float, *, signed: bool = False) -> str:
    """Return a value of a series with its unit: a size in bytes, else µs."""
    sign = "+" if signed and value > 0 else "−" if value < 0 else ""
    value = abs(value)
    if mode == "size":
        return sign + data(value)
    return f"{sign}{value / 1000:.{0 if mode == 'wall' else 3}f} ms"


def part(old: float, new: float) -> str:
    """Return a change in per cent of what was before."""
    return f"{(new - old) / old * 100:+.2f} %".replace("-", "−") if old else "new"


def plural(count: int, one: str, many: str = "") -> str:
    """Return a count with its noun."""
    return f"{count:,} {one if count == 1 else many or one + 's'}".replace(",", " ")


def moment(when: str) -> str:
    """Return a run's time as people read it: 2026-11-24 09:35 UTC."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d):\d\dZ", when)
    return f"{match[1]} {match[2]} UTC" if match else when
