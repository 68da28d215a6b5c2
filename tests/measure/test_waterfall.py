"""The waterfall in the terminal."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.account import TRACING, explained
from harness.measure.compare import Cause
from harness.measure.phases import Phase
from harness.measure.waterfalls import DiffRow, diff, named
from harness.show import waterfall

BOOT = [
    Phase("firmware", -50_000, 50_000),
    Phase("kernel", 0, 100_000),
    Phase("services", 100_000, 50_000),
    Phase("services/web", 110_000, 40_000, under="services", cpu_us=12_300),
    Phase("initcall/slow", 20_000, 30_000, under="kernel"),
    Phase("initcall/a", 60_000, 10, under="kernel"),
    Phase("initcall/b", 60_010, 20, under="kernel"),
]


def test_bars_lie_where_the_time_was() -> None:
    assert list(waterfall.lines(BOOT, 100)) == [
        "       from    takes ms phase",
        "    -50.000      50.000 firmware                           ██████████",
        "      0.000     100.000 kernel                                       ████████████████████",
        "     20.000      30.000   initcall/slow                                  ██████",
        "                  0.030   2 smaller steps",
        "    100.000      50.000 services                                                         ███████████",
        "    110.000      40.000   services/web (cpu 12.3)                                          █████████",
        "                200.000 all",
    ]


def test_who_could_have_idled_and_who_was_last_is_said() -> None:
    services = [replace(BOOT[3], slack_us=0), replace(BOOT[3], name="services/db", cpu_us=None, slack_us=20_000)]
    shown = "\n".join(waterfall.lines([*BOOT[:3], *services], 120))
    assert "services/web (cpu 12.3, on path) " in shown and "services/db (slack 20.0) " in shown


def test_the_path_to_ready_and_what_lies_beside_it_are_said() -> None:
    services = [replace(BOOT[3], slack_us=0, us=39_000), replace(BOOT[3], name="services/db", slack_us=20_000)]
    assert list(waterfall.path([*BOOT[:3], *services], 70)) == [
        "path to ready: firmware 50.000, kernel 100.000, until services/web",
        "  starts 10.000, services/web 39.000, from its health to ready 1.000",
        "in slack: services/db 20.000",
    ]
    assert list(waterfall.path([], 70)) == []


def test_without_blocks_it_is_ascii() -> None:
    assert all(line.isascii() for line in waterfall.lines([*BOOT, Phase("x" * 60, 150_000, 9)], 100, blocks=False))


@given(st.integers(20, 200), st.lists(st.tuples(st.integers(0, 10**6), st.text(min_size=1, max_size=50)), min_size=1))
def test_no_line_is_wider_than_the_terminal(width: int, rows: list[tuple[int, str]]) -> None:
    line, start = [], 0
    for us, name in rows:
        line.append(Phase(name.replace("\n", " ").replace("\r", " "), start, us))
        start += us
    for text in waterfall.lines(line, max(width, 50)):
        assert len(text) <= max(width, 50)


def test_nothing_is_no_waterfall() -> None:
    assert list(waterfall.lines([], 80)) == []


def test_a_traced_row_lies_in_the_plain_boot_s_phase_and_rows_add_up() -> None:
    plain = [Phase("kernel", 0, 100), Phase("drivers", 100, 50)]
    traced = [Phase("kernel", 0, 110), Phase("drivers", 110, 60)]
    steps = [Phase("initcall/a", 20, 110, under="kernel"), Phase("module/b", 120, 60, under="drivers")]
    found = explained(plain, traced, steps)
    assert found[:2] == plain
    assert Phase("module/b", 110, 60, under="drivers") in found
    assert [phase.us for phase in found if phase.name == TRACING] == [-10, -10]


def test_two_waterfalls_lie_side_by_side_in_the_order_of_time() -> None:
    old = [*BOOT[:3], replace(BOOT[3], slack_us=5_000), Phase("work/a", 20_000, 500, under="kernel")]
    new = [
        *BOOT[:2], Phase("drivers", 100_000, 7_000), replace(BOOT[2], start_us=107_000, us=52_000),
        replace(BOOT[3], start_us=117_000, us=42_000, slack_us=0), Phase("work/a", 20_000, 510, under="kernel"),
    ]  # fmt: skip
    found = diff(old, new)
    assert [(row.name, row.depth, row.us) for row in found] == [
        ("firmware", 0, 0), ("kernel", 0, 0), ("drivers", 0, 7_000), ("services", 0, 2_000),
        ("services/web", 1, 2_000), ("all", 0, 9_000),
    ]  # fmt: skip
    assert sum(row.us for row in found[:-1] if not row.depth) == found[-1].us
    assert (found[2].before, found[4].place, found[3].place) == (None, "slack 5.000 → on the path", "")
    assert [(row.name, -row.us) for row in diff(new, old)] == [(row.name, row.us) for row in found]
    assert diff([], new) == []
    alone = diff(new, BOOT[:3])
    assert [(row.name, row.place) for row in alone if row.depth] == [("work/a", ""), ("services/web", "on the path")]
    assert DiffRow("a", 1, 1, 2, (None, 5_000)).place == "slack 5.000"


@pytest.mark.parametrize(("us", "shown"), [(19, False), (20, True), (-20, True), (-19, False)])
def test_a_part_that_hardly_differs_is_not_shown(us: int, shown: bool) -> None:
    sides = [[*BOOT[:2], Phase("work/a", 20_000, size, under="kernel")] for size in (500, 500 + us)]
    assert ("work/a" in [row.name for row in diff(*sides)]) is shown


@pytest.mark.parametrize(
    ("cause", "parts", "said"),
    [
        (Cause("services/web", 40_000, 42_000, 1.0), ({"sh": 100}, {"sh": 2_000, "crun": 50}),
         ": services/web uses +2.000 ms of the processor, in its program sh, on the path"),
        (Cause("services/web", 42_000, 40_000, 1.0), ({"sh": 2_000}, {"sh": 100, "crun": 900}),
         ": services/web uses -2.000 ms of the processor, in its program sh, on the path"),
        (Cause("services/web", 40_000, 42_000, 1.0), ({"sh": 100}, {"sh": 600, "crun": 500}),
         ": services/web uses +2.000 ms of the processor, on the path"),
        (Cause("services/web", 40_000, 42_000, 1.0), ({}, {"sh": 1_000}),
         ": services/web uses +2.000 ms of the processor, on the path"),
        (Cause("services/web", 40_000, 42_000, 1.0), ({"crun": 9_000}, {"sh": 1_001, "crun": 0}),
         ": services/web uses +2.000 ms of the processor, in its program sh, on the path"),
        (Cause("work/a", 500, 900, 0.2), ({"": 500}, {"": 900}), ": work/a uses +0.400 ms of the processor"),
        (Cause("idle", 500, 5_500, 1.0), ({"until init goes on": 500}, {"until onboot/prep goes on": 5_000}),
         ": nobody had the processor for +5.000 ms, until onboot/prep goes on"),
        (None, ({}, {}), ""),
    ],
)  # fmt: skip
def test_the_cause_is_named_with_its_program_and_where_it_lies(
    cause: Cause | None, parts: tuple[dict[str, int], dict[str, int]], said: str
) -> None:
    rows = diff([*BOOT[:3], replace(BOOT[3], slack_us=0)], [*BOOT[:3], replace(BOOT[3], us=42_000, slack_us=0)])
    assert named(cause, rows, parts) == said
