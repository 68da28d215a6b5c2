"""Makes sense of console bytes as they come: transcript, marks, failures, digests, the last lines."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from harness.system import failures
from harness.system.failures import GuestFailure
from harness.system.frames import MOST_WITNESSED, Frame, WitnessFrame, witness_of
from harness.system.milestones import Finder, Marks, Milestone, Stamps
from harness.system.text import clean
from harness.system.transcript import Transcript

LONGEST_LINE = 16 << 10  # bytes; a longer line is cut
TAIL_BYTES = 16 << 10
MOST_MILESTONES = 10_000
READY = "ready"


class Listener:
    """Takes pieces of a console's bytes with the time they came (s since QEMU's start); keeps little of them."""

    def __init__(self, transcript: Transcript, finder: Finder | None = None, awaited: Sequence[str] = ()) -> None:
        self.transcript = transcript
        self.missing = {text.encode(): text for text in awaited}  # of these, what no line has held yet
        self.finder = finder or Marks()
        self.milestones: list[Milestone] = []
        self.witness: list[WitnessFrame] = []  # the marks that left as frames
        self.failure: GuestFailure | None = None
        self.heard_s: float | None = None  # when the last byte came
        self.sha256_ready = ""
        self._sha256 = hashlib.sha256()
        self._stamps = Stamps()
        self._pending = b""  # a line not ended yet
        self._tail = b""

    def feed(self, data: bytes, host_s: float) -> None:
        """Take the next bytes."""
        self.heard_s = host_s
        whole, newline, rest = (self._pending + data).rpartition(b"\n")
        self._pending = rest
        if newline:
            self._lines(whole + newline, host_s)
        if self._pending:
            found, ready = self.finder.glance(self._pending, host_s)
            self.milestones += found
            if ready:
                self.sha256_ready = self._sha256.hexdigest()
        if len(self._pending) > LONGEST_LINE:
            self.flush(host_s)

    def sent(self, frames: Sequence[Frame], host_s: float) -> None:
        """Take the next frames that the guest has sent."""
        self.milestones += self.finder.sent(frames, host_s)
        room = MOST_WITNESSED - len(self.witness)
        self.witness += [mark for frame in frames if (mark := witness_of(frame))][: max(0, room)]

    def flush(self, host_s: float) -> None:
        """Take what has come of an unfinished line as a line."""
        raw, self._pending = self._pending, b""
        if raw:
            self._lines(raw, host_s)

    def _lines(self, raw: bytes, host_s: float) -> None:
        lines = clean(raw)
        if not lines.endswith(b"\n"):
            lines += b"\n"
        self.transcript.write(lines, host_s)
        for text in [text for text in self.missing if text in lines]:
            del self.missing[text]
        self._tail = lines[-TAIL_BYTES:] if len(lines) >= TAIL_BYTES else (self._tail + lines)[-TAIL_BYTES:]
        found, ready = self.finder.find(raw, lines, host_s)
        self._digest(raw, ready)
        found = self._stamps.after(lines, found)
        if len(self.milestones) < MOST_MILESTONES:
            self.milestones += found
        if self.failure is None:
            self.failure = failures.find(lines, stamps=self._stamps.seen)

    def _digest(self, raw: bytes, ready: int) -> None:
        if ready >= 0 and not self.sha256_ready:
            self._sha256.update(raw[:ready])
            self.sha256_ready = self._sha256.hexdigest()
            raw = raw[ready:]
        self._sha256.update(raw)

    @property
    def sha256(self) -> str:
        """The SHA-256 (hex) of all lines so far, as they came."""
        return self._sha256.hexdigest()

    def last_lines(self, count: int = 20) -> str:
        """Return the last lines heard, the unfinished one included."""
        text = self._tail + clean(self._pending[-LONGEST_LINE:])
        lines = [line[:500] for line in text.decode(errors="replace").splitlines() if line.strip()]
        return "\n".join(lines[-count:])
