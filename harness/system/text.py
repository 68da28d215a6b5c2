"""Console bytes made readable: terminal codes and control characters go, everything else stays."""

from __future__ import annotations

import re

# CSI, OSC and two-character sequences (ECMA-48), each bounded: a stranger's bytes may never end one.
CODES = re.compile(rb"\x1b(?:\[[0-?]{0,32}[ -/]{0,8}[@-~]|\][^\x07\x1b\n]{0,256}(?:\x07|\x1b\\)|[ -/]{0,4}[0-Z\\^-~])")
_UNFINISHED = re.compile(rb"\x1b(?:\[[0-?]{0,32}[ -/]{0,8}|\][^\x07\x1b\n]{0,256}\x1b?|[ -/]{0,4})$")
_CONTROLS = bytes(byte for byte in range(32) if byte not in b"\t\n\x1b") + b"\x7f"


def clean(data: bytes) -> bytes:
    """Return `data` without terminal codes and control characters; lines end in a newline alone."""
    if b"\x1b" in data:
        data = CODES.sub(b"", data).replace(b"\x1b", b"")
    return data.translate(None, _CONTROLS)


class Stripper:
    """Strips terminal codes from a stream, also those cut in two by its pieces."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Return the next piece without codes; the beginning of one is held back until it is whole."""
        data, self._held = self._held + data, b""
        if b"\x1b" not in data:
            return data
        unfinished = _UNFINISHED.search(data)
        if unfinished:
            data, self._held = data[: unfinished.start()], unfinished.group()
        return CODES.sub(b"", data)
