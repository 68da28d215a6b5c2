"""What the history says of nights with a known story: since when, between which runs, and what differs.

Each is written as an export, taken in, and asked for by the command.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from harness.cli import app
from harness.history import History, lines

BEGAN = datetime(2026, 11, 1, 2, tzinfo=UTC)
KEY = {"arch": "arm64", "machine": "virt", "mode": "exact", "qemu": "7.2.22"}
MADE = {"YAML": "5" * 64, "kernel": "6.1.0-57", "machine": "7" * 64, "package nginx": "1.22.1-9"}
SLOW = 333_822
Show = Callable[..., str]
Nights = list[dict[str, Any]]


def night(day: int, ready: int = 313_822, commit: str | None = None, **more: Any) -> dict[str, Any]:
    """A night of one cell; its commit is that of its day unless said."""
    figures = {"ready": ready, "total": ready + 93_414, **more.get("figures", {})}
    cells = [{"image": more.get("image", "img.yml"), "machine": "qemu-arm64", "arch": "arm64", "spec": "5" * 64,
              "inputs": more.get("inputs", MADE),
              "measured": [{"mode": "exact", "key": KEY, "figures": figures},
                           {"mode": "size", "key": {}, "figures": {"total": 14_000_000}}]}]  # fmt: skip
    when = more.get("when", BEGAN + timedelta(days=day - 1))
    return {
        "kind": "run", "run": f"{more.get('run', day):032x}", "when": when.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "harness": "0.1.0", "plan": "nightly.yml", "cells": cells,
        "source": {"commit": (commit or f"{day:08x}") * 5, "subject": more.get("subject", f"change {day}"),
                   "changed": more.get("changed", False)},
    }  # fmt: skip


@pytest.fixture
def show(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, empty_history: Path
) -> Show:
    """Take nights in, and return what the command says of them."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("HARNESS_HISTORY", str(shutil.copy(empty_history, tmp_path / "history.db")))
    monkeypatch.chdir(tmp_path)

    def told(nights: Nights, *words: str) -> str:
        if nights:
            text = "".join(json.dumps(one) + "\n" for one in nights)
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
            with pytest.raises(SystemExit):
                app(["history", "import", "-"])
        capsys.readouterr()
        with pytest.raises(SystemExit):
            app(list(words) or ["history"])
        return capsys.readouterr().out

    return told


def changes(text: str) -> list[str]:
    """The block of changes at the top, without its heading; nothing where there is none."""
    first = text.partition("\n\n")[0].splitlines()
    return [line.strip() for line in first[1:]] if first[0] == "changes, newest first" else []


MOVED = "img.yml on qemu-arm64: exact ready +20.000 ms +6.37 %; exact total +20.000 ms +4.91 %"


def test_a_dirty_tree_is_shown_as_one(show: Show) -> None:
    text = show([*(night(day) for day in range(1, 6)), night(6, SLOW, "00000005", changed=True)])
    assert changes(text)[:3] == ["2026-11-05 00000005 → 2026-11-06 00000005+", MOVED, "uncommitted changes on 00000005"]
    assert "00000005+" in show([], "history", "--runs").splitlines()[0]


def test_a_gap_is_a_range_and_no_subject_is_blamed(show: Show) -> None:
    text = show([night(1), night(2), night(3), night(20, SLOW, "bbbbbbbb", subject="typo in README")])
    assert changes(text)[:2] == ["2026-11-03 00000003 → 2026-11-20 bbbbbbbb", MOVED]
    assert "commits 00000003..bbbbbbbb: what lies between is not known here" in changes(text)
    assert "typo" not in text


def test_an_older_commit_that_runs_again_blames_nobody(show: Show) -> None:
    nights = [night(day, SLOW if day > 5 else 313_822) for day in range(1, 10)]
    text = show([*nights, night(10, commit="00000003", run=99), night(11, SLOW, "aaaaaaaa")])
    assert changes(text)[:2] == ["2026-11-05 00000005 → 2026-11-06 00000006", MOVED]
    assert "aaaaaaaa" not in text and text.count("→ 2026") == 3
    runs = show([], "history", "-f", "ready", "--mode", "exact")
    assert "of an older commit: not counted" in runs and runs.count("\n  ~  ") == 2


def test_a_changed_yaml_is_shown(show: Show) -> None:
    text = show([night(1), night(2), night(3, SLOW, "00000002", inputs={**MADE, "YAML": "f" * 64})])
    assert changes(text)[2:4] == ["the image's YAML changed: 55555555 → ffffffff", "the same commit 00000002"]


