"""A board's console as a System hears it: the boot loader is answered, and it ends once the board is off."""

from __future__ import annotations

import re
import time
from pathlib import Path

from harness.board.faults import ConsoleServerError, LoaderRefusedError
from harness.board.loader import Dialogue
from harness.board.source import BoardSource
from harness.board.wire import BITS, Wire
from harness.errors import MachineError
from harness.spec.models.board import BoardLimits, Typing
from harness.system.milestones import STAMP
from harness.system.text import clean
from harness.system.transcript import Transcript

QUIET_S = 0.5  # how long a board that says it goes off may finish its words
SILENT_S = 10.0  # of silence after the image's last mark, and it is off: not every kernel says so
SLOW_DOWN_S = 30.0  # where it may restart: between the two a slow machine ends what is left, and says nothing
# Of no answer, where the system's own log is all that is heard, and it is off: how it went down is not known.
GONE_S = 10.0
RESTART_S = 120.0  # where it may have restarted
LONGEST_LINE = 4096  # bytes
PRESS_S = 0.05  # how often a key may be pressed
SLOW_BAUD = 9600  # of a line whose speed is not known
# kernel/reboot.c says these at its highest level, so that no `quiet` hides them
_END = re.compile(STAMP + rb"reboot: (?P<how>Power down|System halted|Restarting system)\b", re.MULTILINE)
_BEGUN = re.compile(STAMP + rb"Linux version ", re.MULTILINE)  # the first line of all
# from here on the words are no boot loader's: a kernel says one of these also where it is quiet
_KERNEL = re.compile(rb"^(?:\[ *\d{1,9}\.\d{6}\]|EFI stub:|Starting kernel|harness:)", re.MULTILINE)
_OFF = re.compile(STAMP + rb"harness: off\s*$", re.MULTILINE)
SILENT = "is it the right line, and the power on?"
_PIECES = re.compile(rb"[^\n]*\n|[^\n]+")


