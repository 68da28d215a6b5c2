"""Which of a plan's images and machines `--image` and `--machine` keep."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from harness import paths
from harness.errors import UserError
from harness.run.cells import planned
from harness.run.inputs import Wanted, read
from harness.spec.text import reader


def test_a_plan_is_filtered_by_names_and_by_paths(tmp_path: Path) -> None:
    machine = tmp_path / "mine.yml"
    machine.write_text((paths.MACHINES / "qemu-arm64.yml").read_text())
    image = paths.CASES / "images/minimal.yml"
    plan = tmp_path / "plan.yml"
    relative = os.path.relpath(image, tmp_path)
    plan.write_text(f"machines: [qemu-x86_64, mine.yml]\nimages:\n  - path: {relative}\n")

    def cells(*machines: str) -> list[str]:
        return [one.cell.id for one in planned(read(Wanted(plan, ("minimal",), machines)))]

    assert cells(str(machine)) == cells("mine") == ["minimal-mine"]
    assert cells(os.path.relpath(machine)) == ["minimal-mine"]
    assert cells("mine", "qemu-x86_64") == ["minimal-qemu-x86_64", "minimal-mine"]
    with pytest.raises(UserError, match=r"has no machine 'other\.yml'") as error:
        cells("other.yml")
    assert error.value.hint == "it has: mine, qemu-x86_64"


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("a.yml+b.yml", ["a.yml"]),
        ("a", ["a.yml"]),
        ("a.yml", []),  # alone it is another image
        ("v1.2", ["built"]),
        ("./built/", ["built"]),
        ("booted", ["built"]),
        ("theirs", ["os.yml"]),
        ("os.yml", ["os.yml"]),
        ("os", []),
    ],
)
def test_a_plans_images_are_filtered_by_what_results_call_them_and_as_the_plan_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kept: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.yml").write_text("kernel: {image: kernel}\ninit: [init]\n")
    Path("b.yml").write_text("services: []\n")
    Path("os.yml").write_text(
        "os: {name: theirs, arch: arm64}\nkernel: a.yml\nmilestones: [{name: ready, pattern: login}]\n"
    )
    for folder, file, told in (
        ("built", "manifest.json", {"schema": 1, "name": "v1.2", "arch": "arm64"}),
        ("booted", "image.json", {"image": "built"}),
    ):
        Path(folder).mkdir()
        Path(folder, file).write_text(json.dumps(told))
    Path("plan.yml").write_text(
        "machines: [qemu-arm64]\nimages: [{path: a.yml+b.yml}, {path: built}, {path: os.yml}]\n"
    )
    wanted = Wanted(Path("plan.yml"), (name,))
    if kept:
        assert [one.sources[0].name for one in read(wanted).images] == kept
        return
    with pytest.raises(UserError, match=f"has no image '{name}'") as error:
        read(wanted)
    assert error.value.hint == "it has: a, theirs, v1.2"


def test_a_filter_that_leaves_nothing_is_an_error(tmp_path: Path) -> None:
    minimal, default = (
        os.path.relpath(paths.CASES / f"images/{name}.yml", tmp_path) for name in ("minimal", "default")
    )
    plan = tmp_path / "plan.yml"
    plan.write_text(
        f"machines: [qemu-x86_64]\nimages:\n  - path: {minimal}\n  - {{path: {default}, machines: [qemu-arm64]}}\n"
    )
    with pytest.raises(UserError, match="none of these images on any of these machines"):
        read(Wanted(plan, ("minimal",), ("qemu-arm64",)))


def test_what_a_plan_names_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what several images have a part of: between two reads somebody may save another text."""
    image = (paths.CASES / "images/minimal.yml").read_text()
    (tmp_path / "a.yml").write_text(image)
    (tmp_path / "b.yml").write_text("services: []\n")
    (tmp_path / "plan.yml").write_text(
        "machines: [qemu-arm64, qemu-s390x]\nimages:\n  - path: a.yml\n  - path: a.yml+b.yml\n"
    )
    reads: list[str] = []

    def content_of(path: Path) -> bytes:
        reads.append(Path(path).name)
        return path.read_bytes()

    monkeypatch.setattr(reader, "content_of", content_of)
    made = read(Wanted(tmp_path / "plan.yml"))
    assert len(made.cells) == 4
    assert [reads.count(name) for name in ("plan.yml", "a.yml", "b.yml")] == [1, 1, 1]
