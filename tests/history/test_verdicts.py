"""What the gate has said of a run is what every later look says: history, its figures and its changes."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from runs import cell, plain

from harness.cli import app
from harness.errors import UserError
from harness.history import History, editing, keeping, lines, verdicts
from harness.report import gather
from harness.run import results
from harness.run.results_model import Results

BASE = f"{1:032x}"
IMAGE, MACHINE = "images/minimal.yml", "qemu-arm64"


def gate(judged: str, by: str = "pairs", base: str = BASE, mean: float = 1.3) -> dict[str, Any]:
    sentence = f"this image takes {mean:+.3f} ms: services/web uses more."
    pairs = {"answer": judged, "mean": mean, "low": mean - 0.1, "high": mean + 0.1, "pairs": 4, "sentence": sentence}
    return {"judged": judged, "base": base, "by": by, "pairs": pairs if by == "pairs" else None,
            "reasons": [] if by == "pairs" else ["exact total: 2 ms more"]}  # fmt: skip


def run(number: int, more: int = 0, **said: Any) -> dict[str, Any]:
    exact = {"ready": 300_000 + more, "total": 400_000 + more}
    return plain(number, {**cell(exact=exact), **({"gate": gate(**said)} if said else {})})


def results_of(raw: dict[str, Any]) -> Results:
    return results.of_json(raw, "a test")


@pytest.fixture
def show(tmp_path: Path) -> Callable[..., str]:
    def shown(*words: str, runs: list[dict[str, Any]] | None = None) -> str:
        where = tmp_path / "h.db"
        for number, raw in enumerate(runs or []):
            file = tmp_path / f"{number}-{raw['run']}.json"
            file.write_text(json.dumps(raw))
            done = CliRunner().invoke(app, ["history", "import", str(file), "--history", str(where)])
            assert done.exit_code == 0, done.output
        done = CliRunner().invoke(app, [*words, "--history", str(where)], env={"COLUMNS": "200"})
        assert done.exit_code == 0, done.output
        return done.output

    return shown


def accepted(show: Callable[..., str], *runs: dict[str, Any]) -> str:
    """Accept the first run, add the others, and show the history."""
    show("baseline", "accept", "latest", "--reason", "good", runs=[run(1)])
    return show("history", runs=list(runs))


def test_what_pairs_have_shown_stands_in_the_history_though_the_floor_would_not_see_it(
    show: Callable[..., str],
) -> None:
    said = accepted(show, run(2, 900, judged="worse"))
    assert "  worse than the baseline, its gate has said: this image takes +1.300 ms: services/web uses more." in said
    assert "by single boots" not in said
    # and the figure has changed with that run
    figure = show("history", "minimal", "--figure", "total")
    assert "changes beyond the floor: 1\n" in figure
    assert "what the gates have said, newest first\n  00000000  2026-01-03  worse: this image takes +1.300 ms" in figure


def test_what_pairs_have_shown_to_be_the_same_is_no_change_though_single_boots_lie_apart(
    show: Callable[..., str],
) -> None:
    said = accepted(show, run(2, 1_900, judged="same", mean=0.1), run(3, 1_900))
    assert "than the baseline" not in said.splitlines()[0] and "changes, newest first" not in said
    assert "changes beyond the floor: 0\n" in show("history", "minimal", "--figure", "total")


def test_a_verdict_on_another_baseline_or_none_leaves_it_to_single_boots(show: Callable[..., str]) -> None:
    said = accepted(show, run(2, 1_900, judged="same", base="f" * 32))
    assert "worse than the baseline, by single boots: exact total +1.900 ms" in said
    newer = show("history", runs=[run(3, 1_900)])
    assert "worse than the baseline, by single boots: exact total +1.900 ms" in newer


def test_what_could_not_be_judged_is_told(show: Callable[..., str]) -> None:
    said = accepted(show, run(2, 0, judged="not judged", by=""))
    assert "  not judged against the baseline: exact total: 2 ms more" in said


def test_a_page_over_time_says_the_same(history: History) -> None:
    for raw in (run(1), run(2, 900, judged="worse"), run(3, 900, judged="worse"), run(4, 2_000, judged="same")):
        keeping.keep(history, results_of(raw))
    drawn, _ = gather.gather(history)
    (line,) = [one for one in drawn if one.series.figure == "total" and one.series.mode == "exact"]
    found = [(line.series.points[change.index].run[-1:], change.before, change.after) for change in line.changes]
    assert found == [("2", 400_000, 400_900), ("4", 400_900, 402_000)], "run 4 is as the first one was"
    assert line.told[line.changes[0].index][0].startswith("the gate has said, by pairs of boots: this image takes")


def test_verdicts_go_through_an_export_a_rename_and_away_with_their_run(
    history: History, new_place: Callable[[], str]
) -> None:
    for _ in range(2):
        for raw in (run(1), run(2, 900, judged="worse")):
            keeping.keep(history, results_of(raw))
    kept = verdicts.of_cell(history, IMAGE, MACHINE)
    assert {name[-1:]: (one.base, one.answer, one.by, one.us) for name, one in kept.items()} == {
        "2": (BASE, "worse", "pairs", 1_300)
    }
    text = io.StringIO()
    lines.export(history, text)
    with History.open(new_place()) as other:
        for _ in range(2):
            lines.import_(other, io.BytesIO(text.getvalue().encode()), "export")
        assert verdicts.of_cell(other, IMAGE, MACHINE) == kept
        editing.rename(other, IMAGE, "images/small.yml")
        assert verdicts.of_cell(other, "images/small.yml", MACHINE) == kept
        editing.drop(other, other.run(f"{2:032x}"))
        assert verdicts.of_cell(other, "images/small.yml", MACHINE) == {}


@pytest.mark.parametrize("change", [{"judged": "splendid"}, {"by": "magic"}, {"base": "x\0"}])
def test_a_verdict_that_nobody_gives_is_refused(history: History, change: dict[str, str]) -> None:
    raw = run(2, 900, judged="worse")
    raw["cells"][0]["gate"] |= change
    with pytest.raises(UserError, match="cannot keep"):
        keeping.keep(history, results_of(raw))


def test_what_is_no_number_of_microseconds_is_left_out(history: History) -> None:
    raw = run(2, 900, judged="worse")
    raw["cells"][0]["gate"]["pairs"] |= {"low": float("-inf"), "high": None}
    keeping.keep(history, results_of(raw))
    assert verdicts.of_cell(history, IMAGE, MACHINE)[f"{2:032x}"].us == 1_300
