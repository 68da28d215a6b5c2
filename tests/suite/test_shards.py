"""A plan on several hosts: an even split, and results put together."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inner_pytest import environment
from sqlalchemy import select
from test_matrix import FAKE, HARNESS
from tiers import needs

from harness.commands.nights import gate
from harness.commands.runs.results import merge_results
from harness.errors import UserError
from harness.history import History
from harness.history.tables import OutcomeRow
from harness.run import merge, results, shard
from harness.run.cells import Cell
from harness.run.folder import RunFolder

CASES = """
def test_one(system, cell): pass
def test_two(exact, cell): assert cell.id != "b", "b is bad"
"""
NAMES = ["a", "b", "c", "d", "e"]
HISTORY = "history.db"


@pytest.fixture(scope="module")
@needs("slow")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a whole run and the two shards of it, all three with the same history."""
    folder = tmp_path_factory.mktemp("nights")
    (folder / "test_inner.py").write_text(CASES)
    (folder / "minimal.yml").write_text("kernel: {image: kernel}\n")
    (folder / "plan.yml").write_text("machines: [qemu-x86_64]\nimages: [{path: minimal.yml}]\ncases: [test_inner.py]\n")

    def matrix(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*HARNESS, "plan.yml", "-n", "1", "--history", HISTORY, *args, *FAKE], cwd=folder, text=True,
            env=environment(folder, {"cells": [[name, ""] for name in NAMES]}), capture_output=True, timeout=120,
            check=False,
        )  # fmt: skip

    assert matrix("--results", "whole").returncode == 1
    for number in (1, 2):
        words = ("--shard", f"{number}/2", "--durations-of", "whole/results.json", "--results", f"part{number}")
        done = matrix(*words)
        assert done.returncode in (0, 1), done.stdout + done.stderr
    return folder


