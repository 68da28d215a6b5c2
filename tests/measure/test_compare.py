"""Comparing exact boots: what counts, what it comes to, and who is to blame."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.compare import alike, compare, is_step, sentence
from harness.measure.floor import LEAST_US, Floors, measure

BASE = {"ready": 500_000, "total": 590_000, "kernel": 180_000, "drivers": 80_000, "services": 160_000,
        "services/web": 110_000, "services/web cpu": 29_000, "services/web alone": 59_000,
        "services/db alone": 75_000, "initcall/a": 900, "module/x": 6_000}  # fmt: skip
FLOORS = Floors({"ready": 2_000, "total": 2_000, "kernel": 400, "drivers": 900, "services": 1_600,
                 "services/web alone": 200, "services/db alone": 900})  # fmt: skip


def test_the_same_is_the_same() -> None:
    found = compare(BASE, BASE, FLOORS)
    assert (found.answer, found.culprit) == ("same", None)
    assert sentence(found, "A", "B") == "B boots as A does, to the microsecond."


def test_a_millisecond_of_one_service_is_found_and_named_though_the_sum_is_within_its_floor() -> None:
    after = BASE | {"total": 590_780, "ready": 500_780, "services": 160_780, "services/web alone": 60_050,
                    "services/db alone": 75_500, "services/web": 90_000, "services/web cpu": 35_000}  # fmt: skip
    found = compare(BASE, after, FLOORS)
    assert found.answer == "worse"
    assert found.culprit is not None and found.culprit.figure == "services/web alone"
    assert sentence(found, "A", "B") == "B takes +0.780 ms (+0.13 %) against A: services/web takes +1.050 ms."


def test_what_services_take_side_by_side_decides_nothing() -> None:
    after = BASE | {"services/web": 10_000, "services/web cpu": 90_000}
    assert compare(BASE, after, FLOORS).answer == "same"


def test_a_new_module_is_named_rather_than_the_phase_it_is_in() -> None:
    after = BASE | {"total": 597_000, "ready": 507_000, "drivers": 87_000, "module/new": 6_500}
    found = compare(BASE, after, FLOORS)
    assert found.culprit is not None and found.culprit.figure == "module/new"
    assert sentence(found, "A", "B").endswith(": module/new is new and takes 6.500 ms.")
    back = compare(after, BASE, FLOORS)
    assert back.answer == "better"
    assert sentence(back, "B", "A").endswith(": module/new is gone, which took 6.500 ms.")


def test_the_sum_decides_where_parts_go_both_ways() -> None:
    after = BASE | {"total": 585_000, "ready": 495_000, "drivers": 70_000, "kernel": 185_000}
    found = compare(BASE, after, FLOORS)
    assert found.answer == "better"
    assert found.culprit is not None and found.culprit.figure == "drivers"


def test_changes_come_largest_first() -> None:
    sizes = [abs(change.us) for change in compare(BASE, BASE | {"kernel": 1, "drivers": 2}, FLOORS).changes]
    assert sizes == sorted(sizes, reverse=True)


@given(st.dictionaries(st.sampled_from(sorted(BASE)), st.integers(0, 10**6)),
       st.dictionaries(st.sampled_from(sorted(BASE)), st.integers(0, 10**6)))  # fmt: skip
def test_the_other_way_round_it_is_the_opposite(one: dict[str, int], other: dict[str, int]) -> None:
    opposite = {"better": "worse", "worse": "better", "same": "same"}
    there, back = compare(one, other, FLOORS), compare(other, one, FLOORS)
    # parts that go both ways by the same amount have no one answer
    sizes = [abs(change.us) for change in there.changes if change.counts]
    if len(set(sizes)) == len(sizes):
        assert back.answer == opposite[there.answer]


@pytest.mark.parametrize(("figure", "value", "floor"), [("total", 600_000, 6_000), ("onboot/x", 20_000, 1_000),
                                                        ("initcall/x", 100, LEAST_US)])  # fmt: skip
def test_a_figure_that_nobody_calibrated_has_a_share_of_itself(figure: str, value: int, floor: int) -> None:
    assert Floors().of(figure, value - 1, value) == floor
    assert not Floors().calibrated


def test_a_floor_is_the_range_and_a_margin() -> None:
    assert measure([{"a": 100, "b": 5}, {"a": 500}, {"a": 300, "b": 5}]) == {"a": 550, "b": 50}


def test_steps_count_only_where_both_boots_were_told_step_by_step() -> None:
    plain = {name: us for name, us in BASE.items() if not is_step(name)}
    assert set(BASE) - set(plain) == {"services/web alone", "services/db alone", "initcall/a", "module/x"}
    for pair in ((plain, BASE), (BASE, plain)):
        found = compare(*pair, FLOORS)
        assert (found.answer, [change for change in found.changes if change.us]) == ("same", [])
    assert alike(BASE, BASE | {"module/y": 7_000})[1]["module/y"] == 7_000
