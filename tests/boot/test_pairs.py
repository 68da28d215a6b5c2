"""Two images booted in pairs, by `harness compare` and by the gate: what costs is found and named, all else is not.

Boots are shared: one that is exact is the same each time, so each image is booted once under each perturbation.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from tiers import needs

from harness.api import build_image
from harness.build.settings import Settings
from harness.commands.nights import pairing
from harness.commands.runs import compare, compare_exact
from harness.commands.runs.sides import CellComparison, CompareRequest
from harness.measure.blame import BYTES
from harness.measure.floor import Floors
from harness.measure.gate import CellFigures, GateVerdict, gate_cells
from harness.measure.phases import figures
from harness.run.cells import made_of
from harness.run.inputs import CellInputs, RunInputs
from harness.spec import load_image, load_machine
from harness.suite.pairs import KnownBoots, PairSettings, judged

# in one worker (--dist loadgroup), for the boots are shared
pytestmark = [pytest.mark.boots, pytest.mark.builds, pytest.mark.xdist_group("pairs")]
MACHINE = "qemu-arm64"  # the cheapest to boot
YAML = """kernel: {{image: kernel, cmdline: "quiet cryptomgr.notests{words}"}}
init: [init]
services:
  - name: web
    image: busybox
    command: ["/bin/sh", "-c", "{loop}echo up; {later}exec sleep 100000"]
    annotations: {{harness.health: "log:up"}}
files: [{{path: etc/{file}, contents: "{text}"}}]
"""
LOOP = "i=0; while [ $i -lt {} ]; do i=$((i+1)); done; "


def image(turns: int = 200, *, words: str = "", later: int = 0, file: str = "notes", text: str = "unread") -> str:
    """Return an image with a service that loops before it is healthy, and `later` after that."""
    return YAML.format(loop=LOOP.format(turns), later=LOOP.format(later) if later else "", words=words, file=file,
                       text=text)  # fmt: skip


class Asked:
    """Asks compare, and the gate, of images in a folder; a run's cell is one image's."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.known, self.settings = folder, KnownBoots(), Settings()

    def written(self, text: str, name: str = "image.yml") -> Path:
        (self.folder / name).write_text(text)
        return self.folder / name

    def compare(self, before: str, after: str, machine: str = MACHINE) -> CellComparison:
        spec = load_machine(machine)
        old, new = (build_image(self.written(text), spec.arch) for text in (before, after))
        how = PairSettings(print, known=self.known)
        return compare_exact.compared(((old, spec), (new, spec)), ("old", "new"), how)

    def cell(self, text: str, machine: str = MACHINE) -> CellFigures:
        """Return what a run has of an image."""
        path, spec = self.written(text), load_machine(machine)
        built = build_image(path, spec.arch)
        side = (built, spec)
        first, _ = judged((side, side), self.folder / "run", PairSettings(print, known=self.known)).records
        inputs = {"YAML": built.spec_digest, **made_of(built.manifest, built.digests, spec)}
        return CellFigures("image.yml", machine, exact=figures(first), key=first.key, run="0123456789ab",
                           cell=f"image-{machine}", inputs=inputs)  # fmt: skip

    def gate(
        self, old: CellFigures, new: CellFigures, minutes: float = 60.0, cache: Path | None = None, slack: bool = False
    ) -> GateVerdict:
        """Judge `new`, of the image that was written last."""
        cell = CellInputs(image=0, machine=load_machine(new.machine), size=35.0)
        read = RunInputs(images=(load_image([self.folder / "image.yml"]),), cells=(cell,))
        times = pairing.PairTimes(minutes)
        pair = pairing.pairer(read, cache or self.settings.cache, times, interrupted=False, known=self.known,
                              slack=slack)  # fmt: skip
        (found,) = pair(gate_cells([old], [new], lambda _: Floors()))
        return found


@pytest.fixture(scope="module")
@needs("boots", "builds")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    return Asked(tmp_path_factory.mktemp("pairs"))


def test_equal_boots_are_the_same_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("old", "new"):
        (tmp_path / f"{name}.yml").write_text(image())
    request = CompareRequest(*(str(tmp_path / f"{name}.yml") for name in ("old", "new")), machines=(MACHINE,))
    assert compare.run(replace(request, as_json=True), Settings()) == 0
    (found,) = json.loads(capsys.readouterr().out)["cells"]
    assert (found["answer"], found["paired"], found["causes"]) == ("same", None, [])
    assert found["sentence"].endswith("/new.yml boots as " + str(tmp_path / "old.yml") + " does, to the microsecond.")


# the fewest pairs show half a millisecond for sure, and most of them a tenth
@pytest.mark.parametrize(
    ("fewer", "least", "most"), [pytest.param(193, 50, 300, marks=pytest.mark.long), (165, 300, 900)]
)
def test_what_a_service_takes_longer_is_found_and_named_by_compare_and_the_gate(
    asked: Asked, fewer: int, least: int, most: int
) -> None:
    found = asked.compare(image(fewer), image())
    assert found.paired is not None and found.comparison.culprit is not None
    assert (found.comparison.answer, found.paired.certain) == ("worse", True)
    cost, cause = found.paired.mean_us, found.comparison.culprit
    assert cause.owner == "services/web" and least < cost < most and abs(cause.us - cost) < 0.2 * cost
    # the gate of a run of the one against one of the other says the same, though the floor would let it pass
    old, new = asked.cell(image(fewer)), asked.cell(image())
    assert 0 < new.exact["total"] - old.exact["total"] < Floors().of("total")
    gate = asked.gate(old, new)
    assert gate.pairs is not None
    assert (gate.answer, gate.by, gate.unpaired, gate.pairs.judgement) == ("worse", "pairs", "", found.paired)
    named = r"services/web uses \+0\.\d{3} ms of the processor, in its program sh, on the path, since the image's YAML"
    assert re.search(named, gate.pairs.sentence), gate.pairs.sentence
    (row,) = [one for one in gate.pairs.diff if one.name == "services/web"]
    assert least < row.us < most and row.place == "on the path"