def test_a_package_that_was_updated_is_named(show: Show) -> None:
    after = {**MADE, "package nginx": "1.22.1-10", "lock": "9" * 64}
    text = show([night(1), night(2), night(3, SLOW, inputs=after, subject="typo in README")])
    assert changes(text)[2:4] == ["the lock changed: none → 99999999", "packages: nginx 1.22.1-9 → 1.22.1-10"]


@pytest.mark.parametrize("when", [datetime(2031, 1, 1, tzinfo=UTC), datetime(1999, 1, 1, tzinfo=UTC)])
def test_a_clock_that_was_wrong_moves_no_run(show: Show, when: datetime) -> None:
    text = show([night(1), night(2), night(3, when=when), night(4, SLOW), night(5, SLOW)])
    assert changes(text)[:2] == [f"{when:%Y-%m-%d} 00000003 → 2026-11-04 00000004", MOVED]
    runs = show([], "history", "--runs").splitlines()
    assert [line.split()[2] for line in runs] == [f"{day:08x}" for day in (5, 4, 3, 2, 1)]


def test_a_night_is_the_newest_whatever_its_clock_says(show: Show, tmp_path: Path) -> None:
    from runs import results

    with History.open(str(tmp_path / "history.db")) as history:
        for number in (9, 1, 2):
            history.add(results(number), again=True)
        assert [one.subject for one in history.runs()] == ["Change 9", "Change 1", "Change 2"]
        assert history.run("latest").subject == "Change 2"


def test_two_projects_with_an_image_of_one_path_are_two(show: Show, tmp_path: Path) -> None:
    nights = []
    for day in range(1, 7):  # by turns, and the second project's image is slower
        one = night(day, SLOW if day % 2 == 0 else 313_822, commit=f"{day:08x}")
        one["source"]["project"] = "git.example/lab/two" if day % 2 == 0 else "git.example/lab/one"
        nights.append(one)
    text = show(nights)
    assert changes(text) == []
    assert [line for line in text.splitlines() if " on " in line] == [
        "git.example/lab/two:img.yml on qemu-arm64", "img.yml on qemu-arm64"]  # fmt: skip
    exported = [json.loads(line) for line in show([], "history", "export", "-").splitlines()]
    assert [one["cells"][0]["image"] for one in exported[:2]] == ["img.yml", "git.example/lab/two:img.yml"]
    with History.open(str(tmp_path / "other.db")) as other:
        lines.import_(other, io.BytesIO("".join(json.dumps(one) + "\n" for one in exported).encode()), "x")
        assert {one.image for one in other.series()} == {"img.yml", "git.example/lab/two:img.yml"}


def test_one_run_alone_is_no_change(show: Show) -> None:
    text = show([night(1), night(2), night(3, SLOW), night(4), night(5)])
    assert changes(text) == []
    assert "+20.000 ms +6.37 % in one run alone, 2026-11-03" in text
    assert "!  00000000" in show([], "history", "-f", "ready", "--mode", "exact")


def test_small_steps_are_told_from_where_they_began(show: Show) -> None:
    # three of them are below the floor of arm64, four are beyond it
    text = show([night(day, 313_822 + 400 * (day - 1)) for day in range(1, 6)])
    assert changes(text)[:2] == [
        "2026-11-01 00000001 → 2026-11-05 00000005",
        "img.yml on qemu-arm64: exact ready +1.600 ms +0.51 % in small steps; "
        "exact total +1.600 ms +0.39 % in small steps",
    ]


def test_what_is_below_the_floor_is_told_as_that(show: Show) -> None:
    text = show([night(1), night(2, 314_822)])
    assert changes(text) == []
    assert "exact ready  314.822 ms  +1.000 ms  +0.32 %  ▁▁  +1.000 ms, within the floor of 1.400 ms" in text


def test_a_part_that_moved_is_shown_among_several_cells(show: Show) -> None:
    def both(day: int, us: int) -> dict[str, Any]:
        one = night(day, figures={"services/web cpu": us})
        other = night(day, image="other.yml")
        return {**one, "cells": [*one["cells"], *other["cells"]]}

    text = show([both(1, 9_000), both(2, 9_000), both(3, 12_000)])
    assert "img.yml on qemu-arm64: exact services/web cpu +3.000 ms +33.33 %" in changes(text)
    assert "exact services/web cpu   12.000 ms" in text


def test_what_the_gate_says_stands_in_the_history_too(show: Show) -> None:
    show([night(1)], "baseline", "accept", "latest", "--reason", "as shipped")
    text = show([night(2, 315_827), night(3, 315_827)])
    assert (
        "img.yml on qemu-arm64\n"
        "  worse than the baseline, by single boots: exact total +2.005 ms (floor 1.400 ms); "
        "exact ready +2.005 ms (floor 1.400 ms)\n"
    ) in text