def changed(part: Path, copy: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Copy what a host has left, with each event changed."""
    copy.mkdir()
    events = [json.loads(line) for line in (part / "events.jsonl").read_text().splitlines()]
    for event in events:
        change(event)
    (copy / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    return copy


def put_together(tmp_path: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*HARNESS[:-1], "results", "merge", *args],
        cwd=tmp_path,
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )


def cells(folder: Path, gate: str = "") -> list[dict[str, Any]]:
    """A run's cells without what differs from run to run; each was judged `gate` where that is given."""
    rows: list[dict[str, Any]] = json.loads((folder / "results.json").read_text())["cells"]
    for row in rows:
        row.pop("seconds")
        assert ((row.pop("gate") or {}).get("judged", "")) == gate
        for failure in row["failures"]:
            failure["transcript"] = Path(failure["transcript"]).name
    return rows


@given(st.dictionaries(st.text(max_size=5), st.floats(0.1, 1e4), max_size=40), st.integers(1, 9))
def test_every_cell_is_in_one_shard_and_none_has_much_more_than_the_others(cost: dict[str, float], of: int) -> None:
    parts = shard.split(cost, of)
    assert sorted(name for part in parts for name in part) == sorted(cost)
    loads = [sum(cost[name] for name in part) for part in parts]
    assert max(loads) - min(loads) <= max(cost.values(), default=0) + 1e-6
    assert parts == shard.split(dict(reversed(cost.items())), of)


def test_what_is_known_of_a_cell_counts_and_else_its_architecture() -> None:
    made = [Cell(id=name, image="", sources=(), machine="", spec=None, arch=arch, size=1, ready=None)
            for name, arch in (("a", "arm64"), ("b", "arm64"), ("c", "s390x"))]  # fmt: skip
    rows = [{"id": "a", "arch": "arm64", "seconds": 7.0}, {"id": "x", "arch": "arm64", "seconds": 9.0}]
    past = results.of_json({"cells": rows}, "past")
    assert shard.costs(made, past) == {"a": 7.0, "b": 8.0, "c": 8.0}
    assert len(set(shard.costs(made, None).values())) == 1


def test_seconds_of_another_architecture_tell_nothing_where_its_own_are_known() -> None:
    made = [Cell(id=name, image="", sources=(), machine="", spec=None, arch=arch, size=1, ready=None)
            for name, arch in (("new", "arm64"), ("other", "s390x"), ("a", "arm64"))]  # fmt: skip
    rows = [
        {"id": "a", "arch": "arm64", "seconds": 4.0}, {"id": "b", "arch": "s390x", "seconds": 90.0},
        {"id": "c", "arch": "arm64", "seconds": 6.0}, {"id": "none", "arch": "arm64", "seconds": 0.0},
    ]  # fmt: skip
    assert shard.costs(made, results.of_json({"cells": rows}, "past")) == {"new": 5.0, "other": 90.0, "a": 4.0}


def test_the_costliest_goes_first_to_whom_has_least() -> None:
    assert shard.split({"a": 1.0, "b": 5.0, "c": 3.0, "d": 2.0}, 2) == [["b", "a"], ["c", "d"]]
    assert shard.split({"b": 1.0, "a": 1.0}, 3) == [["a"], ["b"], []]


def test_a_shard_has_its_cells_in_the_plans_order() -> None:
    made = [Cell(id=name, image="", sources=(), machine="", spec=None, arch="arm64", size=1, ready=None)
            for name in "edcba"]  # fmt: skip
    both = [shard.part(made, None, shard.Shard(number, 2)) for number in (1, 2)]
    assert [[cell.id for cell in mine] for mine, _ in both] == [["e", "c", "a"], ["d", "b"]]
    assert [facts["number"] for _, facts in both] == [1, 2]
    assert both[0][1]["every"] == list("edcba")
    assert both[0][1]["split"] == both[1][1]["split"] != shard.part(made, None, shard.Shard(1, 3))[1]["split"]


@pytest.mark.parametrize(
    ("text", "number", "of"),
    [("1/1", 1, 1), ("2/5", 2, 5), ("5/5", 5, 5), (f"1/{shard.MOST}", 1, shard.MOST), ("0010/0020", 10, 20)],
)
def test_what_is_a_shard(text: str, number: int, of: int) -> None:
    assert shard.parse(text) == shard.Shard(number, of)


@pytest.mark.parametrize(
    ("env", "number", "of"),
    [
        ({"CI_NODE_INDEX": "2", "CI_NODE_TOTAL": "5"}, 2, 5),
        ({"CI_NODE_TOTAL": "1"}, 1, 1),  # GitLab, of a job that has no others
        ({"CIRCLE_NODE_INDEX": "0", "CIRCLE_NODE_TOTAL": "4"}, 1, 4),
        ({"BUILDKITE_PARALLEL_JOB": "3", "BUILDKITE_PARALLEL_JOB_COUNT": "4"}, 4, 4),
        ({"SYSTEM_JOBPOSITIONINPHASE": "4", "SYSTEM_TOTALJOBSINPHASE": "4"}, 4, 4),
        ({"BITBUCKET_PARALLEL_STEP": "1", "BITBUCKET_PARALLEL_STEP_COUNT": "2"}, 2, 2),
        ({"SEMAPHORE_JOB_INDEX": "1", "SEMAPHORE_JOB_COUNT": "2"}, 1, 2),
        ({"HARNESS_SHARD_INDEX": "1", "HARNESS_SHARD_TOTAL": "3", "CI_NODE_TOTAL": "1"}, 2, 3),
    ],
)
def test_a_ci_service_says_which_shard_it_is(env: dict[str, str], number: int, of: int) -> None:
    assert shard.parse("auto", env) == shard.Shard(number, of)


@pytest.mark.parametrize(
    ("env", "who"),
    [
        ({}, "no CI service says"),
        ({"CI_NODE_TOTAL": "2"}, "no CI service says"),
        ({"CIRCLE_NODE_INDEX": "4", "CIRCLE_NODE_TOTAL": "4"}, "CircleCI does not say"),
        ({"CIRCLE_NODE_INDEX": "", "CIRCLE_NODE_TOTAL": "4"}, "CircleCI does not say"),
        ({"SEMAPHORE_JOB_INDEX": "0", "SEMAPHORE_JOB_COUNT": "2"}, "Semaphore does not say"),
    ],
)
def test_a_ci_service_that_does_not_say_it_is_refused(env: dict[str, str], who: str) -> None:
    with pytest.raises(UserError, match=f"{who} which shard this is"):
        shard.parse("auto", env)


@pytest.mark.parametrize(
    "text", ["", "0/2", "0/0", "3/2", "1/0", "1", "a/b", "-1/2", "1/9999", f"1/{shard.MOST + 1}", "1/2/3", "1/2\n"]
)
def test_what_is_no_shard(text: str) -> None:
    with pytest.raises(UserError, match="is not a shard"):
        shard.parse(text)


def test_shards_put_together_equal_the_whole_run_and_are_one_in_the_history(nights: Path, tmp_path: Path) -> None:
    night = tmp_path / "night"
    words = ("part1", "part2", "-o", str(night), "--history", HISTORY, "--against", "latest")
    done = put_together(nights, *words)
    assert done.returncode == 1, done.stdout + done.stderr
    assert cells(night, gate="same") == cells(nights / "whole")
    for name in ("junit.xml", "summary.md", "report.html", "gate.json"):
        assert (night / name).stat().st_size > 0
    found = json.loads((night / "results.json").read_text())
    assert found["cells"][1]["failures"][0]["case"].endswith("test_two[b]")
    with History.open(str(nights / HISTORY)) as history:
        runs = history.runs()
        assert [one.run for one in runs] == [
            json.loads((nights / "whole/results.json").read_text())["run"],
            found["run"],
        ]
        assert [len(history.cells(one)) for one in runs] == [len(NAMES), len(NAMES)]
        with history.reading() as connection:
            outcomes = connection.execute(select(OutcomeRow.run, OutcomeRow.image)).all()
    assert len(outcomes) == 2 * len(NAMES)


def test_what_contradicts_itself_is_refused(nights: Path, tmp_path: Path) -> None:
    def of_three(event: dict[str, Any]) -> None:
        if event["event"] == "run":
            event["shard"] |= {"of": 3, "split": "another"}

    def of_other_cells(event: dict[str, Any]) -> None:
        if event["event"] == "run":
            event["shard"] |= {"every": ["a", "f"]}

    one, two = nights / "part1", nights / "part2"
    three = changed(two, tmp_path / "three", of_three)
    other = changed(two, tmp_path / "other", of_other_cells)
    refused = [
        ([one, one], f" is in {one} and in {one}"),
        ([one], "of 2 shards there is no 2"),
        ([one, three], "three is of another split"),
        ([one, other], "other is of another split"),
        ([one, tmp_path / "nothing"], f"there are no results of a run in {tmp_path}/nothing"),
    ]
    for folders, said in refused:
        with pytest.raises(UserError) as caught:
            merge_results(folders, tmp_path / "night", partial=False, as_json=False, after=gate.After(keep=False))
        assert said in f"{caught.value.message}\n{caught.value.details}"
        assert not (tmp_path / "night").exists()
    done = put_together(nights, "part1", "-o", str(tmp_path / "night"), "--partial", "--no-history")
    assert done.returncode in (1, 3), done.stderr
    rows = json.loads((tmp_path / "night/results.json").read_text())["cells"]
    assert [row["id"] for row in rows] == NAMES
    assert "no results of its shard" in {row["reason"] for row in rows}


def of_one_image(nights: Path, tmp_path: Path, **built: Any) -> list[merge.HostPart]:
    """The two shards as of one image, of which the second host's build has other facts."""

    def change(event: dict[str, Any]) -> None:
        if event["event"] == "built":
            event |= built

    folders = (nights / "part1", changed(nights / "part2", tmp_path / "two", change))
    parts = [merge.read(RunFolder(folder)) for folder in folders]
    for part in parts:
        for row in part.run["cells"]:
            row["image"] = "same.yml"
    return parts


def test_builds_that_are_a_package_apart_mark_their_cells(nights: Path, tmp_path: Path) -> None:
    inputs = {"YAML": "5", "package curl": "7.2", "bytes": "7"}
    parts = of_one_image(nights, tmp_path, files={"kernel": "7"}, inputs=inputs)
    found = results.fold(merge.merge(parts))
    said = "hosts made 2 builds of same.yml for x86_64 that differ: package curl none or 7.2"
    assert [row.differs for row in found.cells] == [said] * len(NAMES)
    both = [", ".join(row["id"] for row in part.run["cells"]) for part in parts]
    assert found.notes == (f"{said}: {both[0]} | {both[1]}",)
    assert found.exit == 1  # as of the whole run
    alike = of_one_image(nights, tmp_path / "alike") if (tmp_path / "alike").mkdir() is None else []
    assert not any(row.differs for row in results.fold(merge.merge(alike)).cells)


def test_images_of_another_yaml_are_refused(nights: Path, tmp_path: Path) -> None:
    parts = of_one_image(nights, tmp_path, files={"kernel": "7"}, spec="another")
    with pytest.raises(UserError, match="do not fit") as caught:
        merge.merge(parts)
    assert (
        f"same.yml for x86_64 has another YAML in {tmp_path / 'two'} than in {nights / 'part1'}" in caught.value.details
    )


def test_a_shard_that_has_nothing_to_do_passes_and_is_put_together(nights: Path, tmp_path: Path) -> None:
    for number in ("0", "1", "2"):
        done = subprocess.run(
            [*HARNESS, "plan.yml", "-n", "0", "--shard", "auto", "--results", str(tmp_path / number), *FAKE],
            cwd=nights, text=True, capture_output=True, timeout=120, check=False,
            env=environment(nights, {"cells": [["a", ""], ["c", ""]]})
            | {"CIRCLE_NODE_INDEX": number, "CIRCLE_NODE_TOTAL": "3"},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    assert not json.loads((tmp_path / "2/results.json").read_text())["cells"]
    done = put_together(tmp_path, "2", "0", "1", "-o", "night", "--no-history")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [row["id"] for row in cells(tmp_path / "night")] == ["a", "c"]


@pytest.mark.parametrize("name", ["../evil", "a/b", ".", "", 7])
def test_an_id_that_leads_out_of_the_folder_is_no_result(tmp_path: Path, name: object) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one/events.jsonl").write_text(json.dumps({"event": "run", "cells": [{"id": name}]}) + "\n")
    with pytest.raises(UserError, match="no results of a run"):
        merge.read(RunFolder(tmp_path / "one"))


@pytest.mark.parametrize("text", ["[]\n", '{"a": 1}\n', '{"event": "run"}\n', "nonsense\n"])
def test_what_is_no_run_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "events.jsonl").write_text(text)
    with pytest.raises(UserError, match="no results of a run"):
        merge.read(RunFolder(tmp_path))
