"""The gate boots the baseline's image and the run's under the same perturbations where their figures differ."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from tiers import needs

from harness.arch import by_name
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.commands.nights import pairing
from harness.launch.exact import exact_boot
from harness.measure.blame import BYTES
from harness.measure.floor import Floors
from harness.measure.gate import CellFigures, GateVerdict, gate_cells
from harness.measure.phases import figures
from harness.run.cells import made_of
from harness.run.inputs import CellInputs, RunInputs
from harness.spec import load_image, load_machine
from harness.spec.models.machine import MachineSpec

pytestmark = [pytest.mark.boots, pytest.mark.builds]
ARCH = "arm64"
CELL = "image-qemu-arm64"
YAML = """kernel: {{image: kernel, cmdline: "quiet cryptomgr.notests"}}
init: [init]
services:
  - name: web
    image: busybox
    command: ["/bin/sh", "-c", "i=0; while [ $i -lt {turns} ]; do i=$((i+1)); done; echo up; exec sleep 100000"]
    annotations: {{harness.health: "log:up"}}
files: [{{path: etc/{file}, contents: "{text}"}}]
"""


@pytest.fixture(scope="module")
@needs("boots", "builds")
def machine() -> MachineSpec:
    return load_machine("qemu-arm64")


class Runs:
    """Runs of one image as it was at times, each a cell's figures as a run has them."""

    def __init__(self, folder: Path, machine: MachineSpec) -> None:
        self.folder, self.machine = folder, machine
        self.settings = Settings()
        self.read = RunInputs()

    def run(self, turns: int = 200, file: str = "notes", text: str = "nobody reads it") -> CellFigures:
        path = self.folder / "image.yml"
        path.write_text(YAML.format(turns=turns, file=file, text=text))
        spec = load_image([path])
        cell = CellInputs(image=0, machine=self.machine, size=35.0)
        self.read = RunInputs(images=(spec,), cells=(cell,))
        image = Builder(self.settings).build(spec, by_name(ARCH))
        record = exact_boot(image, self.machine, self.folder / f"{turns}{file}{len(text)}")
        inputs = {"YAML": image.spec_digest, **made_of(image.manifest, image.digests, self.machine)}
        return CellFigures("image.yml", "qemu-arm64", exact=figures(record), key=record.key, run="0123456789ab",
                           cell=CELL, inputs=inputs)  # fmt: skip

    def gate(self, old: CellFigures, new: CellFigures, minutes: float = 60.0, cache: Path | None = None) -> GateVerdict:
        """Judge the run made last."""
        pair = pairing.pairer(self.read, cache or self.settings.cache, pairing.PairTimes(minutes), interrupted=False)
        (found,) = pair(gate_cells([old], [new], lambda _: Floors()))
        return found


@pytest.fixture
@needs("boots", "builds")
def runs(tmp_path: Path, machine: MachineSpec) -> Runs:
    return Runs(tmp_path, machine)


def test_a_millisecond_in_a_service_fails_the_gate(runs: Runs) -> None:
    base = runs.run()
    slower = runs.run(turns=255)
    assert 0 < slower.exact["total"] - base.exact["total"] < Floors().of("total"), "the floor would let it pass"
    found = runs.gate(base, slower)
    assert (found.answer, found.by, found.unpaired) == ("worse", "pairs", "")
    assert found.pairs is not None and 700 < found.pairs.judgement.mean_us < 1500
    named = (
        r"services/web uses \+[01]\.\d{3} ms of the processor, in its program sh, on the path, since the image's YAML"
    )
    assert re.search(named, found.pairs.sentence), found.pairs.sentence
    (row,) = [one for one in found.pairs.diff if one.name == "services/web"]
    assert 700 < row.us < 1500 and row.place == "on the path"


@pytest.mark.long
def test_a_causeless_edit_passes_the_gate(runs: Runs) -> None:
    base = runs.run()
    renamed = runs.run(file="remarks", text="abcdefghijkl" * 300)
    assert renamed.exact["total"] != base.exact["total"]
    found = runs.gate(base, renamed)
    assert (found.answer, found.by) == ("same", "pairs")


def test_without_the_baseline_s_image_the_floor_judges_and_that_is_said(runs: Runs, tmp_path: Path) -> None:
    base = runs.run()
    gone = replace(base, exact={**base.exact, "total": base.exact["total"] - 300}, inputs={BYTES: "5" * 64})
    found = runs.gate(gone, base)
    assert (found.answer, found.by, found.pairs) == ("same", "floor", None)
    assert found.unpaired.startswith("the image of the baseline is not here (run 01234567, bytes 55555555): build it")
    assert "has not recorded which bytes" in runs.gate(replace(gone, inputs={}), base).unpaired
    here = replace(gone, inputs=base.inputs)
    assert runs.gate(here, base, minutes=0).unpaired == "the 0 min for pairs of boots were over"
    assert "is not here" in runs.gate(here, base, cache=tmp_path / "empty").unpaired
    assert "image of this run" in runs.gate(here, replace(base, inputs={BYTES: "6" * 64})).unpaired
    other = replace(here, key={**base.key, "cmdline": "other words"})
    assert "is not here" in runs.gate(other, base).unpaired
    # of another machine there is no floor: not judged, and not passed
    moved = runs.gate(replace(gone, key={**base.key, "qemu": "6.0"}), base)
    assert (moved.answer, moved.by, moved.passed) == ("not judged", "", False) and moved.unpaired


def test_a_baseline_of_another_machine_is_judged_by_booting_its_image_on_this_one(runs: Runs) -> None:
    base = runs.run()
    before = {name: base.exact[name] - 90_000 for name in ("total", "ready")}
    elsewhere = replace(base, exact={**base.exact, **before}, key={**base.key, "qemu": "6.0"})
    found = runs.gate(elsewhere, base)
    assert (found.answer, found.by, found.unjudged) == ("same", "pairs", "")
    assert any(note.startswith("the machine is another, and both images were booted on this one: qemu: 6.0")
               for note in found.notes)  # fmt: skip
    assert any("and took" in note for note in found.notes)