class ConsoleLine:
    """The bytes of a board's console, for the thread that listens to them; its `off` is for everybody.

    ``restarts``: a restart is part of the boot, else it ends it. ``before``: the file of what came before power-on.
    """

    def __init__(
        self, source: BoardSource, dialogue: Dialogue, *, restarts: bool, baud: int | None = None,
        typing: Typing | None = None, limits: BoardLimits | None = None,
        before: Path | None = None,
    ) -> None:  # fmt: skip
        self._source, self.dialogue, self._restarts = source, dialogue, restarts
        self._typing, self._baud = typing or Typing(), baud or SLOW_BAUD
        self._limits = limits or BoardLimits()
        self._made_s = self._begun_s = time.monotonic()
        self._unheard, self._before_path = b"", before
        self._before: Transcript | None = None
        self.kernel = False  # its words since power-on or the last restart
        self.wire = Wire(baud)  # its times are of `time.monotonic`
        self.off = False
        self.deaf = False  # what comes is of before power-on: a server replays it, the last system still speaks
        self.heard = False  # a byte since power-on
        self.first_s: float | None = None  # when the first byte was heard since the switch was asked
        self.left_s: float | None = None  # when the dialogue was over
        self._rest = b""
        self._last_s = time.monotonic()
        self._mark = False  # the image's last mark is the last thing heard

    def begin(self, *, dialogue: bool = True) -> None:
        """The board is switched on, or off and on; or another kernel is started without its boot loader."""
        self.dialogue.begin()
        if not dialogue:
            self.dialogue.skip()
        self.deaf, self._begun_s = False, time.monotonic()
        self._source.powered()
        self.heard, self._mark, self.kernel = False, False, False

    def mute(self) -> None:
        """Hear nothing until `begin`: the board is off, or about to be."""
        self.deaf = self._source.off = True

    def read(self, timeout: float) -> bytes | None:
        """Return what has come; None once the board is off and silent.

        ConsoleServerError when the line was lost, LoaderRefusedError when the boot loader refuses, or starts a kernel
        before its dialogue is over.
        """
        if press := self.dialogue.press(time.monotonic()):
            self._type(press)
        self._refused()
        data = self._source.read(min(timeout, PRESS_S) if self.dialogue.presses else timeout)
        if data is None:
            if self.off:
                return None
            raise ConsoleServerError(self._source.why or "the console was lost")
        if self.deaf:
            self._keep(data)
            return b""
        now = time.monotonic()
        if data:
            self._last_s = now
            self.first_s = self.first_s or now
            self.wire.hear(data, now)
            self._hear(data)
        elif self.off and now - self._last_s >= QUIET_S:
            return None
        elif self._gone(now):
            self.off = True
        else:
            self._in_time(now)
        return data

    def _keep(self, data: bytes) -> None:
        """Write down words that are of no boot: they tell why the system that was there did not start the image."""
        self._unheard += data
        whole, newline, rest = self._unheard.rpartition(b"\n")
        self._unheard = rest[-LONGEST_LINE:]
        if newline and self._before_path is not None:
            if self._before is None:
                self._before = Transcript(self._before_path, {})
            self._before.write(clean(whole + newline), time.monotonic() - self._made_s)

    def _in_time(self, now: float) -> None:
        """See that the board, and its boot loader, are within the time that its YAML gives them."""
        took, silence, loader = now - self._begun_s, self._limits.silence, self._limits.loader
        if silence and not self.heard and not self.off and self._source.absent_s is None and took > silence:
            raise MachineError(f"its console has been silent for {silence:g} s since power-on", hint=SILENT)
        if loader and self.dialogue.awaited and not self.off and took > loader:
            raise LoaderRefusedError(f"within {loader:g} s, {self.dialogue.awaited}", hint="see `loader` in its YAML")

    def _gone(self, now: float) -> bool:
        """Say whether it has been silent for so long that it must be off."""
        lost_s = self._source.lost_s
        silent_s, gone_s = (SLOW_DOWN_S, RESTART_S) if self._restarts else (SILENT_S, GONE_S)
        return (self._mark and now - self._last_s >= silent_s) or (lost_s is not None and now - lost_s >= gone_s)

    def write(self, data: bytes) -> None:
        """Type `data`."""
        self._source.write(data)

    def close(self) -> None:
        """Let go of the console."""
        self._source.close()
        if self._before is not None:
            self._before.close()

    def _hear(self, data: bytes) -> None:
        self.heard, self._source.fresh = True, False
        for piece in _PIECES.findall(data):
            # A board that restarts may say so and greet in one breath: what comes after belongs to the new dialogue.
            if answer := self.dialogue.hear(piece, time.monotonic()):
                self._type(answer)
            self._refused()
            if self.left_s is None and not self.dialogue.awaited:
                self.left_s = time.monotonic()
            self._rest += piece
            if piece.endswith(b"\n"):
                self._judge(clean(self._rest[-LONGEST_LINE:]))
                self._rest = b""
        self._rest = self._rest[-LONGEST_LINE:]

    def _type(self, data: bytes) -> None:
        """Type at the speed that the boot loader takes it."""
        pace = self._typing
        size = 1 if pace.character else pace.fifo or len(data)
        pause = pace.character or (size * BITS / self._baud if pace.fifo else 0.0)
        if pace.line:
            time.sleep(pace.line)
        for at in range(0, len(data), size):
            if at and pause:
                time.sleep(pause)
            self._source.write(data[at : at + size])

    def _refused(self) -> None:
        if self.dialogue.refused:
            raise LoaderRefusedError(
                f"the boot loader does not do what it was asked: {self.dialogue.refused}",
                details=clean(self._rest).decode(errors="replace").strip()[-500:],
                hint="see `loader` in the machine's YAML, and whether it takes the kernel in this form",
            )

    def _judge(self, line: bytes) -> None:
        """Look whether a whole line says that the board goes off or restarts, or whose words they are."""
        if not self.kernel and _KERNEL.search(line):
            self.kernel = True
            self.dialogue.left()
        if self.dialogue.awaited and _BEGUN.search(line):
            raise LoaderRefusedError(
                f"a kernel started before the dialogue with the boot loader was over: {self.dialogue.awaited}",
                hint="see `loader` in the machine's YAML: what it waits for must come before the kernel's first words",
            )
        end = _END.search(line)
        self._mark = bool(_OFF.search(line)) or (self._mark and not end)
        if end and end["how"] == b"Restarting system" and self._restarts:
            self.dialogue.begin()
            self._source.powered()
            self.kernel = False
        elif end:
            self.off = True