def test_the_commits_between_are_told_where_the_folder_knows_them(show: Show, tmp_path: Path) -> None:
    def git(*words: str) -> str:
        done = subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@a.example", *words], cwd=tmp_path,
                              check=True, capture_output=True, text=True)  # fmt: skip
        return done.stdout.strip()

    git("init", "-q", "-b", "main")
    commits = []
    for subject in ("begin", "slow it down", "typo in README"):
        git("commit", "-q", "--allow-empty", "-m", subject)
        commits.append(git("rev-parse", "HEAD"))
    nights = [night(1), night(2, SLOW)]
    nights[0]["source"]["commit"], nights[1]["source"]["commit"] = commits[0], commits[2]
    (line,) = [one for one in changes(show(nights)) if one.startswith("commits ")]
    assert line == (
        f"commits {commits[0][:8]}..{commits[2][:8]}: 2 commits: {commits[2][:8]} typo in README; "
        f"{commits[1][:8]} slow it down"
    )


def test_a_story_moves_with_its_export(show: Show, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nights = [night(1), night(2, when=datetime(2031, 1, 1, tzinfo=UTC)), night(3, SLOW, inputs={**MADE, "suite": "x"})]
    text = show(nights)
    exported = [json.loads(line) for line in show([], "history", "export", "-").splitlines()]
    monkeypatch.setenv("HARNESS_HISTORY", str(tmp_path / "other.db"))
    assert show(exported) == text


def test_what_is_accepted_is_no_news_and_a_run_can_be_told_of_and_taken_out(show: Show) -> None:
    nights = [night(1), night(2, SLOW), night(3, SLOW), night(4, 400_000)]
    assert len([line for line in changes(show(nights)) if line.startswith("img.yml")]) == 2
    accept = ("history", "ack", f"{2:032x}", "the tables are worth it")
    assert (
        show([], *accept)
        == "run 00000000 of 2026-11-02T02:00:00Z and its change are accepted: the tables are worth it\n"
    )
    show([], "history", "note", f"{4:032x}", "the lab had no cooling")
    runs = show([], "history", "--runs").splitlines()
    assert runs[0].endswith("change 4  the lab had no cooling") and runs[2].endswith(
        "change 2  accepted: the tables are worth it"
    )
    assert [line for line in changes(show([])) if line.startswith("2026")] == [
        "2026-11-03 00000003 → 2026-11-04 00000004"
    ]
    exported = [json.loads(line) for line in show([], "history", "export", "-").splitlines()]
    assert [(one["note"], one["ack"]) for one in exported][1::2] == [
        ("", "the tables are worth it"), ("the lab had no cooling", "")]  # fmt: skip
    assert show([], "history", "drop", "latest").endswith("is gone\n")
    assert changes(show([])) == [] and len(show([], "history", "--runs").splitlines()) == 3


def test_an_image_goes_on_under_its_new_name(show: Show) -> None:
    show([night(1), night(2), night(3, SLOW, image="new/img.yml"), night(4, SLOW, image="new/img.yml")])
    show([], "baseline", "accept", f"{1:032x}", "--reason", "x", "--image", "img")
    assert show([], "history", "rename", "img.yml", "new/img.yml") == "img.yml is new/img.yml from now on: 2 boots\n"
    text = show([])
    assert changes(text)[:2] == ["2026-11-02 00000002 → 2026-11-03 00000003", f"new/{MOVED}"]
    assert "  worse than the baseline, by single boots: exact total +20.000 ms" in text
    assert "\nimg.yml on" not in text


def test_what_cannot_be_changed_is_said(show: Show, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            app(list(words))
        assert ended.value.code == 2
        return capsys.readouterr().err

    one, other = night(1), night(1, image="other.yml")
    show([{**one, "cells": [*one["cells"], *other["cells"]]}])
    show([], "baseline", "accept", "latest", "--reason", "x")
    assert "is baseline 1\nwhat to do: harness baseline remove 1" in said("history", "drop", "latest")
    assert "has both img.yml and other.yml: they are two images" in said("history", "rename", "img.yml", "other.yml")
    assert "has no image nosuch" in said("history", "rename", "nosuch", "x")
    assert "note takes 2 words, not 1" in said("history", "note", "latest")
    assert "has no baseline 7" in said("baseline", "remove", "7")
    assert show([], "baseline", "remove", "1").startswith("baseline 1 is gone: run 00000000 of 2026-11-01")
    assert show([], "history", "drop", "latest").endswith("is gone\n")
