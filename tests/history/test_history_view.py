"""The history's pages as text: they fit, whatever the terminal is."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.history.trends import trend
from harness.measure.floor import Floors
from harness.measure.series import Point, Series
from harness.show.history_text import ASCII, BLOCKS, Page, amount, part, table
from harness.show.history_view import Shown, detail, overview

FLOORS = Floors({"ready": 500})


def series(*values: int, mode: str = "exact", figure: str = "ready", subject: str = "A change") -> Series:
    points = tuple(
        Point(f"{number:032x}", f"2026-01-{number % 28 + 1:02}T00:00:00Z", value, f"{number:08x}", subject)
        for number, value in enumerate(values)
    )
    return Series("images/minimal.yml", "qemu-arm64", "arm64", mode, figure, "k", points)


def shown(one: Series, **more: object) -> Shown:
    return Shown(trend(one, FLOORS), {"qemu": "7.2"}, **more)  # type: ignore[arg-type]


def test_a_line_of_blocks_shows_what_is_beyond_the_floor() -> None:
    page = Page()
    assert page.spark([10, 20, 30], 5, 10) == "▁▄█"
    assert page.spark([10, 15], 5, 10) == "▁▁"
    assert page.spark([99, 10, 20, 30], 0, 3) == "▁▄█"
    assert page.spark([], 0, 10) == page.spark([1], 0, 0) == ""
    assert Page(encoding="ascii").spark([10, 20, 30], 5, 10) == f"{ASCII[0]}{ASCII[3]}{ASCII[-1]}"
    assert len(BLOCKS) == len(ASCII)


@given(st.lists(st.integers(-(2**63), 2**63 - 1)), st.integers(0, 2**63 - 1), st.integers(0, 300))
def test_a_line_of_blocks_is_as_long_as_there_is_room(values: list[int], floor: int, width: int) -> None:
    assert len(Page().spark(values, floor, width)) == min(len(values), width)


@pytest.mark.parametrize(
    ("mode", "value", "signed", "text"),
    [
        ("exact", 318_718, False, "318.718 ms"),
        ("exact", 1500, True, "+1.500 ms"),
        ("wall", 5_000_500, False, "5000 ms"),
        ("size", 14_084_060, False, "14.084 MB"),
        ("size", 187_792, False, "187.8 kB"),
        ("size", -12, True, "-12 B"),
        ("size", 0, False, "0 B"),
    ],
)
def test_amounts_have_their_unit(mode: str, value: int, signed: bool, text: str) -> None:
    assert amount(mode, value, signed=signed) == text


def test_a_part_of_nothing_is_new() -> None:
    assert (part(200, 201), part(0, 5)) == ("+0.50 %", "new")


def test_columns_are_below_each_other() -> None:
    assert table([("a", "1"), ("bcd", "22")], right=(1,)) == ["a     1", "bcd  22"]
    assert table([]) == []


def test_a_change_stands_beside_the_runs_that_it_lies_between() -> None:
    lines = list(overview(Page(100), [shown(series(300_000, 300_400, 301_000, 301_000))], 30))
    assert lines == ["  exact ready  301.000 ms  =  ▁▃██  +1.000 ms +0.33 % 2026-01-02 00000001 → 2026-01-03 00000002"]


def test_what_does_not_fit_beside_stands_below() -> None:
    lines = list(overview(Page(50), [shown(series(300_000, 301_000), older=((7, "qemu: 7.2 → 8.2"),))], 30))
    assert lines == ["  exact ready  301.000 ms  +1.000 ms  +0.33 %  ▁█",
                     "    +1.000 ms +0.33 % 2026-01-01 00000000 → 2026-…"]  # fmt: skip
    lines = list(overview(Page(50, "ascii"), [shown(series(1), older=((7, "qemu: 7.2 → 8.2"),))], 30))
    assert lines[1] == "    another key: qemu: 7.2 -> 8.2"


def test_only_what_is_beyond_the_floor_is_coloured() -> None:
    page = Page(colour=True)
    for values, colour in (((300_000, 301_000), "31"), ((301_000, 300_000), "32"), ((300_000, 300_100), "")):
        (line,) = overview(page, [shown(series(*values))], 30)
        assert re.findall(r"\x1b\[(\d+)m[+-]", line) == ([colour] if colour else [])


def test_one_figure_in_detail() -> None:
    one = shown(series(300_000, 301_000, 301_000), older=((7, "qemu: 7.2 → 8.2"),))
    assert list(detail(Page(), one, 2)) == [
        "exact ready of images/minimal.yml on qemu-arm64, 3 runs since 2026-01-01",
        "  ▁▁",
        "  key: qemu 7.2",
        "  not here: 7 with another key, qemu: 7.2 → 8.2",
        "  floor: 0.500 ms, calibrated",
        "",
        "changes beyond the floor: 1",
        "  300.000 ms  →  301.000 ms  +1.000 ms  +0.33 %  2026-01-01 00000000 → 2026-01-02 00000001",
        "      the image's YAML is the same; its packages are not recorded",
        "      commits 00000000..00000001: what lies between is not known here",
        "",
        "the last 2 runs",
        "     00000000  301.000 ms          =           2026-01-03 00000002 A change",
        "  *  00000000  301.000 ms  +1.000 ms  +0.33 %  2026-01-02 00000001 A change",
    ]


def test_a_wall_time_has_no_floor_but_change_points() -> None:
    one = shown(series(*[5_000_000, 5_100_000] * 20, *[7_000_000, 7_100_000] * 20, mode="wall"))
    text = "\n".join(detail(Page(), one, 3))
    assert "floor" not in text
    assert "changes: 1\n  5050 ms  →  7050 ms  +2000 ms  +39.60 %  2026-01-12 00000027 → 2026-01-13 00000028" in text


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_nothing_is_wider_than_the_terminal_nor_moves_its_cursor(encoding: str) -> None:
    nasty = "\x1b[2J\r\nTürstück \u202e" * 20
    one = series(300_000, 310_000, 305_000, subject=nasty)
    many = [replace(one, figure=figure) for figure in ("ready", "services/a-rather-long-name cpu")]
    for width in range(20, 200):
        page = Page(width, encoding)
        older = ((3, f"cmdline: {nasty} → x"),)
        for lines in (overview(page, [shown(each, older=older) for each in many], 30),
                      detail(page, shown(one, older=older), 30)):  # fmt: skip
            for line in lines:
                assert len(line) <= width, (width, line)
                assert line.isprintable()
                line.encode(encoding)