def test_what_is_done_after_health_and_a_file_that_nobody_reads_make_nothing_slower(asked: Asked) -> None:
    found = asked.compare(image(), image(later=3000, file="x", text="y"))
    assert found.paired is not None and found.paired.certain
    assert (found.comparison.answer, found.comparison.culprit) == ("same", None)


@pytest.mark.long
def test_a_word_on_the_image_s_command_line_is_named_and_fails_the_gate(asked: Asked) -> None:
    found = asked.gate(asked.cell(image()), asked.cell(image(words=" initcall_debug")))
    assert (found.answer, found.by, found.unjudged) == ("worse", "pairs", "")
    assert found.differ[0].startswith("the image is another: cmdline: ") and "initcall_debug" in found.differ[0]
    assert found.pairs is not None and found.pairs.judgement.mean_us > 5_000


def test_without_the_baseline_s_image_the_floor_judges_and_that_is_said(asked: Asked, tmp_path: Path) -> None:
    base = asked.cell(image())
    gone = replace(base, exact={**base.exact, "total": base.exact["total"] - 300}, inputs={BYTES: "5" * 64})
    found = asked.gate(gone, base)
    assert (found.answer, found.by, found.pairs) == ("same", "floor", None)
    assert found.unpaired.startswith("the image of the baseline is not here (run 01234567, bytes 55555555): build it")
    assert "has not recorded which bytes" in asked.gate(replace(gone, inputs={}), base).unpaired
    here = replace(gone, inputs=base.inputs)
    assert asked.gate(here, base, minutes=0).unpaired == "the 0 min for pairs of boots were over"
    assert "is not here" in asked.gate(here, base, cache=tmp_path / "empty").unpaired
    assert "image of this run" in asked.gate(here, replace(base, inputs={BYTES: "6" * 64})).unpaired
    other = replace(here, key={**base.key, "cmdline": "other words"})
    assert "is not here" in asked.gate(other, base).unpaired
    # of another machine there is no floor: not judged, and not passed
    moved = asked.gate(replace(gone, key={**base.key, "qemu": "6.0"}), base)
    assert (moved.answer, moved.by, moved.passed) == ("not judged", "", False) and moved.unpaired


def test_a_baseline_of_another_machine_is_judged_by_booting_its_image_on_this_one(asked: Asked) -> None:
    base = asked.cell(image())
    before = {name: base.exact[name] - 90_000 for name in ("total", "ready")}
    elsewhere = replace(base, exact={**base.exact, **before}, key={**base.key, "qemu": "6.0"})
    found = asked.gate(elsewhere, base)
    assert (found.answer, found.by, found.unjudged) == ("same", "pairs", "")
    assert any(note.startswith("the machine is another, and both images were booted on this one: qemu: 6.0")
               for note in found.notes)  # fmt: skip
    assert any("and took" in note for note in found.notes)


@pytest.mark.long
@pytest.mark.parametrize("machine", [MACHINE, "qemu-x86_64", "qemu-s390x"])
def test_a_causeless_edit_is_the_same_to_compare_and_the_gate(asked: Asked, machine: str) -> None:
    edited = image(file="remarks", text="abcdefghijkl" * 1000)
    found = asked.compare(image(), edited, machine)
    assert (found.comparison.answer, found.comparison.culprit) == ("same", None)
    old, new = asked.cell(image(), machine), asked.cell(edited, machine)
    assert new.exact["total"] != old.exact["total"]
    gate = asked.gate(old, new)
    assert (gate.answer, gate.by) == ("same", "pairs")


@pytest.mark.long
def test_what_lies_in_slack_fails_the_gate_where_that_was_asked_for(asked: Asked) -> None:
    job = image(2_000).replace(
        "services:\n",
        'services:\n  - {{name: job, image: busybox, command: [/bin/sh, -c, "usleep '
        '{us:06d}; echo up; exec sleep 9999"], annotations: {{harness.health: "log:up"}}}}\n',
    )
    old, new = (job.replace("{{", "{").replace("}}", "}").replace("{us:06d}", us) for us in ("000200", "004200"))
    found = asked.compare(old, new)
    assert found.comparison.answer == "same"
    assert [(one.name, one.judgement.answer) for one in found.slack] == [("services/job", "worse")]
    cells = asked.cell(old), asked.cell(new)
    assert asked.gate(*cells).answer == "same"
    strict = asked.gate(*cells, slack=True)
    assert strict.answer == "worse" and strict.pairs is not None
    assert strict.pairs.slack[0].startswith("in slack, services/job takes +")


@pytest.mark.long
@pytest.mark.parametrize("machine", ["qemu-x86_64", "qemu-s390x"])
def test_a_millisecond_in_a_service_fails_the_gate_on_every_architecture(asked: Asked, machine: str) -> None:
    found = asked.gate(asked.cell(image(), machine), asked.cell(image(280), machine))
    assert (found.answer, found.by) == ("worse", "pairs")
    assert found.pairs is not None and 500 < found.pairs.judgement.mean_us < 2_500
    assert "services/web uses +" in found.pairs.sentence
