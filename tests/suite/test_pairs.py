"""Two images booted in pairs, their boots made up: which are made, when they end, and what cannot be traced."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.arch import by_name
from harness.build.turned import NotTurnedError
from harness.errors import ImageError, MachineError
from harness.image import Parts
from harness.launch.perturb import PERTURBATIONS, PLAIN, Perturbation
from harness.suite import pairs
from harness.suite.pairs import KnownBoots, PairedBoots, PairSettings
from harness.system.milestones import Milestone
from harness.system.record import BootRecord


def boot(onboot: int, job: int = 12_000, web: int = 30_000) -> BootRecord:
    """Make a boot up: an onboot of so many µs, and two services; the later one is the last to be healthy."""
    began = 200_000 + onboot
    ends = sorted([(began + job, "services/job"), (began + web, "services/web")])
    marks = [
        ("init", 100_000), ("root", 120_000), ("boot", 130_000), ("drivers", 200_000), ("onboot/prep done", began),
        *((f"{name} start", began) for _, name in ends), *((f"{name} ready", us) for us, name in ends),
        ("ready", ends[-1][0]),
    ]  # fmt: skip
    return BootRecord(
        image="a", arch="arm64", machine="m", mode="exact", probed=False, accel="tcg", accel_reason="", argv=(),
        cmdline="", cpu="", machine_type="", qemu_version="7", ready_us=ends[-1][0], power_on_us=90_000,
        milestones=tuple(Milestone(name, us, 0.0) for name, us in marks), console_sha256_ready=str(marks),
    )  # fmt: skip


class Lab:
    """Boots what it is told each side takes, pair after pair, and counts; the first is the plain boot."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.boots: list[tuple[str, Perturbation]] = []
        self.traced: list[str] = []
        self.takes: dict[str, Sequence[BootRecord]] = {}
        self.repeats = True
        monkeypatch.setattr(pairs, "perturbed_boot", self._boot)
        monkeypatch.setattr(pairs, "traced_boot", self._trace)
        monkeypatch.setattr(pairs, "TurnedRoot", self._turned)

    def side(self, name: str) -> Any:
        file = self.folder / name
        file.write_text(name)
        image = SimpleNamespace(name=name, arch=by_name("arm64"), parts=Parts(kernel=file), manifest={}, milestones=(),
                                cmdline="")  # fmt: skip
        return image, SimpleNamespace(name="m", model_dump_json=lambda: "m")

    def judged(self, known: KnownBoots | None = None, *, late: bool = False, explain: bool = False) -> PairedBoots:
        both = self.side("old"), self.side("new")
        how = PairSettings(lambda _: None, late=lambda: late, known=known, explain=explain)
        return pairs.judged(both, self.folder, how)

    def _boot(self, image: Any, _machine: Any, out: Path, how: Perturbation, _turned: Any) -> BootRecord:
        self.boots.append((image.name, how))
        number = 0 if how == PLAIN else PERTURBATIONS.index(how) + 1
        if out.name.endswith("again") and not self.repeats:
            number += 1
        mine = self.takes[image.name]
        return mine[number % len(mine)]

    def _trace(self, image: Any, *_: Any) -> Any:
        self.traced.append(image.name)
        raise ImageError("the console shows no trace")

    def _turned(self, *_: Any) -> Any:
        raise NotTurnedError("there is none")


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    return Lab(tmp_path, monkeypatch)


def test_equal_boots_are_one_each(lab: Lab) -> None:
    lab.takes = {"old": [boot(5_000)], "new": [boot(5_000)]}
    found = lab.judged()
    assert (found.paired, found.comparison.answer, len(lab.boots), lab.traced) == (None, "same", 2, [])


def test_a_kernel_that_cannot_trace_is_compared_by_its_phases_and_that_is_said(lab: Lab) -> None:
    lab.takes = {"old": [boot(5_000)], "new": [boot(6_000)]}
    found = lab.judged()
    assert found.paired is not None and found.comparison.culprit is not None
    assert (found.comparison.answer, found.paired.pairs, found.untraced) == ("worse", 4, "the console shows no trace")
    assert (found.comparison.culprit.owner, found.comparison.culprit.us) == ("onboot/prep", 1_000)
    assert found.because == ": onboot/prep takes +1.000 ms, on the path"
    assert found.unturned == "old: there is none"


