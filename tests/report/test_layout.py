"""Layout: what is drawn is what was measured, whatever the numbers."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made import MANIFEST, MARKS, SIZES, record

from harness.measure.changepoints import ChangePoint, exact_changes
from harness.measure.phases import Phase, path, phases
from harness.measure.series import Point, Series
from harness.report import sizemap
from harness.report.chart import APART, FAR_APART, HEIGHT, WIDTH, ChartLine, chart, spark, thinned
from harness.report.thin import kept, straight
from harness.report.ticks import evenly, span, ticks
from harness.report.treemap import Rect, squarify
from harness.report.waterfall import waterfall

AREAS = st.lists(st.integers(1, 10**9), min_size=1, max_size=40)
VALUES = st.lists(st.integers(0, 10**7), min_size=1, max_size=400)


def overlap(one: Rect, other: Rect) -> float:
    across = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    down = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    return max(0.0, across) * max(0.0, down)


@given(AREAS, st.floats(1, 2000), st.floats(1, 2000))
def test_a_treemap_s_areas_are_in_proportion_and_fill_it_without_overlap(
    values: list[int], width: float, height: float
) -> None:
    values.sort(reverse=True)
    found = squarify(values, Rect(10, 20, width, height))
    whole = width * height
    for value, rect in zip(values, found, strict=True):
        assert rect.width * rect.height == pytest.approx(value / sum(values) * whole, abs=whole * 1e-9, rel=1e-6)
        assert rect.x >= 10 - 1e-6 and rect.x + rect.width <= 10 + width + 1e-6
        assert rect.y >= 20 - 1e-6 and rect.y + rect.height <= 20 + height + 1e-6
    assert all(overlap(one, other) <= whole * 1e-9 for one, other in combinations(found, 2))


def test_a_treemap_s_rectangles_are_rather_square() -> None:
    # the paper's own example: 6 by 4, areas 6 6 4 3 2 2 1; slices would be as thin as 1:24
    found = squarify([6, 6, 4, 3, 2, 2, 1], Rect(0, 0, 6, 4))
    assert max(max(one.width / one.height, one.height / one.width) for one in found) < 3
    assert found[0] == Rect(0, 0, 3, 2)


def test_nothing_has_a_treemap_without_area() -> None:
    assert squarify([], Rect(0, 0, 5, 5)) == []
    assert squarify([1], Rect(0, 0, 0, 5)) == [Rect(0, 0, 0, 0)]


def test_parts_have_their_largest_files_and_what_does_not_fit_has_no_label() -> None:
    found = sizemap.parts(SIZES, MANIFEST)
    assert [part.name for part in found] == ["kernel", "services/web", "first stage"]
    assert [file.name for file in found[1].parts] == ["usr/sbin/nginx", "lib/libssl.so.3"]
    assert sum(file.size for file in found[1].parts) == found[1].size
    drawn = sizemap.layout(found, 1080, 320)
    assert {tile.colour for tile in drawn.tiles} == {"kernel", "service", "stage"}
    assert [tile.label for tile in drawn.tiles if tile.inner] == ["nginx", "libssl.so.3"]
    for tile in drawn.tiles:
        assert len(tile.label) * sizemap.FONT * sizemap.LETTER <= tile.rect.width
        assert tile.rect.x + tile.rect.width <= 1080 and tile.rect.y + tile.rect.height <= 320


@given(st.integers(-(10**9), 10**9), st.integers(1, 10**9), st.integers(3, 12))
def test_ticks_are_round_and_few_and_inside(low: int, width: int, most: int) -> None:
    found = ticks(low, low + width, most)
    assert 1 <= len(found) <= most + 1
    assert all(low - 1e-6 <= one <= low + width + 1e-6 for one in found)
    for one, other in pairwise(found):
        assert re.fullmatch(r"[125]\.000e.*", f"{other - one:.3e}")


def test_an_axis_is_never_less_high_than_wanted() -> None:
    assert span([100, 100], 10) == (95, 105)
    low, high = span([0, 1000], 10)
    assert low < 0 and high > 1000
    assert ticks(5, 5, 4) == [5]


@given(st.integers(1, 10**5), st.integers(1, 9))
def test_even_places_have_both_ends(count: int, most: int) -> None:
    found = evenly(count, most)
    assert len(found) == min(count, most) and found == sorted(set(found)) and found[0] == 0
    assert most == 1 or found[-1] == count - 1


@given(VALUES, st.integers(4, 60), st.sets(st.integers(0, 399), max_size=5))
def test_thinning_keeps_ends_extremes_and_what_it_must(values: list[int], most: int, always: set[int]) -> None:
    found = kept(values, most, always)
    assert found == sorted(set(found)) and len(found) <= max(most, 4) + len(always)
    assert found[0] == 0 and found[-1] == len(values) - 1
    shown = [values[place] for place in found]
    assert min(shown) == min(values) and max(shown) == max(values)
    assert {one for one in always if one < len(values)} <= set(found)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60))
def test_leaving_out_the_middle_of_level_stretches_moves_no_line(values: list[int]) -> None:
    found = straight(range(len(values)), values)
    drawn: dict[int, float] = {found[0]: values[found[0]]}
    for one, other in pairwise(found):
        for place in range(one, other + 1):
            drawn[place] = values[one] + (values[other] - values[one]) * (place - one) / (other - one)
    assert [drawn[place] for place in range(len(values))] == values


def test_a_waterfall_lies_as_the_boot_did() -> None:
    found = waterfall(phases(record()))
    assert found and found.us == 412_132
    line = [bar for bar in found.bars if not bar.depth]
    assert [bar.name for bar in line] == ["firmware", "kernel", "drivers", "services"]
    for one, other in pairwise(line):
        assert one.start_us is not None and one.start_us + one.us == other.start_us
        assert one.left + one.wide == pytest.approx(other.left)
    assert sum(bar.wide for bar in line) == pytest.approx(100)
    assert found.clock_zero == pytest.approx(93_414 / 412_132 * 100) == line[1].left
    (service,) = [bar for bar in found.bars if bar.depth]
    assert found.bars.index(service) == 4 and service.cpu_us == 9_000
    assert service.left == pytest.approx((93_414 + 291_873) / 412_132 * 100)
    assert service.cpu_wide == pytest.approx(9_000 / 412_132 * 100) and service.cpu_share == pytest.approx(9 / 26.083)
    assert [tick.ms for tick in found.ticks] == [0, 100, 200, 300, 400]


def test_the_whole_is_the_main_line_s_and_the_path_goes_through_it_from_end_to_end() -> None:
    line = phases(record())
    traced = Phase("less: the trace itself", line[-2].start_us + line[-2].us, 500, under="services")
    found = waterfall([*line, traced], path(line))
    assert found and found.us == 412_132
    assert all(bar.left + bar.wide <= 100.000001 for bar in found.bars)
    steps = sorted((one.left, one.wide) for bar in found.bars for one in bar.path)
    assert steps[0][0] == 0 and sum(wide for _, wide in steps) == pytest.approx(100)
    assert all(one[0] + one[1] == pytest.approx(two[0]) for one, two in pairwise(steps))
    (service,) = [bar for bar in found.bars if bar.name.startswith("services/")]
    assert [one.wide for one in service.path] == [pytest.approx(service.wide)]


def test_small_steps_of_a_phase_are_one_row() -> None:
    steps = [Phase(f"initcall/{number}", 1000 * number, 100, under="kernel") for number in range(30)]
    found = waterfall([*phases(record()), *steps, Phase("module/large", 60_000, 20_000, under="kernel")])
    assert found
    inner = [(bar.name, bar.us) for bar in found.bars[2:4]]
    assert inner == [("module/large", 20_000), ("30 smaller steps", 3_000)]
    assert found.bars[4].name == "drivers"


def test_a_boot_that_never_began_has_no_waterfall() -> None:
    assert waterfall(phases(record(marks=(), power_on_us=None))) is None
    unready = waterfall(phases(record(marks=(*MARKS[:3], ("unready", 400_000, {})), power_on_us=None)))
    assert unready and unready.us == 400_000 and unready.clock_zero is None


def series(values: list[int], mode: str = "exact", key: str = "k", first: int = 0) -> Series:
    points = tuple(
        Point(f"{number:032x}", f"20{number // 336 + 10:02}-{number // 28 % 12 + 1:02}-{number % 28 + 1:02}T00:00:00Z",
              value, f"{number:040x}", f"Change {number}", "5" * 64)
        for number, value in enumerate(values, first)
    )  # fmt: skip
    return Series("images/minimal.yml", "qemu-arm64", "arm64", mode, "total", key, points)


def corners(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", path)]


@given(VALUES, st.sampled_from(["exact", "wall", "size"]), st.integers(0, 10**6))
def test_a_chart_has_all_of_its_line_inside(values: list[int], mode: str, floor: int) -> None:
    found = chart([ChartLine(series(values, mode), tuple(exact_changes(values, 10**6)), floor)], most=100)
    drawn = corners(found.paths[0])
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in drawn)
    assert [x for x, _ in drawn] == sorted(x for x, _ in drawn)
    ys = [y for _, y in drawn]
    wide = max((max(values) - min(values)) * 1.16, 0.02 * max(values), 4 * floor, 1)
    # an axis that would begin below zero begins there, and has less room
    assert (max(ys) - min(ys)) >= (max(values) - min(values)) / wide * HEIGHT - 0.011
    assert found.count == len(values) and found.drawn <= 100 + 2 * len(exact_changes(values, 10**6))
    assert all(-1e-6 <= tick.at <= 100 + 1e-6 for tick in (*found.across, *found.up))


def test_every_change_is_marked_at_its_place_and_those_with_numbers_have_room() -> None:
    values = [100_000 + 10_000 * (number // 5) for number in range(500)]
    found = chart([ChartLine(series(values), tuple(exact_changes(values, 500)), 500)])
    assert len(found.marks) == 99 and all(mark.worse for mark in found.marks)
    assert found.marks[0].at == pytest.approx(5 / 499 * 100)
    for apart, marks in (
        (APART, [mark for mark in found.marks if mark.number]),
        (FAR_APART, [mark for mark in found.marks if mark.number and mark.roomy]),
    ):
        assert 5 < len(marks) < 50 and marks[-1].number == "99"
        assert min(other.at - one.at for one, other in pairwise(marks)) >= apart
    assert [mark.number for mark in found.marks if mark.number] == [
        str(found.marks.index(mark) + 1) for mark in found.marks if mark.number
    ]


def test_values_of_another_key_are_a_line_of_their_own() -> None:
    old, new = ChartLine(series([100_000] * 10, key="a")), ChartLine(series([900_000] * 10, key="b", first=10))
    found = chart([old, new])
    assert len(found.paths) == 2 and found.borders == pytest.approx((10 / 19 * 100,))
    assert corners(found.paths[0])[-1][0] < corners(found.paths[1])[0][0]
    # two hosts that take turns: neither's line goes through the other's values
    turns = replace(series([0] * 10), points=series([0] * 20).points[1::2])
    first, second = chart([ChartLine(replace(turns, points=series([0] * 20).points[::2])), ChartLine(turns)]).paths
    assert corners(first)[0][0] == 0 and corners(second)[-1][0] == WIDTH


def test_noise_has_the_levels_that_it_lies_around() -> None:
    values = [5_000_000, 5_100_000] * 10
    (level,) = chart([ChartLine(series(values, "wall"))]).levels
    assert corners(level) == [(0, 50), (1000, 50)]
    assert chart([ChartLine(series(values))]).levels == ()


def test_both_sides_of_a_change_stay_even_where_nothing_is_seen() -> None:
    assert {40, 41} <= set(thinned([7] * 100, [ChangePoint(41, 6.9, 7.1, 0.0)], most=8))


def test_one_value_is_a_line_across() -> None:
    found = chart([ChartLine(series([100_000]))])
    assert found.paths == ("M0 50H1000",) and [tick.at for tick in found.across] == [0]
    assert spark(ChartLine(series([7]))) == "M0 50H1000"


def test_what_stays_within_the_floor_looks_level() -> None:
    ys = [y for _, y in corners(spark(ChartLine(series([100_000, 100_400, 100_000]), floor=500)))]
    assert max(ys) - min(ys) <= 25
    ys = [y for _, y in corners(spark(ChartLine(series([100_000, 140_000, 100_000]), floor=500)))]
    assert max(ys) - min(ys) > 80
