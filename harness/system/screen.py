"""What a person sees of a console: all of it but the harness's own marks, which would stand in their prompt. Pure."""

from __future__ import annotations

import re
import threading

from harness.system.milestones import STAMP

_MARK = re.compile(STAMP + rb"harness: [^\r\n]*\r*\n")
_CALLER = rb"(?:\[ *[TC]?\d*\]?)?"
_WORD = b"".join(b"(?:%c" % letter for letter in b"harness:") + rb"(?: [^\r\n]*\r*)?" + b")?" * len("harness:")
# the end of what has come that may become a mark
_BEGUN = re.compile(rb"\[ *\d{0,9}(?:(?<=\d)\.(?:\d{0,5}|\d{6}(?:\]" + _CALLER + rb"(?: " + _WORD + rb")?)?))?$")


class Screen:
    """Takes a console's bytes as they come, and gives those to be shown. Both threads of a session may call it."""

    def __init__(self) -> None:
        self._held = b""
        self._heard = False
        self._lock = threading.Lock()

    def feed(self, data: bytes) -> bytes:
        """Return what is to be shown now: a line that may become a mark is held back."""
        with self._lock:
            self._heard = True
            whole = _MARK.sub(b"", self._held + data)
            begun = _BEGUN.search(whole)
            at = begun.start() if begun else len(whole)
            self._held = whole[at:]
            return whole[:at]

    def idle(self) -> bytes:
        """Return what was held back, when nothing has come since the last call: it became no mark."""
        with self._lock:
            heard, self._heard = self._heard, False
            if heard:
                return b""
            held, self._held = self._held, b""
            return held
