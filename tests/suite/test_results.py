"""results.json is a fold of events, and judgements of what a guest said are pure."""

from __future__ import annotations

import pytest

from harness import results
from harness.suite import judge
from harness.suite.judge import Noise

CELL = {"id": "a", "image": "a.yml", "machine": "m", "arch": "x86_64", "size": 5, "problem": "", "budget": {}}
RUN = {
    "event": "run",
    "harness": "1",
    "when": "now",
    "run": "r",
    "plan": None,
    "source": None,
    "cells": [CELL, {**CELL, "id": "b"}],
}


def case(cell: str, outcome: str) -> dict[str, object]:
    return {"event": "case", "cell": cell, "case": "x", "outcome": outcome, "message": "m"}


def test_an_unfinished_run_is_interrupted_and_its_cells_incomplete() -> None:
    found = results.fold(
        [RUN, {"event": "collected", "cases": {"a": 1, "b": 2}}, case("a", "passed"), case("b", "passed")]
    )
    assert found["interrupted"]
    assert found["exit"] == 130
    assert [row["status"] for row in found["cells"]] == ["passed", "incomplete"]


def test_a_crashed_run_fails() -> None:
    found = results.fold(
        [RUN, {"event": "collected", "cases": {"a": 1, "b": 2}}, {"event": "end", "interrupted": False}]
    )
    assert found["exit"] == 1


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        (["passed"], 0),
        (["passed", "failed"], 1),
        (["failed", "not run"], 1),
        (["passed", "not run"], 3),
        (["incomplete"], 1),
    ],
)
def test_exit_code(statuses: list[str], code: int) -> None:
    assert results.verdict([{"status": status} for status in statuses]) == code


def test_order_of_marks() -> None:
    expect = {"onboot": {"net": {}}, "services": {"web": {}}, "onshutdown": {}}
    good = ["init", "root", "boot", "drivers", "onboot/net start", "onboot/net done", "services/web start",
            "services/web ready", "ready"]  # fmt: skip
    assert judge.disorder(good, judge.steps(expect)) == []
    assert judge.disorder([*good[:4], *good[6:]], judge.steps(expect)) == [
        "no mark 'onboot/net start'", "no mark 'onboot/net done'",
    ]  # fmt: skip
    late = [*good[:4], "services/web start", *good[4:6], *good[7:]]
    assert judge.disorder(late, judge.steps(expect)) == ["'services/web start' came before 'onboot/net done'"]


def test_kernel_messages_count_by_facility_and_level() -> None:
    log = "<6>[ 0.1] fine\n<4>[ 0.2] odd\n<12>[ 0.3] a program's\n<3>[ 0.4] known: 7\n<10>[ 0.5] harness: x"
    assert judge.complaints(log, [], arch="arm64", machine="m") == ["odd", "known: 7"]
    noise = [Noise(r"^known: \d", why="because", arch="arm64")]
    assert judge.complaints(log, noise, arch="arm64", machine="m") == ["odd"]
    assert judge.complaints(log, noise, arch="s390x", machine="m") == ["odd", "known: 7"]


def test_capability_masks() -> None:
    assert judge.capabilities("400", 40) == {"CAP_NET_BIND_SERVICE"}
    assert judge.capabilities("1ffffffffff", 40) == judge.known([f"CAP_{name}" for name in judge.CAPABILITIES], 40)


def test_ports() -> None:
    head = "  sl  local_address rem_address   st\n"
    table = f"{head}   0: 00000000:0050 00000000:0000 0A x\n   1: 0100007F:1F90 00000000:0000 01 x\n"
    assert judge.ports(table, listening=True) == {80}
    assert judge.ports(table, listening=False) == {80, 8080}


def test_mountinfo() -> None:
    text = "22 1 7:0 / / ro,nodev - squashfs /dev/loop0 ro,errors=continue\n30 22 0:5 / /a\\040b rw - tmpfs t rw"
    root, other = judge.mounts(text)
    assert (root.place, root.kind, "ro" in root.flags, "ro" in root.super_flags) == ("/", "squashfs", True, True)
    assert (other.place, "ro" in other.flags) == ("/a b", False)
