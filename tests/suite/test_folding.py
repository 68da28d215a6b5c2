"""What a run's events are folded to, cell by cell: statuses, counts, boots, and what is said of each case."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UserError
from harness.run import results
from harness.run.results import case_of, complaint, effective, file_and_function, fold, function_of, of_json, read
from harness.run.results_model import CellResult, Results

Event = dict[str, Any]
END: Event = {"event": "end", "code": 0}


def run(*names: str, **more: Any) -> Event:
    rows = [{"id": name, "image": f"{name}.yml", "machine": "m", "arch": "arm64", "budget": {"size": 3.0}, **more}
            for name in names or ("a",)]  # fmt: skip
    return {"event": "run", "harness": "1", "when": "now", "run": "r", "plan": "p.yml", "source": None,
            "shard": None, "cells": rows}  # fmt: skip


def collected(names: dict[str, list[str]] | None = None, **counts: int) -> Event:
    return {"event": "collected", "cases": counts, "names": names or {}}


def case(outcome: str = "passed", cell: str = "a", name: str = "t.py::x", **more: Any) -> Event:
    return {"event": "case", "cell": cell, "case": f"{name}[{cell}]", "outcome": outcome, **more}


def one(*events: Event, end: Event | None = None) -> CellResult:
    """Return the only cell of a run that has ended."""
    (row,) = fold([run(), *events, end or END]).cells
    return row


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ([collected(a=1), case()], "passed"), ([collected(a=1), case("skipped")], "passed"),
        ([collected(a=1), case("known")], "passed"), ([collected(a=1), case("xpassed")], "passed"),
        ([collected(a=1), case(), case()], "passed"),
        ([collected(a=2), case()], "incomplete"), ([case()], "incomplete"), ([], "incomplete"),
        ([collected(a=0)], "not selected"), ([collected()], "not selected"),
        ([collected(a=2), case("failed")], "failed"), ([case("failed", whose="the image")], "failed"),
        ([case("failed", whose="this host"), case("failed", whose="the machine")], "lab failed"),
        ([case("failed", whose="this host"), case("failed", whose="the image")], "failed"),
        ([{"event": "built", "cell": "a", "size": 1, "sizes": {}, "spec": "s", "files": {}, "problem": "no"},
          case("failed")], "not run"),
    ],
)  # fmt: skip
def test_what_came_of_a_cell(events: list[Event], status: str) -> None:
    assert one(*events).status == status


def test_a_cell_that_could_not_be_tried_says_why() -> None:
    (row,) = fold([run(problem="no QEMU"), END]).cells
    assert (row.status, row.reason, row.budget.size, row.image) == ("not run", "no QEMU", 3.0, "a.yml")
    assert (row.size, row.seconds, row.cases.counts) == (None, 0, {"passed": 0, "failed": 0, "skipped": 0, "known": 0})


def test_cases_that_have_no_outcome_are_named() -> None:
    names = {"a": ["t.py::x[a]", "t.py::y[a]"], "": ["o.py::x", "o.py::y"]}
    events = [
        run(),
        collected(names, a=2),
        case(),
        {"event": "case", "cell": "", "case": "o.py::x", "outcome": "passed"},
    ]
    found = fold([*events, END])
    assert (found.cells[0].unrun, found.other.unrun) == (("t.py::y[a]",), ("o.py::y",))
    assert fold([*events, case(name="t.py::y"), END]).cells[0].unrun == ()
    late = fold([*events, END | {"deadline": "8h"}]).cells[0]
    assert (late.status, late.reason) == ("not run", "the deadline, 8h, came first")
    done = fold([*events, case(name="t.py::y"), END | {"deadline": "8h"}]).cells[0]
    assert (done.status, done.reason) == ("passed", "")


def test_workers_each_tell_what_they_have_collected() -> None:
    found = fold([run("a", "b"), collected({"a": ["x"]}, a=1), collected({"b": ["y"]}, b=1), case(name="x"), END])
    assert [row.status for row in found.cells] == ["passed", "incomplete"]
    assert found.cells[1].unrun == ("y",)


def test_what_is_said_of_cases() -> None:
    row = one(
        collected(a=3), case(seconds=1.23456), case(seconds=0.5), case("skipped"),
        case("failed", message="m", transcript="t", whose="w", seconds=1.0),
        case("known", message="m", transcript="t", known="until"), case("known", known="until"),
        case(passes="another"), case("passed"), case("failed", instead="passed"),
        case("xpassed"), case("xpassed"),
        {"event": "partial", "cell": "a", "outcome": "rerun"}, {"event": "partial", "cell": "a", "outcome": "rerun"},
        {"event": "repeated", "cell": "a", "case": "c", "message": "m", "transcript": "t", "whose": "w"},
        {"event": "begun", "cell": "a"}, {"event": "begun", "cell": ""},
    )  # fmt: skip
    assert row.cases.counts == {"passed": 3, "failed": 2, "skipped": 1, "known": 2, "xpassed": 2}
    assert row.seconds == 2.735
    said = {"case": "t.py::x[a]", "message": "m", "transcript": "t", "whose": "w"}
    assert row.failures[0].model_dump() == said and len(row.failures) == 2
    assert [one.model_dump() for one in row.repeated] == [said | {"case": "c"}]
    assert row.known[0].model_dump() == {"case": "t.py::x[a]", "message": "m", "transcript": "t", "known": "until"}
    assert len(row.known) == 2
    assert [(one.case, one.known) for one in row.passes] == [("t.py::x[a]", "another")]
    assert row.partial == {"rerun": 2}


def test_what_is_known_has_gone_once_it_fails_on_no_cell() -> None:
    cells = [run("a", "b"), collected(a=1, b=1), case(passes="k1")]
    (first, _) = fold([*cells, case("known", "b", known="k1"), END]).cells
    assert first.passes == ()
    (first, _) = fold([*cells, case("known", "b", known="k2"), END]).cells
    assert [row.known for row in first.passes] == ["k1"]


def test_cases_of_no_cell_count_beside_them() -> None:
    found = fold([run(), collected(), case("passed", "elsewhere"), case("failed", "", message="m"),
                  {"event": "partial", "cell": "", "outcome": "rerun"}, END])  # fmt: skip
    assert found.other.cases.counts == {"passed": 1, "failed": 1, "skipped": 0, "known": 0}
    assert [row.message for row in found.other.failures] == ["m"] and found.other.partial == {"rerun": 1}
    assert found.cells[0].cases.total == 0


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        (["passed"], True), (["failed"], False), (["passed", "failed"], False), (["failed", "passed"], False),
        (["skipped"], None), (["passed", "skipped"], True), (["known"], False), ([], None),
    ],
)  # fmt: skip
def test_the_root_is_read_only_when_every_case_of_it_passed(outcomes: list[str], verdict: bool | None) -> None:
    assert one(case(), *(case(word, verdict="root_readonly") for word in outcomes)).root_readonly is verdict


def booted(what: str, ready: float | None, **more: Any) -> Event:
    exact = {"power_on": 2.0, "figures": {"ready": 1}, "key": {"k": what}, "moved": "", "repeats": True}
    return {"event": "booted", "cell": "a", "what": what, "ready": ready, **exact, **more}


def test_boots_are_told_by_their_kind() -> None:
    row = one(booted("exact", 1.0, host={"cores": 1}, repeats=False, moved="init"), booted("wall", None),
              booted("wall", 9.0, host={"cores": 2}), booted("wall", 8.0, host={"cores": 3}),
              booted("exact", 1.5, host={"cores": 4}), booted("other", 7.0, host={"cores": 5}))  # fmt: skip
    assert (row.boot.exact.ready, row.exact_repeats, row.boot.exact.moved) == (1.5, True, "")
    assert (row.boot.wall.ready, row.boot.wall.key) == (9.0, {"k": "wall"})
    assert row.host == {"cores": 3}
    assert one(booted("exact", 1.0, host={"cores": 1}), booted("exact", 1.0, host={"cores": 4})).host == {"cores": 1}
    assert one(booted("exact", 1.0)).host == {} and one(booted("other", 1.0)).exact_repeats is None


GATE: Event = {"event": "gate", "against": "B", "cells": {"a": {"judged": "not judged", "reasons": ["why"]}}}


@pytest.mark.parametrize(
    ("events", "judged", "shown"),
    [
        ([collected(a=1), case()], "not judged", True), ([case("failed")], "not judged", True),
        ([case("failed", whose="this host")], "not judged", True), ([collected(a=0)], "not judged", False),
        ([collected(a=1)], "not judged", False), ([collected(a=1)], "worse", True), ([collected(a=0)], "same", True),
    ],
)  # fmt: skip
def test_a_cell_that_did_not_run_is_not_also_not_judged(events: list[Event], judged: str, shown: bool) -> None:
    gate = {**GATE, "cells": {"a": {"judged": judged, "reasons": ["why"]}}}
    found = fold([run(), *events, END, gate])
    assert found.against == "B"
    assert (found.cells[0].gate is not None) is shown
    assert fold([run(), *events, END]).cells[0].gate is None


def test_a_run_began_once_its_cases_are_collected() -> None:
    broken = END | {"error": {"text": "no disk", "exit": 3}}
    assert fold([run(), broken]).outcome.word == "could not begin"
    assert fold([run(), collected(), broken]).outcome.word == "ended early"


def test_notes_and_the_history_are_kept() -> None:
    found = fold([run(), {"event": "note", "text": "n1"}, {"event": "note", "text": "n2"}, END,
                  {"event": "history", "problem": "locked"}])  # fmt: skip
    assert (found.notes, found.history, found.plan, found.when) == (("n1", "n2"), "locked", "p.yml", "now")
    assert fold([]).interrupted and fold([END]).cells == ()


def test_where_a_run_went_on_what_it_repeats_does_not_count_twice() -> None:
    first = [run("a", "b"), {"event": "note", "text": "old"}, collected(a=1, b=1), case("failed"), case(cell="b"),
             case("failed", ""), {"event": "partial", "cell": "", "outcome": "rerun"}, END]  # fmt: skip
    again = {"event": "resumed", "cells": [{"id": "a"}], "finished": ["b"]}
    kept = effective([*first, again, {"event": "note", "text": "new"}])
    assert [(row["event"], row.get("cell")) for row in kept] == [
        ("run", None), ("collected", None), ("case", "b"), ("partial", ""), ("note", None),
    ]  # fmt: skip
    assert kept[1]["cases"] == {"b": 1} and kept[-1]["text"] == "new"
    found = fold([*first, again, collected(a=1), case(), END])
    assert [row.status for row in found.cells] == ["passed", "passed"] and found.exit == 0
    assert effective(first) == first


@pytest.mark.parametrize(
    ("nodeid", "cell", "name"),
    [
        ("t.py::x[a-b]", "a-b", "t.py::x"), ("t.py::x[a-b-2]", "a-b", "t.py::x[2]"),
        ("t.py::x[2-a-b]", "a-b", "t.py::x[2]"), ("t.py::x[1-a-b-2]", "a-b", "t.py::x[1-2]"),
        ("t.py::x[1-a-b-2-a-b-3]", "a-b", "t.py::x[1-2-a-b-3]"), ("t.py::x[other]", "a-b", "t.py::x[other]"),
        ("t.py::x[a-bc]", "a-b", "t.py::x[a-bc]"), ("t.py::x", "a-b", "t.py::x"), ("t.py::x[2]", "", "t.py::x[2]"),
        ("t.py", "", "t.py"),
    ],
)  # fmt: skip
def test_what_a_case_is_called_on_every_cell(nodeid: str, cell: str, name: str) -> None:
    assert case_of(nodeid, cell) == name


def test_what_a_case_is_called_by_persons() -> None:
    assert function_of("a/t.py::C::x[a::b]") == "x" and function_of("t.py") == "t.py"
    assert file_and_function("a/b/t.py::C::x[c/d]") == "t.py::x"


def test_a_results_file_is_read_or_refused(tmp_path: Path) -> None:
    found = fold([run(), collected(a=1), case(), END])
    path = results.write(tmp_path / "results.json", found)
    assert path == tmp_path / "results.json" and read(path) == found
    assert path.read_text() == results.dumped(found)
    assert path.read_text().startswith('{\n "schema": 1,') and path.read_text().endswith("}\n")
    assert "schema_" not in json.loads(path.read_text())
    for text, wrong in (
        ('["cells"]', "is not a results.json"), ('{"cell": []}', "is not a results.json"),
        ('{"cells": [{}]}', "cells.0.id"),
    ):  # fmt: skip
        path.write_text(text)
        with pytest.raises(UserError, match=wrong):
            read(path)
    assert of_json({"cells": [], "exit": 4}, "old").outcome.word == "lab failed"
    assert of_json({"cells": [], "exit": 4, "outcome": {"word": "passed"}}, "new").outcome.word == "passed"


def test_a_complaint_names_the_place() -> None:
    from pydantic import ValidationError

    def said(data: Any) -> str:
        with pytest.raises(ValidationError) as info:
            Results.model_validate(data)
        return complaint(info.value)

    assert said({"cells": [{"image": "x"}]}) == "cells.0.id: Field required"
    assert said(3).startswith("Input should be")
    where = said({"cells": [{"id": "a", "boot": {"exact": {"key": {"k" * 99: []}}}}]}).partition(": ")[0]
    assert where == f"cells.0.boot.exact.key.{'k' * 60}"
    with pytest.raises(UserError, match=r"called: not a run's results: cells\.0\.id: Field required"):
        results.made({"cells": [{"image": "x"}]}, "called")


def test_halves_of_surrogates_become_escapes() -> None:
    given = {"é\udc80": ["a", ("\udcff", 1)], "b": None}
    assert results.sound(given) == {"é\\udc80": ["a", ("\\udcff", 1)], "b": None}
    json.dumps(results.sound(given), ensure_ascii=False).encode()
    assert results.sound("\udcff") == "\\udcff" and results.sound("plain") == "plain"


def test_what_a_lost_host_had_done_of_its_cell_does_not_count() -> None:
    lost = {"event": "lost", "cell": "a"}
    mine, other, alone = case("failed"), case("failed", "b"), case("failed", "")
    built = {"event": "built", "cell": "a"}
    assert effective([built, mine, other, alone, lost]) == [built, other, alone, lost]
    assert effective([built, mine, other, alone, {**lost, "others": True}]) == [built, other, {**lost, "others": True}]
