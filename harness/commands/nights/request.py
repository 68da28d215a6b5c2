"""What was asked of `harness matrix`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
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
    pair_minutes: float = 0.0
    slack: bool = False
    cluster: str = ""
    certificates: Path | None = None

    @property
    def after_run(self) -> After:
        """What becomes of the results: a shard's are not in the history, the whole night is once it is merged."""
        return replace(self.after, keep=self.after.keep and not self.shard)
