"""The history on both databases: what is put in comes out, once, in order, whoever else writes meanwhile."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runs import FIGURES, KEY, SIZES, cell, results
from sqlalchemy import event

from harness.errors import HostError, UserError
from harness.history import History

HERE = Path(__file__).parent
# adds runs; begins when its standard input ends, so that several begin at once
WRITER = """
import sys
from runs import results
from harness.history import History
where, *numbers = sys.argv[1:]
sys.stdin.read()
with History.open(where) as history:
    print(sum(history.add(results(int(number))) for number in numbers))
"""


def test_a_run_is_there_once(history: History) -> None:
    assert history.add(results(1))
    assert not history.add(results(1, exact={"ready": 1}))
    (head,) = history.runs()
    assert (head.run, head.when, head.plan) == (f"{1:032x}", "2026-01-02T00:00:00Z", "plan.yml")
    assert (head.commit, head.subject, head.changed) == (f"{1:040x}", "Change 1", False)
    (only,) = history.cells(head)
    assert (dict(only.exact), dict(only.sizes)) == (FIGURES, {"total": 10_000_000, **SIZES})
    assert only.key == KEY


def test_a_run_that_went_on_is_there_as_it_ended(history: History) -> None:
    before = results(1, cell("qemu-arm64", exact={"ready": 1000}))
    after = results(1, cell("qemu-arm64", exact={"ready": 2000}), cell("qemu-s390x", exact={"ready": 3000}))
    assert history.add(before)
    assert not history.add(after)  # as an import does: what is there stays, what is missing is added
    (head,) = history.runs()
    assert {one.machine: one.exact["ready"] for one in history.cells(head)} == {"qemu-arm64": 1000, "qemu-s390x": 3000}
    assert not history.add(after, again=True)
    assert history.runs() == [head]
    assert {one.machine: one.exact["ready"] for one in history.cells(head)} == {"qemu-arm64": 2000, "qemu-s390x": 3000}
    for one in history.series(mode="exact", figure="ready"):
        assert len(history.values(one).points) == 1


def test_a_series_is_in_the_order_of_time(history: History) -> None:
    for number in (5, 1, 3):
        history.add(results(number, exact={"ready": 300_000 + number}))
    (head,) = history.series("minimal", "qemu-arm64", "exact", "ready")
    points = history.values(head).points
    assert [point.value for point in points] == [300_001, 300_003, 300_005]
    assert [point.subject for point in points] == ["Change 1", "Change 3", "Change 5"]
    assert points[0].spec == "5" * 64
    assert [point.value for point in history.values(head, last=2).points] == [300_003, 300_005]
    assert [one.subject for one in history.runs(last=1)] == ["Change 5"]


def test_figures_with_another_key_are_another_series(history: History) -> None:
    history.add(results(1, key={"qemu": "8.2"}))
    history.add(results(2))
    newest, older = history.series(mode="exact", figure="ready")
    assert (history.key(newest)["qemu"], history.key(older)["qemu"]) == ("7.2.22", "8.2")
    assert [len(history.values(one).points) for one in (newest, older)] == [1, 1]
    assert len(history.series(mode="size", figure="total")) == 1  # a size has no key


def test_wall_times_of_two_hosts_are_two_series(history: History) -> None:
    history.add(results(1, wall=5000.5))
    history.add(results(2, cpu="Xeon"))
    newest, older = history.series(mode="wall")
    assert history.values(older).points[0].value == 5_000_500
    assert history.key(newest)["host cpu"] == "Xeon"


def test_what_did_not_repeat_is_no_exact_time(history: History) -> None:
    history.add(results(1, repeats=False))
    assert {head.mode for head in history.series()} == {"wall", "size"}


def test_a_run_that_measured_nothing_leaves_nothing(history: History) -> None:
    one = cell(repeats=False, wall=None)
    one["size"] = None
    assert not history.add(results(1, one))
    assert history.runs() == []


def test_two_images_with_the_same_first_file_are_two(history: History) -> None:
    history.add(results(1, cell(), cell(exact={"ready": 1}), cell("qemu-s390x")))
    assert {(head.image, head.machine) for head in history.series()} == {
        ("images/minimal.yml", "qemu-arm64"), ("images/minimal.yml#2", "qemu-arm64"),
        ("images/minimal.yml", "qemu-s390x"),
    }  # fmt: skip


def test_series_are_found_by_what_people_call_them(history: History) -> None:
    history.add(results(1, cell(), cell(image="other/default.yml")))
    for name in ("default", "default.yml", "other/default.yml"):
        assert {head.image for head in history.series(name)} == {"other/default.yml"}
    assert [head.figure for head in history.series("default", mode="exact")] == list(FIGURES)
    assert history.series("fault") == []


def test_a_run_is_called_by_the_beginning_of_its_id(history: History) -> None:
    for number in (1, 2, 0xABC << 100):
        history.add(results(min(number, 3)).model_copy(update={"run": f"{number:032x}"}))
    assert history.run("latest").subject == "Change 3"
    assert history.run(f"{1:032x}").subject == "Change 1"
    assert history.run("0000abc").subject == "Change 3"
    for name, why in (("000", "too short"), ("00000", "more than one"), ("fffff", "no run"), ("____", "no run")):
        with pytest.raises(UserError, match=why):
            history.run(name)


@pytest.mark.slow
def test_processes_may_write_at_once_into_a_history_that_is_not_there_yet(new_place: Callable[[], str]) -> None:
    where = new_place()
    shares = [range(1, 25), range(20, 45), range(20, 45)]
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, where, *map(str, share)], cwd=HERE, text=True,
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for share in shares
    ]  # fmt: skip
    for writer in writers:
        assert writer.stdin
        writer.stdin.close()
        writer.stdin = None
    said = [writer.communicate() for writer in writers]
    assert [err for _, err in said] == ["", "", ""]
    assert sum(int(out) for out, _ in said) == 44
    with History.open(where) as history:
        assert [one.subject for one in history.runs()] == [f"Change {number}" for number in range(1, 45)]
        (head,) = history.series(mode="exact", figure="ready")
        assert len(history.values(head).points) == 44


def test_a_series_is_read_by_its_index(tmp_path: Path) -> None:
    asked: list[tuple[str, Any]] = []
    with History.open(str(tmp_path / "history.db")) as history:
        history.add(results(1))
        event.listen(history.engine, "before_cursor_execute", lambda _c, _k, text, args, *_: asked.append((text, args)))
        (head,) = history.series(mode="exact", figure="ready")
        history.values(head, last=30)
        history.cells(history.run("latest"))
        statements = [one for one in asked if one[0].startswith("SELECT")]
        assert len(statements) == 5
        with history.reading() as connection:
            for text, args in statements:
                plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", args)]
                assert plan
                scans = [step for step in plan if step.startswith("SCAN") and "INDEX" not in step]
                assert set(scans) <= {"SCAN series"}, text
                assert "USE TEMP B-TREE FOR ORDER BY" not in plan or "LIMIT" not in text, text


def test_a_floor_is_kept_for_its_key(history: History) -> None:
    from harness.history.floors import floor_of, floors_of, set_floor

    cell_ = ("images/minimal.yml", "qemu-arm64")
    set_floor(history, *cell_, {"ready": 640, "total": 700}, key=KEY, how="12 seeds")
    set_floor(history, *cell_, {"ready": 650}, key=KEY, how="24 seeds")
    assert floor_of(history, *cell_, "ready", key=KEY) == 650
    assert floor_of(history, *cell_, "kernel", key=KEY) is None
    assert floor_of(history, *cell_, "ready", key={**KEY, "qemu": "8"}) is None
    assert floors_of(history, *cell_, key=KEY).measured == {"ready": 650, "total": 700}


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    file.write_text("these are the notes of somebody" * 100)
    with pytest.raises(UserError, match=r"history.db: file is not a database"):
        History.open(str(file))
    with pytest.raises(HostError, match=r"cannot open the history .*unable to open"):
        History.open(str(tmp_path))
    with pytest.raises(UserError, match="there is no history yet"):
        History.open(str(tmp_path / "none.db"), create=False)
    with pytest.raises(HostError, match="cannot make the folder"):
        History.open(str(file / "below.db"))


def test_results_that_are_none_are_refused(history: History) -> None:
    for wrong in ({"run": "x y"}, {"when": "today"}, {"run": ""}):
        with pytest.raises(UserError, match="results that the history cannot keep"):
            history.add(results(1).model_copy(update=wrong))
    assert history.runs() == []
