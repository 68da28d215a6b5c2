"""The two sides of `harness compare`: what is to be compared, and how the answer is told by an exit code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.build.settings import Settings
from harness.commands.images.bootable import image_of
from harness.errors import EXIT_BETTER, EXIT_NOT_JUDGED, EXIT_OK, EXIT_WORSE, UserError
from harness.files import is_there
from harness.image import MANIFEST, Bootable
from harness.measure.compare import Comparison
from harness.measure.paired import PairedJudgement, SlackChange
from harness.measure.waterfalls import DiffRow
from harness.spec import load_machine
from harness.spec.models.machine import MachineSpec
from harness.spec.rules.images import BOOTED, YAML, parts_of, shipped

NOT_JUDGED = "not judged"
EXITS = {"same": EXIT_OK, "worse": EXIT_WORSE, NOT_JUDGED: EXIT_NOT_JUDGED, "better": EXIT_BETTER}


@dataclass(frozen=True)
class CompareRequest:
    """What is to be compared, and how. ``machines``: one for both, or one for each; none for runs and records."""

    before: str
    after: str
    machines: tuple[str, ...] = ()
    explain: bool = False
    pairs: int = 0  # of wall boots; 0: exact ones
    history: str | None = None
    as_json: bool = False
    slack: bool = False  # what lies in slack counts as well


CompareSide = tuple[Bootable, MachineSpec]


def sides(request: CompareRequest, settings: Settings) -> tuple[CompareSide, CompareSide]:
    """Return both images with their machines; UserError when the machines are none or too many."""
    if len(request.machines) not in (1, 2):
        raise UserError("two images are compared on a machine", hint="-m MACHINE once for both, or once for each")
    specs = [load_machine(name) for name in (request.machines[0], request.machines[-1])]
    before, after = (
        image_of(name, spec, settings) for name, spec in zip((request.before, request.after), specs, strict=True)
    )
    return (before, specs[0]), (after, specs[1])


@dataclass(frozen=True)
class CellComparison:
    """One comparison: of which cell, how its sides are called, what came of it, and what differs of their inputs.

    ``paired``: what pairs of boots showed, where both sides could be booted and did not boot alike; then ``diff`` is
    their waterfalls side by side, ``because`` names the cause, and ``slack`` what `ready` does not wait for.
    ``unjudged`` says why the figures of two runs say nothing of each other.
    """

    cell: str
    names: tuple[str, str]
    comparison: Comparison
    differ: str
    calibrated: bool = False
    paired: PairedJudgement | None = None
    arch: str = ""
    diff: tuple[DiffRow, ...] = ()
    because: str = ""
    slack: tuple[SlackChange, ...] = ()
    unjudged: str = ""

    @property
    def answer(self) -> str:
        """What it comes to: where ``unjudged`` says why it could not be judged, neither the same nor another."""
        return NOT_JUDGED if self.unjudged else self.comparison.answer


def is_image(name: str, request: CompareRequest) -> bool:
    """Say whether a side is an image to boot. A boot's folder is one where a machine is named, else its record."""
    path = Path(name)
    if is_there(path):
        return path.suffix != ".json" if path.is_file() else _is_image(path, booted=bool(request.machines))
    return all(part.endswith(YAML) or part in shipped() or is_there(Path(part)) for part in parts_of(name))


def _is_image(folder: Path, *, booted: bool) -> bool:
    return is_there(folder / MANIFEST) or (booted and is_there(folder / BOOTED))
