"""Which run a cell is measured by."""

from __future__ import annotations

from dataclasses import replace

import pytest
from runs import FIGURES, KEY, cell, results

from harness.errors import UserError
from harness.history import History, baselines


def accept(history: History, number: int, **scope: str) -> None:
    baselines.accept(history, history.run(f"{number:032x}"), f"reason {number}", who="me", **scope)


def by_cell(history: History, name: str) -> dict[tuple[str, str], int]:
    """The number of the run that each cell is measured by."""
    return {(one.image, one.machine): int(one.run, 16) for one in baselines.cells(history, name)}


def test_each_cell_has_what_was_accepted_last_for_it(history: History) -> None:
    with pytest.raises(UserError, match="has no baseline yet"):
        baselines.cells(history, "latest-baseline")
    arm, s390x = cell(), cell("qemu-s390x")
    for number, cells in enumerate(([arm, s390x], [arm, s390x], [arm]), 1):
        history.add(results(number, *cells))
    accept(history, 1)
    accept(history, 2, machine="qemu-s390x")
    image = arm["image"]
    assert by_cell(history, "latest-baseline") == {(image, "qemu-arm64"): 1, (image, "qemu-s390x"): 2}
    accept(history, 3)
    assert by_cell(history, "latest-baseline") == {(image, "qemu-arm64"): 3, (image, "qemu-s390x"): 2}
    assert by_cell(history, "1") == {(image, "qemu-arm64"): 1, (image, "qemu-s390x"): 1}
    assert by_cell(history, "2") == {(image, "qemu-s390x"): 2}
    assert by_cell(history, f"{2:032x}") == {(image, "qemu-arm64"): 2, (image, "qemu-s390x"): 2}


def test_two_images_of_one_name_are_told_apart(history: History) -> None:
    history.add(results(1, cell(image="a/os.yml"), cell(image="b/os.yml")))
    with pytest.raises(UserError, match="more than one image os") as caught:
        accept(history, 1, image="os")
    assert "a/os.yml, b/os.yml" in caught.value.hint
    accept(history, 1, image="b/os.yml")
    assert by_cell(history, "latest-baseline") == {("b/os.yml", "qemu-arm64"): 1}


def test_results_are_compared_without_a_history() -> None:
    found = baselines.of_results(results(1, cell(), cell(repeats=False), cell("qemu-s390x")))
    assert [(one.image, one.machine) for one in found] == [
        ("images/minimal.yml", "qemu-arm64"), ("images/minimal.yml#2", "qemu-arm64"),
        ("images/minimal.yml", "qemu-s390x"),
    ]  # fmt: skip
    assert (found[0].exact, found[0].key, found[0].sizes["total"]) == (FIGURES, KEY, 10_000_000)
    assert (found[1].exact, found[1].why) == ({}, "two exact boots did not agree")
    broken = cell(repeats=None, exact={})
    broken["boot"]["exact"]["figures"] = {}
    broken["reason"] = "no qemu\nwhat to do: install it"
    assert baselines.of_results(results(1, broken))[0].why == "no qemu"


def test_a_run_in_the_history_compares_as_its_results_do(history: History) -> None:
    history.add(results(1))
    (stored,), (fresh,) = history.cells(history.run("latest")), baselines.of_results(results(1))
    fresh = replace(fresh, cell="")  # a history knows no folders
    assert stored == fresh
