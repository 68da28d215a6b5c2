"""Comparing exact boots: the whole decides, and who has the change is named."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import paths
from harness.arch import ARCHES
from harness.measure.compare import Cause, Comparison, blamed, causes, compare, decides, is_step, sentence
from harness.measure.floor import MOST_SHARE, MOST_US, Floors, measure

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


@pytest.mark.parametrize(("asked", "answer"), [((9_999, 0), "worse"), ((10_000, 0), "same"), ((0, 10_000), "same")])
def test_what_was_asked_for_may_lie_before_its_figure_and_parts_are_told_as_ever(
    asked: tuple[int, int], answer: str
) -> None:
    before, after = ({**BASE, "ready asked": us} for us in asked)
    floors = Floors({"ready": 500, "total": 500, "drivers": 500})
    found = compare(before, {**after, "total": 600_500, "ready": 510_500, "drivers": 85_000}, floors)
    assert found.answer == answer
    assert next(change for change in found.changes if change.figure == "drivers").counts


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


def changed(total: int, **owners: int) -> Comparison:
    """Compare BASE with a boot whose whole and owners take so much more."""
    more = {f"cpu/services/{name}": BASE[f"cpu/services/{name}"] + us for name, us in owners.items()}
    return compare(BASE, BASE | {"total": BASE["total"] + total} | more, FLOORS)


@pytest.mark.parametrize(
    ("total", "web", "db", "culprit"),
    [
        (1_000, 300, -2_000, "services/web"),  # the largest change goes the other way
        (-1_000, 2_000, -300, "services/db"),
        (1_000, 300, 400, "services/db"),
        (1_000, 100, 0, "services/web"),  # just enough of it
        (1_000, 99, 0, None),
        (-1_000, -100, 0, "services/web"),
        (-1_000, -99, 0, None),
        (500, 500, 0, None),  # the floor is not passed
        (501, 500, 0, "services/web"),
        (-501, -500, 0, "services/web"),
    ],
)
def test_the_culprit_has_most_of_the_change_the_same_way(total: int, web: int, db: int, culprit: str | None) -> None:
    found = changed(total, web=web, db=db)
    assert (found.culprit.owner if found.culprit else None) == culprit


def test_a_renamed_owner_is_no_culprit() -> None:
    renamed = {name.replace("services/web", "services/wob"): us for name, us in BASE.items()}
    found = compare(BASE, renamed | {"total": 591_000, "cpu/services/wob": 60_000, "cpu/services/db": 75_200}, FLOORS)
    assert [one.owner for one in found.causes] == ["services/wob", "services/db"]
    assert found.culprit is not None and found.culprit.owner == "services/db"


@pytest.mark.parametrize(
    ("was", "now", "renamed"),
    [(1_000, 1_060, True), (1_000, 1_061, False), (1_000, 940, True), (1_000, 939, False), (100_000, 102_000, True),
     (100_000, 102_001, False), (100_000, 98_000, True), (100_000, 97_999, False)],
)  # fmt: skip
def test_how_alike_one_under_another_name_is(was: int, now: int, renamed: bool) -> None:
    found = causes({"cpu/idle": 1, "cpu/work/a": was}, {"cpu/idle": 1, "cpu/work/b": now}, 1_000)
    assert any(one.renamed for one in found) is renamed
    other = causes({"cpu/idle": 1, "cpu/work/a": was}, {"cpu/idle": 1, "cpu/thread/b": now}, 1_000)
    assert not any(one.renamed for one in other), "of another kind"


def test_who_is_gone_is_taken_for_one_new_name_only() -> None:
    old, new = {"cpu/work/a": 1_000}, {"cpu/work/b": 1_000, "cpu/work/c": 1_010}
    assert [(one.owner, one.before, one.after, one.renamed) for one in causes(old, new, 1_000)] == [
        ("work/b", None, 1_000, ""), ("work/c", 1_000, 1_010, "work/a"),
    ]  # fmt: skip


def test_shares_are_of_the_whole_and_of_nothing_there_are_none() -> None:
    old, new = {"cpu/a": 1_000, "cpu/b": 5}, {"cpu/a": 1_500, "cpu/c": 900}
    assert [(one.owner, one.us, one.share) for one in causes(old, new, 2_000)] == [
        ("c", 900, 0.45), ("a", 500, 0.25), ("b", -5, -0.0025),
    ]  # fmt: skip
    assert {one.share for one in causes(old, new, 0)} == {None}


def test_without_a_total_ready_decides_and_with_one_it_does_not() -> None:
    old, new = {"ready": 1_000, "kernel": 10}, {"ready": 2_000, "kernel": 10}
    found = compare(old, new, FLOORS)
    assert found.answer == "worse" and found.total is not None and found.total.figure == "ready"
    assert compare(old | {"total": 9_000}, new | {"total": 9_000}, FLOORS).answer == "same"
    one_side = compare(old | {"total": 9_000}, new, FLOORS)
    assert one_side.answer == "worse" and one_side.total is not None and one_side.total.figure == "ready"
    for pair in (({"total": 9_000}, {"ready": 1}), ({"ready": 1}, {"total": 9_000}), ({}, {"total": 1}), ({}, {})):
        nothing = compare(*pair, FLOORS)
        assert (nothing.answer, nothing.total, nothing.culprit) == ("same", None, None)


def test_the_floor_is_that_of_both_sides_values() -> None:
    wide, most = Floors({"ready": 10**9}), round(10**6 * MOST_SHARE)
    (ready,) = (one for one in compare({"ready": 10**6}, {"ready": 10}, wide).changes)
    assert (ready.floor, ready.us, ready.counts) == (most, 10 - 10**6, True)
    (new,) = compare({}, {"ready": 10**6}, wide).changes
    assert (new.before, new.after, new.us, new.floor) == (None, 10**6, 10**6, most)
    (gone,) = compare({"ready": 10**6}, {}, wide).changes
    assert (gone.before, gone.after, gone.us, gone.floor) == (10**6, None, -(10**6), most)
    (kernel,) = compare({"kernel": 10}, {"kernel": 20}, Floors({"kernel": 7})).changes
    assert kernel.floor == 7


def test_of_idling_it_is_said_that_nobody_had_the_processor() -> None:
    assert blamed(Cause("idle", 500, 5_500, 1.0)) == ": nobody had the processor for +5.000 ms"
    assert blamed(Cause("idle", None, 5_500, 1.0)) == ": nobody had the processor for +5.500 ms"


def test_a_microsecond_counts_where_nothing_moves_without_a_cause() -> None:
    for by, answer in ((1, "worse"), (-1, "better")):
        after = BASE | {"total": BASE["total"] + by, "cpu/services/web": BASE["cpu/services/web"] + by}
        found = compare(BASE, after, Floors({"total": 0}))
        assert (found.answer, found.culprit and found.culprit.owner) == (answer, "services/web")


def test_without_a_whole_there_are_no_shares() -> None:
    assert [one.share for one in compare({"cpu/a": 1}, {"cpu/a": 9}, FLOORS).causes] == [None]


def test_a_change_of_a_part_alone_is_the_same_and_said_so() -> None:
    found = compare({"kernel": 10}, {"kernel": 20}, FLOORS)
    assert sentence(found, "A", "B") == "B boots as A does."


def test_who_has_little_of_a_change_is_not_blamed_for_it() -> None:
    found = compare(BASE, BASE | {"total": 600_000, "cpu/services/web": 59_100}, FLOORS)
    assert (found.answer, found.culprit) == ("worse", None)
    assert sentence(found, "A", "B") == "B takes +10.000 ms (+1.69 %) against A."


def test_nobody_is_blamed_where_one_side_does_not_tell() -> None:
    plain = {name: us for name, us in BASE.items() if not is_step(name)}
    for pair in ((plain, BASE), (BASE, plain)):
        found = compare(*pair, FLOORS)
        assert (found.answer, found.causes) == ("same", ())


def test_a_phase_is_blamed_where_nobody_tells_who_had_the_processor() -> None:
    old, new = {"ready": 900_000, "to login": 100_000, "to ready": 800_000}, {"ready": 990_000, "to login": 100_010}
    found = compare(old, new | {"to ready": 889_990, "services/web": 500_000, "services/web cpu": 9}, Floors())
    assert [(one.owner, one.us, one.span) for one in found.causes] == [
        ("to ready", 89_990, True), ("to login", 10, True),
    ]  # fmt: skip
    assert sentence(found, "A", "B") == "B takes +90.000 ms (+10.00 %) against A: to ready takes +89.990 ms."
    shares = {one.owner: one.share for one in causes({"a": 100, "gone": 40}, {"a": 160, "new": 30}, 50)}
    assert shares == {"a": 1.2, "gone": -0.8, "new": 0.6}
    traced = compare(BASE, BASE | {"total": 592_000, "kernel": 182_000}, FLOORS)
    assert (traced.answer, traced.culprit) == ("worse", None), "a phase's time is no cost of anybody's"


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


@pytest.mark.parametrize("arch", list(ARCHES))
@pytest.mark.parametrize(
    ("figure", "kind"),
    [
        ("total", "total"), ("ready", "ready"), ("firmware", "firmware"), ("init", "init"), ("onboot/x", "onboot/"),
        ("services", "services"), ("services/web", "services/"), ("services/web cpu", "cpu"), ("cpu/init", "cpu"),
        ("cpu/services/web", "cpu"), ("to login", "total"),
    ],
)  # fmt: skip
def test_a_figure_that_nobody_calibrated_has_the_floor_of_its_phase_on_its_architecture(
    arch: str, figure: str, kind: str
) -> None:
    for value in (100, 10**7):  # what moves is where things lie: it does not grow with a phase
        assert Floors(arch=arch).of(figure, value - 1, value) == ARCHES[arch].floors_us[kind]
        assert Floors().of(figure, value) == max(row[kind] for row in (one.floors_us for one in ARCHES.values()))
    assert not Floors(arch=arch).calibrated
    assert Floors({figure: 7}, arch).of(figure, 1) == 7
    assert len({frozenset(one.floors_us) for one in ARCHES.values()}) == 1


def test_an_architecture_that_nobody_measured_has_the_widest_floors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARCHES, "riscv64", replace(ARCHES["arm64"], name="riscv64", floors_us={}))
    widest = max(row.floors_us["ready"] for row in ARCHES.values() if row.floors_us)
    assert Floors(arch="riscv64").of("ready", 1) == Floors().of("ready", 1) == widest


def test_the_documentation_has_these_floors() -> None:
    text = (paths.TOP / "docs/tutorial-performance.md").read_text()
    for arch, row in ((name, one.floors_us) for name, one in ARCHES.items()):
        (line,) = re.findall(rf"^\| {arch} \| .*$", text, re.MULTILINE)
        kinds = ("total", "firmware", "kernel", "first stage", "init", "drivers", "onboot/", "services")
        said = [cell.split()[0] for cell in line.split("|")[2:-1]]
        assert said == [f"{row[kind] / 1000:g}" for kind in kinds]


def test_a_floor_is_the_range_and_a_margin() -> None:
    assert measure([{"a": 100, "b": 5}, {"a": 500}, {"a": 300, "b": 5}]) == {"a": 550, "b": 50}


def test_a_measured_floor_of_the_whole_is_bounded_by_the_larger_of_two_bounds() -> None:
    found = Floors({"ready": 10**9, "kernel": 10**9})
    assert found.of("ready", 1) == found.of("ready") == MOST_US
    assert found.of("ready", 1_000_000, 2_000_000) == round(2_000_000 * MOST_SHARE) > MOST_US
    assert found.of("kernel", 1) == 10**9, "a part's is not: the whole alone decides"
