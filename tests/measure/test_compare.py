"""Comparing exact boots: the whole decides, and who has the change is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.compare import causes, compare, decides, is_step, sentence
from harness.measure.floor import LEAST_US, WHOLE_US, Floors, measure

BASE = {"ready": 500_000, "total": 590_000, "kernel": 180_000, "drivers": 80_000, "services": 160_000,
        "services/web": 110_000, "services/web cpu": 29_000, "cpu/services/web": 59_000,
        "cpu/services/db": 75_000, "cpu/initcall/a": 900, "cpu/module/x": 6_000}  # fmt: skip
FLOORS = Floors({"ready": 500, "total": 500})


def test_the_same_is_the_same() -> None:
    found = compare(BASE, BASE, FLOORS)
    assert (found.answer, found.culprit, found.causes) == ("same", None, ())
    assert sentence(found, "A", "B") == "B boots as A does, to the microsecond."


def test_the_whole_decides_and_who_has_most_of_it_is_named() -> None:
    after = BASE | {"total": 591_000, "ready": 501_000, "cpu/services/web": 60_050, "cpu/services/db": 74_950}
    found = compare(BASE, after, FLOORS)
    assert found.answer == "worse"
    assert found.culprit is not None and (found.culprit.owner, found.culprit.share) == ("services/web", 1.05)
    said = "B takes +1.000 ms (+0.17 %) against A: services/web uses +1.050 ms of the processor."
    assert sentence(found, "A", "B") == said
    back = compare(after, BASE, FLOORS)
    assert (back.answer, back.culprit and back.culprit.owner) == ("better", "services/web")


@pytest.mark.parametrize("figure", [name for name in BASE if name not in ("total", "ready")])
def test_no_part_decides(figure: str) -> None:
    for value in (0, 10**6):
        found = compare(BASE, BASE | {figure: value}, FLOORS)
        assert (found.answer, found.culprit) == ("same", None)
    assert not decides(figure) and decides("total") and decides("ready")


def test_what_is_within_the_floor_is_told_as_what_it_is() -> None:
    found = compare(BASE, BASE | {"total": 590_400}, FLOORS)
    assert (found.answer, found.culprit) == ("same", None)
    assert sentence(found, "A", "B") == "B boots as A does: +0.400 ms in all, within the floor of 0.500 ms."


def test_what_is_new_or_gone_is_named_so() -> None:
    after = BASE | {"total": 597_000, "ready": 507_000, "cpu/module/new": 6_500}
    found = compare(BASE, after, FLOORS)
    assert sentence(found, "A", "B").endswith(": module/new is new and uses 6.500 ms of the processor.")
    back = compare(after, BASE, FLOORS)
    assert back.answer == "better"
    assert sentence(back, "B", "A").endswith(": module/new is gone, which used 6.500 ms of the processor.")


def test_a_name_alone_is_no_cause() -> None:
    renamed = {name.replace("services/web", "services/wob"): us for name, us in BASE.items()}
    found = compare(BASE, renamed | {"cpu/services/wob": 59_010}, FLOORS)
    assert found.answer == "same"
    assert [(one.owner, one.renamed, one.us) for one in found.causes] == [("services/wob", "services/web", 10)]


def test_a_rename_with_more_work_beside_it_is_two() -> None:
    renamed = {name: us for name, us in BASE.items() if name != "cpu/services/web"} | {"cpu/services/wob": 70_000}
    assert {(one.owner, one.renamed) for one in causes(BASE, renamed, 11_000)} == {
        ("services/wob", ""), ("services/web", ""),
    }  # fmt: skip


def test_who_has_little_of_a_change_is_not_blamed_for_it() -> None:
    found = compare(BASE, BASE | {"total": 600_000, "cpu/services/web": 59_100}, FLOORS)
    assert (found.answer, found.culprit) == ("worse", None)
    assert sentence(found, "A", "B") == "B takes +10.000 ms (+1.69 %) against A."


def test_nobody_is_blamed_where_one_side_does_not_tell() -> None:
    plain = {name: us for name, us in BASE.items() if not is_step(name)}
    for pair in ((plain, BASE), (BASE, plain)):
        found = compare(*pair, FLOORS)
        assert (found.answer, found.causes) == ("same", ())


def test_older_steps_are_neither_changes_nor_causes() -> None:
    older = BASE | {"initcall/a": 5_000, "module/x": 7_000, "services/web alone": 9_000}
    found = compare(BASE, older, FLOORS)
    assert (found.answer, [change for change in found.changes if change.us], found.causes) == ("same", [], ())


def test_changes_come_largest_first() -> None:
    sizes = [abs(change.us) for change in compare(BASE, BASE | {"kernel": 1, "drivers": 2}, FLOORS).changes]
    assert sizes == sorted(sizes, reverse=True)


FIGURES = st.dictionaries(st.sampled_from(sorted(BASE)), st.integers(0, 10**6))


@given(one=FIGURES, other=FIGURES)
def test_the_other_way_round_it_is_the_opposite(one: dict[str, int], other: dict[str, int]) -> None:
    opposite = {"better": "worse", "worse": "better", "same": "same"}
    assert compare(other, one, FLOORS).answer == opposite[compare(one, other, FLOORS).answer]


@pytest.mark.parametrize(
    ("figure", "value", "floor"),
    [("total", 600_000, WHOLE_US), ("ready", 60, WHOLE_US), ("onboot/x", 20_000, 1_000), ("init", 100, LEAST_US)],
)
def test_a_figure_that_nobody_calibrated_has_a_floor_of_its_kind(figure: str, value: int, floor: int) -> None:
    assert Floors().of(figure, value - 1, value) == floor
    assert not Floors().calibrated


def test_a_floor_is_the_range_and_a_margin() -> None:
    assert measure([{"a": 100, "b": 5}, {"a": 500}, {"a": 300, "b": 5}]) == {"a": 550, "b": 50}
