"""What a page reads beside a run's results: its comparison with a baseline, and what an image is made of."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class ShownRow(BaseModel):
    """Something that was read. What an older harness did not write has the value for nothing; other keys are left."""

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)


class Moved(ShownRow):
    """A figure beyond its floor: µs, or bytes of a size."""

    figure: str
    old: int
    new: int
    floor: int = 0


class PairedMean(ShownRow):
    """How far pairs of boots lie apart, in µs."""

    answer: str
    mean_us: float = 0.0


class ShownDiffRow(ShownRow):
    """A row of two waterfalls side by side, in µs."""

    name: str
    depth: int
    before: int | None = None
    after: int | None = None
    slack: tuple[int | None, int | None] = (None, None)


class ShownPairs(ShownRow):
    """What pairs of boots of the baseline's image and of this one showed."""

    judgement: PairedMean
    sentence: str
    diff: tuple[ShownDiffRow, ...] = ()
    slack: tuple[str, ...] = ()


class GateResult(ShownRow):
    """What became of a cell against the baseline."""

    image: str
    machine: str
    compared: int = 0
    slower: tuple[Moved, ...] = ()
    larger: tuple[Moved, ...] = ()
    better: tuple[Moved, ...] = ()
    differ: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    pairs: ShownPairs | None = None
    unpaired: str = ""
    unjudged: str = ""

    @property
    def worse(self) -> bool:
        """Whether anything of it is: a figure, what pairs of boots showed, or what lies in slack where that counts."""
        paired = self.pairs is not None and (self.pairs.judgement.answer == "worse" or bool(self.pairs.slack))
        return bool(self.slower or self.larger) or paired


class Gate(ShownRow):
    """The judgement of a run against a baseline."""

    against: str
    passed: bool
    cells: tuple[GateResult, ...] = Field(default=())

    @property
    def word(self) -> str:
        """What it came to: not judged is neither worse nor passed."""
        if self.passed:
            return "nothing worse"
        return "worse" if any(one.worse for one in self.cells) else "not judged"


class ShownPackage(ShownRow):
    """A Debian package of an image."""

    name: str
    version: str
    arch: str = ""
    used: int | None = None  # of its files, those that are in the image


class ShownRoot(ShownRow):
    """The compressed root filesystem."""

    size: int
    paths: int | None = None


class ShownManifest(ShownRow):
    """What an image is made of. ``raw`` is all of it, for what makes it large."""

    name: str
    kernel: str = ""
    cmdline: str = ""
    suite: str = ""
    compression: str = ""
    root: ShownRoot
    packages: tuple[ShownPackage, ...] = ()
    raw: dict[str, Any]
