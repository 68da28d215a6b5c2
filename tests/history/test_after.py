"""What a matrix does with its results at the end: kept and judged, in this order."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from postgres_server import Server
from runs import KEY, cell, results

from harness.commands.nights import gate, pairing
from harness.errors import UserError
from harness.history import History, baselines, spool
from harness.history.floors import set_floor
from harness.run.folder import RunFolder
from harness.run.results_model import Results

SLOW = {"ready": 400_000}


@pytest.fixture
def where(tmp_path: Path) -> str:
    return str(tmp_path / "history.db")


def written(folder: Path, found: Results) -> str:
    folder.mkdir()
    RunFolder(folder).write_results(found)
    return str(folder)


def settle(against: str | None, where: str, found: Results, folder: Path, *, keep: bool = True) -> str:
    """Return the word of the one cell's comparison ("" without one), and keep the run, as the end of a matrix does."""
    after = gate.After(keep, where, against)
    baseline = gate.prepare(after)
    judged = pairing.not_here(gate.beside(after, baseline, found)) if against else []
    if against:
        gate.write(RunFolder(folder), against, judged)
        print("\n".join(gate.lines(against, judged)))
    assert not keep or not gate.remember(after, found)
    return gate.cells(judged, baseline, found)[found.cells[0].id].judged if against else ""


