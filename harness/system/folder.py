"""What a boot leaves in its folder: the one place that knows these files' names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

RECORD, TRANSCRIPT, CONSOLE = "record.json", "transcript.txt", "console.raw"


@dataclass(frozen=True)
class BootFolder:
    """The folder of a boot. An exact boot's ``console`` is every byte that it said there."""

    path: Path

    @property
    def record(self) -> Path:
        """The boot's record."""
        return self.path / RECORD

    @property
    def transcript(self) -> Path:
        """What its console said, line by line, with times."""
        return self.path / TRANSCRIPT

    @property
    def console(self) -> Path:
        """What its console said, as it came."""
        return self.path / CONSOLE
