"""What was asked of `harness matrix`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.build.settings import Settings
from harness.commands.nights.gate import After
from harness.commands.nights.watch import Deadline
from harness.run.inputs import Wanted

CasePaths = Sequence[Path | str]


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line; `extra` goes to pytest as it is."""

    wanted: Wanted
    results: Path | None = None
    keyword: str = ""
    workers: int | None = None
    patience: float = 1.0
    settings: Settings = field(default_factory=Settings)
    explain: bool = False
    extra: Sequence[str] = ()
    after: After = field(default_factory=After)
    resume: bool = False
    deadline: Deadline | None = None
    shard: str = ""
    durations: Path | None = None
    quarantine: bool = False
