"""The guest's words that mean it is lost, and what they mean."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Bad:
    """``needle`` is looked for first, for it is quick; then ``pattern`` after the kernel's stamp.

    ``unstamped``: after the line's start as well, while no line has borne a stamp. A kernel that has none says nothing
    else of its end; where lines bear stamps, one without is a program's, which may say anything.
    """

    what: str
    needle: bytes
    pattern: bytes
    unstamped: bool = False


BAD = (
    Bad(
        "the verified root is not what was built",
        b"dm-verity device corrupted",
        rb"Kernel panic - not syncing: dm-verity device corrupted",
        unstamped=True,
    ),
    Bad("the kernel panicked", b"Kernel panic", rb"Kernel panic - not syncing", unstamped=True),
    Bad("the kernel panicked", b"Attempted to kill init", rb"Attempted to kill init", unstamped=True),
    Bad("the kernel hit a bug", b"BUG: ", rb"BUG: (?!soft lockup)"),
    Bad("the kernel is stuck", b"soft lockup", rb"(?:watchdog: )?BUG: soft lockup"),
    Bad("the kernel hit a bug", b"kernel BUG at", rb"kernel BUG at"),
    Bad("the kernel hit an oops", b"Oops", rb"(?:Internal error: )?Oops\b"),
    Bad("the kernel hit an oops", b"Internal error", rb"Internal error: "),
    Bad("the kernel hit an oops", b"[#", rb"[^\n]{1,120}: [0-9a-f]{4}[^\n]{0,40} \[#\d+\]"),
    Bad("the kernel hit an oops", b"Unable to handle kernel", rb"Unable to handle kernel"),
    Bad("the initrd does not fit into the memory", b"Initramfs unp", rb"Initramfs unpacking failed: write error"),
    Bad("the guest ran out of memory", b"Out of memory", rb"Out of memory"),
    Bad("the guest ran out of memory", b"System is deadlocked", rb"System is deadlocked"),
)
_STAMP = rb"\[ *\d{1,9}\.\d{6}\](?:\[ *[TC]\d+\])? "
_STAMPED = tuple((bad, re.compile(_STAMP + bad.pattern)) for bad in BAD)
_PLAIN = tuple(
    (bad, re.compile(rb"(?:" + _STAMP + rb"|^)" + bad.pattern, re.M) if bad.unstamped else pattern)
    for bad, pattern in _STAMPED
)


@dataclass(frozen=True)
class GuestFailure:
    """What went wrong in the guest, and its own words."""

    what: str
    words: str


def find(text: bytes, *, stamps: bool = False) -> GuestFailure | None:
    """Return the first failure that whole lines of console text tell of, None when there is none.

    `stamps`: lines of this console bear the kernel's stamps.
    """
    hits = [
        (match.start(), bad)
        for bad, pattern in (_STAMPED if stamps else _PLAIN)
        if bad.needle in text and (match := pattern.search(text)) is not None
    ]
    if not hits:
        return None
    start, bad = min(hits, key=lambda hit: hit[0])
    end = text.find(b"\n", start)
    words = text[start : end if end >= 0 else len(text)][:500]
    return GuestFailure(bad.what, words.decode(errors="replace").strip())
