"""What every board's console is to its reader."""

from __future__ import annotations

import time

from harness.system.channels import ConsoleSource


class BoardSource(ConsoleSource):
    """A console's bytes; ``why`` says how it ended, once `read` has returned None.

    ``lost_s`` is since when (s, monotonic) one that is the system's own has not answered, where it had. A device that
    is the board's own is there only while the board is on: ``absent_s`` is since when it is not. It may be gone while
    the board is ``off``, and come within a while as long as the board is ``fresh``: not heard since power-on.
    """

    why: str
    lost_s: float | None = None
    absent_s: float | None = None
    off = False
    fresh = True

    def powered(self) -> None:
        """The board is switched on now, or restarts."""
        self.off, self.fresh = False, True
        if self.absent_s is not None:
            self.absent_s = time.monotonic()
