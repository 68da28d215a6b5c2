"""What no name may hold and how long it may be: control characters, the limits of file systems and of the kernel."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any

from harness.arch import Arch
from harness.spec.text.complaints import Fault, KeyPath, Problem

LONGEST_NAME = 255  # bytes of one part of a path: NAME_MAX of every Linux file system
LONGEST_PATH = 4095  # bytes of a path: PATH_MAX less its end
# what orders text anew on a screen: a name would be read as another
_DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_BREAKS = ("Cc", "Zl", "Zp")  # control characters, line and paragraph separators
_SPACES = "\t\n"
# texts that nobody takes for a name: the bytes of files, sentences, and what programs are given
_FREE = ("contents", "description", "text", "reason", "why", "command", "env", "args", "pattern", "on_body", "off_body")


def problems(data: object, at: KeyPath = ()) -> Iterator[Problem]:
    """Find control and direction characters in a document's keys and texts, however deep."""
    if isinstance(data, dict):
        for key, value in data.items():
            if bad := _first(key, ""):
                yield Problem((*at, key), f"the key holds {bad}", "a key without it", at_key=True)
            if key not in _FREE:
                yield from problems(value, (*at, key))
    elif isinstance(data, tuple):
        for index, value in enumerate(data):
            yield from problems(value, (*at, index))
    elif isinstance(data, str) and (bad := _first(data, _SPACES)):
        yield Problem(at, f"holds {bad}", "text without it")


def file_name(name: str) -> Iterator[Problem]:
    """Judge a YAML file's own name, which is that of its image, machine or plan."""
    if bad := _first(name, ""):
        yield Problem((), f"the file's name holds {bad}", "another name: the harness shows it, and makes folders of it")


def _first(text: Any, allowed: str) -> str:
    """Return the first character that may not be in a text, in words, or an empty text."""
    for char in text if isinstance(text, str) else "":
        if char in _DIRECTION:
            return f"the direction character U+{ord(char):04X}"
        if char not in allowed and unicodedata.category(char) in _BREAKS:
            return f"the control character U+{ord(char):04X}"
    return ""


def path(text: str) -> Fault | None:
    """Judge a path of the guest: one line, and no longer than its file system takes."""
    if "\n" in text or "\t" in text:
        return Fault(f"the path {text[:80]!r} holds a line end or a tab", "a path in one line")
    longest = max((len(part.encode()) for part in text.split("/")), default=0)
    if longest > LONGEST_NAME:
        return Fault(f"a name in the path has {longest} bytes", f"at most {LONGEST_NAME}: no file system takes more")
    size = len(text.encode())
    if size > LONGEST_PATH:
        return Fault(f"the path has {size} bytes", f"at most {LONGEST_PATH}: the kernel takes no longer one")
    return None


def kernel_line(text: str, arches: Iterable[Arch]) -> Fault | None:
    """Judge a kernel command line, or a part of one, for architectures that must all take it."""
    line = text.strip()
    if "\n" in line:
        return Fault("the kernel's command line holds a line end", "words in one line")
    rows = list(arches)
    size, most = len(line.encode()), min(row.cmdline_size for row in rows) - 1  # a NUL ends it
    if size <= most:
        return None
    short = ", ".join(row.name for row in rows if row.cmdline_size <= size)
    return Fault(f"the kernel's command line has {size} bytes", f"at most {most}: Linux on {short} takes no more")