def test_what_goes_both_ways_ends_early_and_is_not_traced(lab: Lab) -> None:
    new = [boot(5_000 + by) for by in (200, -200, 300, -300, 5_000)]
    lab.takes = {"old": [boot(5_000)], "new": new}
    found = lab.judged()
    assert found.paired is not None
    assert (found.comparison.answer, found.paired.pairs, found.paired.certain, lab.traced) == ("same", 4, True, [])


def test_other_containers_are_traced_though_nothing_is_slower(lab: Lab) -> None:
    renamed = boot(5_000)
    marks = tuple(Milestone(mark.name.replace("/web", "/wob"), mark.guest_us, 0.0) for mark in renamed.milestones)
    lab.takes = {"old": [boot(5_000)], "new": [BootRecord(**{**vars(renamed), "milestones": marks})]}
    assert lab.judged().comparison.answer == "same" and lab.traced == ["old"]


def test_the_cause_is_of_what_the_pairs_showed_whatever_the_plain_boots_are(lab: Lab) -> None:
    # the plain boots lie the other way round: one pair far off says nothing of the others
    steps = (-3_000, *[1_000] * 11)
    lab.takes = {"old": [boot(5_000)], "new": [boot(6_000, web=29_000 + step) for step in steps]}
    found = lab.judged()
    assert found.comparison.answer == "worse" and found.comparison.total is not None
    assert found.comparison.total.us < 0
    assert found.comparison.culprit is not None and found.comparison.culprit.owner == "onboot/prep"


def test_known_boots_are_not_made_once_more(lab: Lab) -> None:
    lab.takes = {"old": [boot(5_000)], "new": [boot(6_000)]}
    known = KnownBoots()
    first = lab.judged(known)
    made = len(lab.boots)
    assert made == 2 + 2 + 6
    again = lab.judged(known)
    assert (len(lab.boots), again.paired) == (made, first.paired)


def test_another_image_is_another_boot(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.takes = {"old": [boot(5_000)], "new": [boot(6_000)]}
    known = KnownBoots()
    lab.judged(known)
    monkeypatch.setattr(Lab, "side", _changed(Lab.side))
    made = len(lab.boots)
    lab.judged(known)
    assert [name for name, _ in lab.boots[made:]].count("old") == 0, "the old one is known"
    assert [name for name, _ in lab.boots[made:]].count("new") == 1 + 1 + 3


def _changed(side: Any) -> Any:
    def changed(self: Lab, name: str) -> Any:
        image, machine = side(self, name)
        if name == "new":
            image.parts.kernel.write_text("other bytes")
        return image, machine

    return changed


def test_what_does_not_boot_the_same_twice_is_no_figure(lab: Lab) -> None:
    lab.takes, lab.repeats = {"old": [boot(5_000)], "new": [boot(6_000), boot(6_100)]}, False
    with pytest.raises(MachineError, match="new on m: two exact boots: NOT the same twice"):
        lab.judged()


def test_when_time_is_over_there_are_too_few_to_tell(lab: Lab) -> None:
    lab.takes = {"old": [boot(5_000)], "new": [boot(6_000)]}
    found = lab.judged(late=True)
    assert found.paired is not None
    assert (found.comparison.answer, found.paired.certain, found.paired.pairs) == ("same", False, 1)


def test_what_lies_in_slack_is_told_and_moves_nothing(lab: Lab) -> None:
    lab.takes = {"old": [boot(5_000)], "new": [boot(5_000, job=16_000)]}
    found = lab.judged()
    assert found.comparison.answer == "same"
    said = "in slack, services/job takes +4.000 ms ± 0.000 ms; it has 14.000 ms left"
    assert [one.sentence for one in found.slack] == [said]


def test_asked_for_an_explanation_both_are_traced_though_they_are_the_same(lab: Lab) -> None:
    lab.takes = {"old": [boot(5_000)], "new": [boot(5_000)]}
    assert lab.judged(explain=True).untraced == "the console shows no trace"
    assert lab.traced == ["old"]
