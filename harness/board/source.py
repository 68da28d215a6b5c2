"""What every board's console is to its reader."""

from __future__ import annotations

from harness.system.channels import ConsoleSource


class BoardSource(ConsoleSource):
    """A console's bytes; ``why`` says how it ended, once `read` has returned None.

    ``lost_s`` is since when (s, monotonic) one that is the system's own has not answered, where it had.
    """

    why: str
    lost_s: float | None = None
