"""A machine's console: always listened to, with pexpect's ways of waiting for words and answering."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import TYPE_CHECKING

from pexpect import EOF, TIMEOUT
from pexpect.spawnbase import SpawnBase

from harness.errors import HarnessError, HostError
from harness.system.channels import ConsoleSource
from harness.system.frames import Frame
from harness.system.listener import Listener
from harness.system.text import Stripper
from harness.text import of_error

if TYPE_CHECKING:
    _Base = SpawnBase[bytes]
else:
    _Base = SpawnBase  # generic in its stubs alone

MOST_UNREAD = 4 << 20  # bytes kept for `expect` when nobody asks; the oldest go first
MOST_BEFORE = 1 << 20  # bytes kept before a match
SEARCH_WINDOW = 64 << 10
TICK_S = 0.2


class Console(_Base):
    """Pexpect's `expect` and `send` over a console that a thread listens to from first byte to last.

    What the listener hears it hears whether or not anybody waits; ``expect`` sees the bytes without terminal codes.
    """

    def __init__(
        self,
        source: ConsoleSource,
        listener: Listener,
        clock: Callable[[], float],
        again: Callable[[], ConsoleSource | None] = lambda: None,
        frames: Callable[[], Sequence[Frame]] = tuple,
    ) -> None:
        """Listen to `source`; `clock` gives the seconds since QEMU's start.

        When the source ends, `again` gives the next one of the same machine, or None. `frames` gives those that the
        guest has sent since it was last called.
        """
        super().__init__(timeout=30, maxread=SEARCH_WINDOW, searchwindowsize=SEARCH_WINDOW)
        self._before = BytesIO()
        self.delayafterread = None
        self.delaybeforesend = None
        self.closed = False
        self.name = "<console>"
        self.listener = listener
        self.changed = threading.Condition()  # told of every piece heard and of the end
        self.ended = False
        self.error: HarnessError | None = None  # what ended the listening, when it was not a plain end
        self.dropped = 0  # bytes that `expect` will never see
        self.tap: Callable[[bytes], None] | None = None  # is handed every piece as it came
        self._source, self._clock, self._again, self._frames = source, clock, again, frames
        self._unread = bytearray()
        self._stop = False
        self._typing = threading.Lock()  # who holds it uses or changes where `send` goes
        self._thread = threading.Thread(target=self._listen, name="console", daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        stripper = Stripper()
        try:
            while not self._stop:
                data = self._source.read(TICK_S)
                self._hear_frames()
                if data is None:
                    source = self._again()
                    if source is None:
                        break
                    with self._typing:
                        self._source.close()
                        self._source = source
                    with self.changed:
                        self.changed.notify_all()  # it is another machine that is waited for now
                elif data:
                    self._hear(data, stripper.feed(data))
        except HarnessError as error:
            self.error = error
        except OSError as error:
            self.error = HostError(f"cannot keep the console: {of_error(error)}")
        finally:
            with self.changed:
                self.ended = True
                if self.error is None:
                    self.listener.flush(self._clock())
                self.changed.notify_all()

    def _hear_frames(self) -> None:
        if frames := self._frames():
            with self.changed:
                self.listener.sent(frames, self._clock())
                self.changed.notify_all()

    def _hear(self, raw: bytes, plain: bytes) -> None:
        with self.changed:
            self.listener.feed(raw, self._clock())
            self._unread += plain
            excess = len(self._unread) - MOST_UNREAD
            if excess > 0:
                del self._unread[:excess]
                self.dropped += excess
            self.changed.notify_all()
        if self.tap:
            self.tap(raw)

    def read_nonblocking(self, size: int = 1, timeout: float | None = None) -> bytes:
        """Return what was heard and not read yet, at most `size` bytes; pexpect's EOF and TIMEOUT otherwise."""
        end = None if timeout is None else time.monotonic() + max(0.0, timeout)
        with self.changed:
            while not self._unread:
                left = TICK_S if end is None else end - time.monotonic()
                if self.ended:
                    self.flag_eof = True
                    raise EOF("the console has ended")
                if left <= 0:
                    raise TIMEOUT("nothing heard in time")
                self.changed.wait(left)
            data = bytes(self._unread[:size])
            del self._unread[:size]
        if self._before.tell() > MOST_BEFORE:
            kept = self._before.getvalue()[-2 * SEARCH_WINDOW :]
            self._before = BytesIO()
            self._before.write(kept)
        return data

    def drain(self) -> None:
        """Forget what was heard and not read."""
        with self.changed:
            self._unread.clear()
        self._buffer, self._before = BytesIO(), BytesIO()

    def send(self, data: bytes | str) -> int:
        """Type `data` (text as UTF-8); return how many bytes that were."""
        raw = data.encode() if isinstance(data, str) else data
        with self._typing:
            self._source.write(raw)
        return len(raw)

    def sendline(self, data: bytes | str = b"") -> int:
        """Type `data` and the return key."""
        raw = data.encode() if isinstance(data, str) else data
        return self.send(raw + b"\n")

    def isalive(self) -> bool:
        """Say whether more can come."""
        return not self.ended

    def last_lines(self, count: int = 20) -> str:
        """Return the last lines heard."""
        with self.changed:
            return self.listener.last_lines(count)

    def close(self) -> None:
        """Stop listening and let go of the source."""
        self._stop = True
        self._thread.join()
        with self._typing:
            self._source.close()
        self.closed = True


def literal(words: str) -> re.Pattern[bytes]:
    """Return a pattern for `expect` that matches exactly these words."""
    return re.compile(re.escape(words.encode()))
