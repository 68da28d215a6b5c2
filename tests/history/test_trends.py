"""What a series says: its newest value, its floor, and where it changed. Pure."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.history.trends import judged, to_json, trend
from harness.measure.changepoints import change_points
from harness.measure.floor import Floors
from harness.measure.gate import size_floor
from harness.measure.series import JudgedRun, Point, Series

FLOORS = Floors({"ready": 500})
INIT = FLOORS.of("init")
NOISY = [100, 101, 99, 100, 102, 99, 300, 301, 299, 302, 300, 299]


def series(*values: int, mode: str = "exact", figure: str = "ready") -> Series:
    points = (Point(f"run{at}", f"day{at}", value, f"c{at}", f"s{at}", f"y{at}") for at, value in enumerate(values))
    return Series("i.yml", "m", "arm64", mode, figure, "k", tuple(points))


@pytest.mark.parametrize(
    ("mode", "figure", "values", "floor", "calibrated", "changes"),
    [
        ("exact", "ready", [10_000, 10_500, 10_501, 10_501], 500, True, [(2, 10_000, 10_501)]),
        ("exact", "init", [9000, 9000, 10_000], INIT, False, [(2, 9000, 10_000)]),
        ("exact", "init", [9000, 9000 + INIT, 9000], INIT, False, []),
        ("size", "ready", [10_000_000, 20_000_000], size_floor("", 20_000_000), False, [(1, 10_000_000, 20_000_000)]),
        ("size", "total", [5, 6], size_floor("", 6), False, []),
        ("wall", "ready", NOISY, 0, False, [(6, change_points(NOISY)[0].before, change_points(NOISY)[0].after)]),
    ],
)
def test_where_a_series_changed_and_by_which_floor(
    mode: str, figure: str, values: list[int], floor: int, calibrated: bool, changes: list[tuple[int, float, float]]
) -> None:
    made = trend(series(*values, mode=mode, figure=figure), FLOORS)
    assert (made.floor, made.calibrated) == (floor, calibrated)
    assert [(one.index, one.before, one.after) for one in made.changes] == changes
    assert judged(series(mode=mode, figure=figure), values, FLOORS) == (made.course, floor)


def test_the_newest_and_the_one_before_it() -> None:
    made = trend(series(1, 5000, 9000), FLOORS)
    assert (made.newest.value, made.previous and made.previous.value) == (9000, 5000)
    assert [made.at(one).value for one in made.changes] == [5000, 9000]
    assert [good and good.value for good in map(made.last_good, made.changes)] == [1, 5000]
    assert trend(series(1), FLOORS).previous is None
    two = trend(series(1, 2), FLOORS)
    assert two.previous is two.series.points[0]


@pytest.mark.parametrize(
    ("values", "mode", "within"),
    [
        ([1000, 1400], "exact", 400), ([1000, 700], "exact", -300), ([1000], "exact", 0),
        ([1000, 5000, 9000, 9200], "exact", 200), ([1000, 9000], "exact", 0), ([1000, 1400], "wall", 0),
        ([1000, 1500], "size", 500),
    ],
)  # fmt: skip
def test_how_far_the_newest_is_from_where_its_segment_began(values: list[int], mode: str, within: int) -> None:
    found = trend(series(*values, mode=mode), FLOORS).within
    assert found == within and isinstance(found, int)


def test_a_run_of_an_older_commit_says_nothing_of_the_newest_level() -> None:
    one = series(1000, 1100, 1300)
    older = tuple(replace(point, commit=commit) for point, commit in zip(one.points, "aba", strict=True))
    assert trend(replace(one, points=older), FLOORS).within == 0
    before = tuple(replace(point, commit=commit) for point, commit in zip(series(1000, 1100, 1200, 1300).points, "abac",
                                                                        strict=True))  # fmt: skip
    assert trend(replace(one, points=before), FLOORS).within == 300


def test_as_json() -> None:
    made = trend(series(1, 5000, 5001), FLOORS)
    good, change, newest = (
        {"run": f"run{at}", "when": f"day{at}", "value": value, "commit": f"c{at}", "subject": f"s{at}",
         "changed": False, "spec": f"y{at}", "inputs": ""}
        for at, value in enumerate((1, 5000, 5001))
    )  # fmt: skip
    assert to_json(made, {"qemu": "7"}, 1) == {
        "image": "i.yml", "machine": "m", "arch": "arm64", "mode": "exact", "figure": "ready", "unit": "us",
        "key": {"qemu": "7"}, "runs": 3, "floor": 500, "calibrated": True,
        "changes": [{"before": 1, "after": 5000, "p": 0.0, "last_good": good, "small_steps": False, **change}],
        "alone": [], "said": [], "older": [], "points": [newest],
    }  # fmt: skip
    assert [row["value"] for row in to_json(made, {}, 2)["points"]] == [5000, 5001]
    assert to_json(trend(series(1, mode="size"), FLOORS), {}, 1)["unit"] == "bytes"
    assert to_json(trend(series(1, mode="wall"), FLOORS), {}, 1)["unit"] == "us"


def said(answer: str, base: str = "run0", by: str = "pairs") -> JudgedRun:
    return JudgedRun(base, answer, by, "in words")


@pytest.mark.parametrize(
    ("values", "verdicts", "changes"),
    [
        ([9_000, 9_300], {}, []),
        ([9_000, 9_300], {"run1": said("worse")}, [(1, 9_000, 9_300)]),
        ([9_000, 8_700], {"run1": said("better")}, [(1, 9_000, 8_700)]),
        ([9_000, 9_900], {}, [(1, 9_000, 9_900)]),
        ([9_000, 9_900], {"run1": said("same")}, []),
        ([9_000, 9_900, 9_900], {"run1": said("same")}, []),
        ([9_000, 9_900], {"run1": said("same", by="floor")}, [(1, 9_000, 9_900)]),
        ([9_000, 9_900], {"run1": said("same", base="gone")}, [(1, 9_000, 9_900)]),
        ([9_000, 9_900], {"gone": said("same")}, [(1, 9_000, 9_900)]),
        ([9_000, 9_300, 9_900], {"run1": said("worse"), "run2": said("same", "run1")}, [(1, 9_000, 9_300)]),
    ],
)
def test_what_pairs_have_shown_is_where_it_changed(
    values: list[int], verdicts: dict[str, JudgedRun], changes: list[tuple[int, float, float]]
) -> None:
    made = trend(series(*values), FLOORS, verdicts)
    assert [(one.index, one.before, one.after) for one in made.changes] == changes
    assert [good and good.value for good in map(made.last_good, made.changes)] == [one[1] for one in changes]
    # of parts, sizes and wall times the gate has said nothing
    plain = trend(series(*values, figure="kernel"), Floors({"kernel": 500}), verdicts)
    assert plain.course == trend(series(*values, figure="kernel"), Floors({"kernel": 500})).course
    size = trend(series(*values, mode="size"), FLOORS, verdicts)
    assert size.course == trend(series(*values, mode="size"), FLOORS).course


def test_what_pairs_have_shown_to_be_the_same_is_not_within_the_floor_where_it_is_not() -> None:
    assert trend(series(9_000, 9_900), FLOORS, {"run1": said("same")}).within == 0
    assert trend(series(9_000, 9_500), FLOORS, {"run1": said("same")}).within == 500
    assert trend(series(9_000, 8_500), FLOORS).within == -500


def test_verdicts_are_told_as_json_with_the_runs_that_are_shown() -> None:
    made = trend(series(9_000, 9_300, 9_300), FLOORS, {"run1": said("worse"), "run2": said("same", "run1")})
    wanted = {"run": "run2", "base": "run1", "answer": "same", "by": "pairs", "said": "in words", "us": None}
    assert to_json(made, {}, 1)["said"] == [wanted]
    assert [row["run"] for row in to_json(made, {}, 2)["said"]] == ["run1", "run2"]
