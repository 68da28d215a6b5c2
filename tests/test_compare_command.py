"""`harness compare` of what is there already: what cannot be compared is no "same"."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli import app
from harness.commands.runs.sides import CompareRequest, is_image
from harness.system.record import BootRecord


def results(folder: Path, name: str, *, ready: int, repeats: bool = True, image: str = "a.yml", qemu: str = "7") -> str:
    exact = {"ready": ready / 1000, "power_on": 0.0, "figures": {"ready": ready, "total": ready, "kernel": ready},
             "key": {"qemu": qemu}, "moved": "" if repeats else "init"}  # fmt: skip
    cell = {"id": "a-m", "image": image, "machine": "m", "arch": "arm64", "size": 5, "sizes": {}, "spec": "x",
            "files": {}, "boot": {"exact": exact, "wall": {}}, "exact_repeats": repeats, "reason": ""}  # fmt: skip
    path = folder / name
    path.mkdir()
    (path / "results.json").write_text(json.dumps({"schema": 1, "run": name, "cells": [cell]}))
    return str(path)


def compared(tmp_path: Path, *sides: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["compare", *sides, "--history", str(tmp_path / "none.db")])
    return done.exit_code, done.output


@pytest.mark.parametrize(("ready", "code"), [(500_000, 0), (500_900, 0), (510_000, 1), (490_000, 6)])
def test_the_exit_code_says_better_same_or_worse(tmp_path: Path, ready: int, code: int) -> None:
    sides = results(tmp_path, "old", ready=500_000), results(tmp_path, "new", ready=ready)
    assert compared(tmp_path, *sides)[0] == code


def test_what_is_of_another_experiment_is_said(tmp_path: Path) -> None:
    sides = results(tmp_path, "old", ready=500_000), results(tmp_path, "new", ready=500_000, qemu="8")
    code, said = compared(tmp_path, *sides)
    assert code == 8
    assert "what differs: qemu: 7 → 8" in said
    assert said.endswith("not judged: exact times not compared, for they are of another experiment: qemu: 7 → 8.\n")


def both(folder: Path, name: str, ready: tuple[int, int], repeats: tuple[bool, bool] = (True, True)) -> str:
    """Make a run of two cells."""
    path = Path(results(folder, name, ready=ready[0], repeats=repeats[0]))
    other = Path(results(folder, f"{name}-b", ready=ready[1], repeats=repeats[1], image="b.yml"))
    rows = [json.loads((one / "results.json").read_text()) for one in (path, other)]
    rows[0]["cells"] += [{**rows[1]["cells"][0], "id": "b-m"}]
    (path / "results.json").write_text(json.dumps(rows[0]))
    return str(path)


@pytest.mark.parametrize(
    ("ready", "repeats", "code"),
    [
        ((500_000, 500_000), (True, False), 8),
        ((510_000, 500_000), (True, False), 1),  # worse wins
        ((490_000, 500_000), (True, False), 8),  # but not better
        ((500_000, 500_000), (False, False), 2),
        ((490_000, 500_000), (True, True), 6),
    ],
)
def test_a_cell_that_could_not_be_judged_is_no_same(
    tmp_path: Path, ready: tuple[int, int], repeats: tuple[bool, bool], code: int
) -> None:
    sides = both(tmp_path, "old", (500_000, 500_000)), both(tmp_path, "new", ready, repeats)
    found, said = compared(tmp_path, *sides)
    assert found == code, said
    if code in (1, 8):
        assert "b.yml on m:\nnot judged: " in said


def booted(run: str, initrd: str) -> None:
    """Put a record of the cell's first exact boot into a run's folder, or beside it."""
    made = BootRecord(image="a", arch="arm64", machine="m", mode="exact", probed=False, accel="tcg", accel_reason="",
                      argv=(), cmdline="", cpu="", machine_type="", qemu_version="7", host={}, milestones=(),
                      inputs={"kernel": "1" * 64, "initrd": initrd * 64})  # fmt: skip
    folder = Path(run) / "cells/a-m/exact/1"
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(made.dumps())


def test_the_first_input_that_differs_is_named(tmp_path: Path) -> None:
    sides = results(tmp_path, "old", ready=500_000), results(tmp_path, "new", ready=510_000)
    for run, initrd in zip(sides, "ab", strict=True):
        booted(run, initrd)
    assert "what differs: first of all inputs initrd: aaaaaaaaaaaa and bbbbbbbbbbbb\n" in compared(tmp_path, *sides)[1]


def test_nothing_compared_is_not_the_same(tmp_path: Path) -> None:
    sides = results(tmp_path, "old", ready=500_000), results(tmp_path, "new", ready=500_000, repeats=False)
    code, said = compared(tmp_path, *sides)
    assert code == 2
    assert "nothing could be compared" in said


def test_what_lies_in_slack_is_asked_of_images_alone(tmp_path: Path) -> None:
    sides = results(tmp_path, "old", ready=500_000), results(tmp_path, "new", ready=500_000)
    code, said = compared(tmp_path, *sides, "--slack")
    assert (code, "two images, and -m MACHINE" in said) == (2, True)
    code, said = compared(tmp_path, "a.yml", "b.yml", "--slack", "--pairs", "8", "-m", "qemu-arm64")
    assert (code, "exact boots of two images" in said) == (2, True)


def test_an_image_and_a_run_are_not_compared(tmp_path: Path) -> None:
    code, said = compared(tmp_path, results(tmp_path, "old", ready=1), "some.yml")
    assert code == 2
    assert "an image cannot be compared with a run" in said


@pytest.mark.parametrize(
    ("name", "machines", "image"),
    [
        ("a.yml", (), True),
        ("gone.yml", (), True),  # which is said of it as of an image
        ("x+y", (), True),
        ("minimal+a.yml", (), True),
        ("plain", (), True),
        ("built", (), True),
        ("booted", (), False),  # its record
        ("booted", ("qemu-arm64",), True),
        ("run", ("qemu-arm64",), False),
        ("run/results.json", (), False),
        ("latest", (), False),
        ("latest-baseline", (), False),
        ("r" * 300, (), False),
    ],
)
def test_a_side_is_an_image_by_the_grammar_of_all_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, machines: tuple[str, ...], image: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in ("a.yml", "x+y", "plain", "built/manifest.json", "booted/image.json", "run/results.json"):
        Path(file).parent.mkdir(exist_ok=True)
        Path(file).write_text("{}")
    assert is_image(name, CompareRequest(name, name, machines)) == image
