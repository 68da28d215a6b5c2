"""The guest's words that mean it is lost, and what they mean."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Bad:
    """``needle`` is looked for first, for it is quick; then ``pattern`` after the line's start or its stamp."""

    what: str
    needle: bytes
    pattern: bytes
    stamped: bool = True  # only in a line that bears the kernel's stamp: programs may say such words too


BAD = (
    Bad("the kernel panicked", b"Kernel panic", rb"Kernel panic - not syncing", stamped=False),
    Bad("the kernel panicked", b"Attempted to kill init", rb"Attempted to kill init", stamped=False),
    Bad("the kernel hit a bug", b"BUG: ", rb"BUG: (?!soft lockup)"),
    Bad("the kernel is stuck", b"soft lockup", rb"(?:watchdog: )?BUG: soft lockup"),
    Bad("the kernel hit a bug", b"kernel BUG at", rb"kernel BUG at"),
    Bad("the kernel hit an oops", b"Oops", rb"(?:Internal error: )?Oops\b"),
    Bad("the kernel hit an oops", b"Internal error", rb"Internal error: "),
    Bad("the kernel hit an oops", b"[#", rb"[^\n]{1,120}: [0-9a-f]{4}[^\n]{0,40} \[#\d+\]"),
    Bad("the kernel hit an oops", b"Unable to handle kernel", rb"Unable to handle kernel"),
    Bad("the guest ran out of memory", b"Out of memory", rb"Out of memory"),
    Bad("the guest ran out of memory", b"System is deadlocked", rb"System is deadlocked"),
)
_STAMP = rb"\[ *\d{1,9}\.\d{6}\](?:\[ *[TC]\d+\])? "
_PATTERNS = tuple(
    (bad, re.compile(rb"(?:" + _STAMP + rb"|^)" + bad.pattern if not bad.stamped else _STAMP + bad.pattern, re.M))
    for bad in BAD
)


@dataclass(frozen=True)
class GuestFailure:
    """What went wrong in the guest, and its own words."""

    what: str
    words: str


def find(text: bytes) -> GuestFailure | None:
    """Return the first failure that whole lines of console text tell of, None when there is none."""
    hits = [
        (match.start(), bad)
        for bad, pattern in _PATTERNS
        if bad.needle in text and (match := pattern.search(text)) is not None
    ]
    if not hits:
        return None
    start, bad = min(hits, key=lambda hit: hit[0])
    end = text.find(b"\n", start)
    words = text[start : end if end >= 0 else len(text)][:500]
    return GuestFailure(bad.what, words.decode(errors="replace").strip())