def test_a_baseline_is_held_until_another_is_accepted(
    where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert settle(None, where, results(1), tmp_path) == ""
    assert not (tmp_path / "gate.json").exists()
    with History.open(where) as history:
        baselines.accept(history, history.run("latest"), "fast", who="me")
    for number in (2, 3):
        assert settle("latest-baseline", where, results(number, exact=SLOW), tmp_path) == "worse"
    assert capsys.readouterr().out.endswith(
        "FAILED: 1 of 1 cells are worse than latest-baseline\n"
        "what to do: `harness compare latest-baseline latest` shows all of it; mend it, or\n"
        "`harness baseline accept latest --reason TEXT`\n"
    )
    (found,) = json.loads((tmp_path / "gate.json").read_text())["cells"]
    assert [(one["figure"], one["old"], one["new"]) for one in found["slower"]] == [("ready", 300_000, 400_000)]
    with History.open(where) as history:  # what is worse is in the history, and can be accepted
        baselines.accept(history, history.run("latest"), "so be it", who="me")
    assert settle("latest-baseline", where, results(4, exact=SLOW), tmp_path) == "same"
    said = "\nagainst latest-baseline:\nimages/minimal.yml on qemu-arm64: 0 of 5 figures worse\n"
    assert capsys.readouterr().out == said
    assert settle("1", where, results(4, exact=SLOW), tmp_path) == "worse"


def test_a_calibrated_floor_counts(where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = written(tmp_path / "before", results(1))
    for floor, code in ((3_000, "same"), (2_999, "worse")):
        with History.open(where) as history:
            set_floor(history, "images/minimal.yml", "qemu-arm64", {"ready": floor}, key=KEY, how="by hand")
        assert settle(before, where, results(2, exact={"ready": 303_000}), tmp_path) == code
    assert "+1.00 %  floor 2.999 ms\n" in capsys.readouterr().out
    assert settle(before, where, results(2, key={"qemu": "8"}, exact=SLOW), tmp_path) == "not judged"
    assert "  not judged: exact times not compared" in capsys.readouterr().out


def test_who_grew_is_named(where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = written(tmp_path / "before", results(1, exact={"cpu/services/web": 60_000}))
    settle(before, where, results(2, exact={"ready": 400_000, "cpu/services/web": 160_000}), tmp_path)
    assert "\n  of the processor: services/web +100.000 ms\n" in capsys.readouterr().out


def test_two_folders_need_no_history(where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = written(tmp_path / "before", results(1))
    assert settle(before, where, results(2), tmp_path, keep=False) == "same"
    assert settle(f"{before}/results.json", where, results(2, exact=SLOW), tmp_path, keep=False) == "worse"
    assert "floor 1.400 ms, not calibrated\n" in capsys.readouterr().out
    assert not Path(where).exists()


def test_a_comparison_with_nothing_is_no_pass(where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = written(tmp_path / "before", results(1, cell("qemu-s390x")))
    assert settle(before, where, results(2), tmp_path) == "not judged"
    assert f"FAILED: 1 of 1 cells could not be compared with {before}\n" in capsys.readouterr().out


def test_whatever_is_wrong_with_the_history_is_said(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> bool:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(History, "add", broken)
    assert gate.remember(gate.After(where=where), results(2)) == f"{gate.NOT_THERE}: a bug"


def test_a_history_that_cannot_be_reached_ends_no_night(where: str) -> None:
    Path(where).write_text("not a database\n" * 100)
    after = gate.After(where=where, against="latest-baseline")
    baseline = gate.prepare(after)
    assert "cannot open the history" in baseline.problem
    found = results(2)
    (cell,) = gate.cells(pairing.not_here(gate.beside(after, baseline, found)), baseline, found).values()
    assert (cell.judged, cell.reasons) == ("not judged", (baseline.problem,))


@pytest.mark.parametrize(
    ("against", "why"),
    [
        ("latest-baseline", "has no baseline yet"),
        ("ffff", "has no run ffff"),
        ("7", "too short"),
        ("no/such/folder", "cannot read no/such/folder/results.json"),
    ],
)
def test_what_cannot_be_compared_with_is_said_at_the_start(where: str, against: str, why: str) -> None:
    with History.open(where), pytest.raises(UserError, match=why):
        gate.prepare(gate.After(where=where, against=against))


def test_a_server_that_has_stopped_answering_keeps_no_night(
    postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = postgres.database()
    settle(None, where, results(1), tmp_path)
    with History.open(where) as history:
        baselines.accept(history, history.run("latest"), "fast", who="me")
    monkeypatch.setattr(gate, "HISTORY_S", 0.5)
    after = gate.After(where=where, against="latest-baseline")
    server = int((postgres.folder / "data/postmaster.pid").read_text().split()[0])
    os.kill(server, signal.SIGSTOP)
    try:
        baseline = gate.prepare(after)
        assert baseline.problem == "the history has not answered within 0.5 s"
        found = results(2)
        (cell,) = gate.cells(pairing.not_here(gate.beside(after, baseline, found)), baseline, found).values()
        assert (cell.judged, cell.reasons) == ("not judged", (baseline.problem,))
        said = gate.remember(after, found)
        assert said.startswith(gate.WAITS) and said.endswith(f": {baseline.problem}")
    finally:
        os.kill(server, signal.SIGCONT)


def test_a_server_that_went_away_during_the_night_is_said(postgres: Server, tmp_path: Path) -> None:
    where = postgres.database()
    settle(None, where, results(1), tmp_path)
    with History.open(where) as history:
        baselines.accept(history, history.run("latest"), "fast", who="me")
    after = gate.After(where=where, against="latest-baseline")
    baseline = gate.prepare(after)
    assert not baseline.problem
    name = where.partition("?")[0].rpartition("/")[2]
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    found = results(2, exact=SLOW)
    (cell,) = gate.cells(pairing.not_here(gate.beside(after, baseline, found)), baseline, found).values()
    assert cell.judged == "worse"  # what was asked for at the beginning is known
    said = gate.remember(after, found)
    assert said.startswith(gate.WAITS) and ": cannot open the history" in said


def test_a_full_disk_of_the_history_loses_no_result(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)], check=False, capture_output=True
    )
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.decode()}")
    try:
        after = gate.After(where=str(disk / "history.db"))
        assert gate.remember(after, results(1)) == ""
        with suppress(OSError), (disk / "filler").open("wb", buffering=0) as stream:
            while stream.write(b"x" * 4096):
                pass
        found = gate.remember(after, results(2, *(cell(image=f"image{number}.yml") for number in range(40))))
        assert found.startswith(gate.NOT_THERE) and f": the disk of {disk} is full" in found, found
        (disk / "filler").unlink()
        assert gate.remember(after, results(2)) == ""
        with History.open(after.where) as history:
            assert [one.subject for one in history.runs()] == ["Change 1", "Change 2"]
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


AWAY = "postgresql://nobody@127.0.0.1:1/nights"


def test_a_run_waits_for_a_server_that_is_away_and_the_next_takes_it_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    after = gate.After(where=AWAY)
    assert "the run will wait in a file" in gate.try_history(after)
    for number in (2, 1):
        said = gate.remember(after, results(number))
        assert said.startswith(gate.WAITS) and str(tmp_path / "data") in said
    (folder,) = (tmp_path / "data/harness").glob("waiting-runs/*")
    assert len(list(folder.iterdir())) == 2
    with History.open(str(tmp_path / "history.db")) as answers:
        assert spool.take_in(answers, "postgresql://nobody@127.0.0.1:1/other") == []
        assert not list(answers.runs())
        (folder / "cut.json").write_text('{"when": ')
        (said,) = spool.take_in(answers, AWAY)
        assert "stays out of it" in said and "cut.json" in said
        assert [one.run for one in answers.runs()] == [results(1).run, results(2).run]
    assert [path.name for path in folder.iterdir()] == ["cut.json"]


def test_a_history_in_a_file_is_not_tried_and_no_run_waits_for_it(tmp_path: Path) -> None:
    where = str(tmp_path / "nowhere/history.db")
    assert gate.try_history(gate.After(where=where)) == ""
    assert not (tmp_path / "nowhere").exists()
    assert gate.try_history(gate.After(keep=False, where=AWAY)) == ""
