"""results.json is a fold of events, and judgements of what a guest said are pure."""

from __future__ import annotations

from typing import Any

import pytest

from harness.build import prepare
from harness.run import results
from harness.run.results_model import Results
from harness.spec.models.container import Mount, Runtime
from harness.suite import judge
from harness.suite.judge import Noise
from harness.system import Milestone

CELL = {"id": "a", "image": "a.yml", "machine": "m", "arch": "x86_64", "problem": "", "budget": {}}
RUN = {
    "event": "run",
    "harness": "1",
    "when": "now",
    "run": "r",
    "plan": None,
    "source": None,
    "cells": [CELL, {**CELL, "id": "b"}],
}


END = {"event": "end", "interrupted": False, "code": 0}
ONE_EACH = {"event": "collected", "cases": {"a": 1, "b": 1}}


def case(cell: str, outcome: str, instead: str = "") -> dict[str, object]:
    return {"event": "case", "cell": cell, "case": "x", "outcome": outcome, "instead": instead, "message": "m"}


def built(cell: str, problem: str = "") -> dict[str, object]:
    return {"event": "built", "cell": cell, "size": 5, "sizes": {}, "spec": "s", "files": {}, "problem": problem}


def statuses(found: Results) -> list[str]:
    return [row.status for row in found.cells]


def test_an_unfinished_run_is_interrupted_and_its_cells_incomplete() -> None:
    found = results.fold(
        [RUN, {"event": "collected", "cases": {"a": 1, "b": 2}}, case("a", "passed"), case("b", "passed")]
    )
    assert found.interrupted
    assert found.exit == 130
    assert statuses(found) == ["passed", "incomplete"]


def test_cases_that_did_not_run_are_no_pass() -> None:
    found = results.fold([RUN, {**ONE_EACH, "names": {"a": ["x.py::y[a]"]}}, END])
    assert (found.exit, found.outcome.word) == (8, "incomplete")
    assert found.cells[0].unrun == ("x.py::y[a]",)


def test_a_run_that_ends_while_it_builds_says_what_it_knows() -> None:
    found = results.fold([RUN, built("b", "no mirror"), {"event": "end", "interrupted": True, "code": 3}])
    assert found.exit == 130
    assert statuses(found) == ["incomplete", "not run"]
    assert found.cells[1].reason == "no mirror"


def test_what_ended_a_run_before_its_cases_gives_the_exit_code() -> None:
    error = {"text": "too large\nwhat to do: make it smaller", "exit": 2}
    found = results.fold([RUN, {"event": "end", "error": error}])
    assert (found.exit, found.error) == (2, error["text"])


@pytest.mark.parametrize(
    ("outcomes", "collected", "wanted", "code"),
    [
        ("passed passed", "a b", "passed passed", 0),
        ("passed failed", "a b", "passed failed", 1),
        ("failed problem", "a b", "failed not run", 1),
        ("passed problem", "a", "passed not run", 3),
        ("passed nothing", "a b", "passed incomplete", 8),
        ("passed nothing", "a", "passed not selected", 0),
        ("problem problem", "", "not run not run", 3),
        ("nothing nothing", "", "not selected not selected", 2),
        ("problem nothing", "", "not run not selected", 2),
    ],
)
def test_statuses_and_exit_code(outcomes: str, collected: str, wanted: str, code: int) -> None:
    events: list[dict[str, Any]] = [RUN]
    found = {
        "passed": lambda cell: case(cell, "passed"), "failed": lambda cell: case(cell, "failed"),
        "problem": lambda cell: built(cell, "why"), "nothing": built,
    }  # fmt: skip
    events += [found[what](cell) for cell, what in zip("ab", outcomes.split(), strict=True)]
    events += [{"event": "collected", "cases": dict.fromkeys(collected.split(), 1)}, END]
    results_ = results.fold(events)
    assert " ".join(statuses(results_)) == wanted
    assert results_.exit == code


def test_cases_without_a_cell_count() -> None:
    collected = {"event": "collected", "cases": {"a": 1, "b": 1, "": 2}}
    good = [RUN, collected, case("a", "passed"), case("b", "passed"), case("", "passed")]
    assert results.fold([*good, END]).exit == 0
    found = results.fold([*good, case("", "failed"), END])
    assert found.exit == 1
    assert found.other.cases.counts == {"passed": 1, "failed": 1, "skipped": 0, "known": 0}
    assert [(one.case, one.message) for one in found.other.failures] == [("x", "m")]


def test_what_pytest_says_of_itself_counts_too() -> None:
    found = results.fold([RUN, ONE_EACH, case("a", "passed"), case("b", "passed"), {**END, "code": 1}])
    assert found.exit == 1
    assert "pytest ended with exit code 1" in found.error


@pytest.mark.parametrize("before", ["passed", "skipped"])
def test_a_teardown_that_fails_takes_the_place_of_what_was_before(before: str) -> None:
    found = results.fold([RUN, ONE_EACH, case("a", before), case("a", "failed", instead=before), END])
    assert found.cells[0].cases.counts == {"passed": 0, "failed": 1, "skipped": 0, "known": 0}


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


def test_who_has_rightly_ended() -> None:
    def marks(*codes: str, running: bool = False) -> list[Milestone]:
        ends = [Milestone("services/web exited", 1, 0.0, {"code": code}) for code in codes]
        return [*ends, *[Milestone("services/web start", 2, 0.0)] * running, Milestone("services/web ready", 3, 0.0)]

    table = [
        ("on-failure", ["0"], True), ("on-failure", ["1"], False), ("on-failure", ["1", "0"], True),
        ("always", ["0"], True), ("always", ["0", "137"], False), ("never", ["3"], True), ("never", [], False),
    ]  # fmt: skip
    for restart, codes, rests in table:
        assert judge.rests(marks(*codes), "web", restart) is rests, (restart, codes)
        assert not judge.rests(marks(*codes, running=True), "web", restart)
    assert not judge.rests(marks("0"), "other", "on-failure")
    assert judge.failures(marks("0", "1", "137")) == {"web": 2}


def test_what_prepare_scripts_mount() -> None:
    runtime = Runtime(mounts=(
        Mount(type="tmpfs", source="tmpfs", destination="/run/a b"),
        Mount(type="bind", source="/etc", destination="inner", options=("bind", "ro")),
    ))  # fmt: skip
    script = "".join(f"{line}\n" for line in prepare.lines(runtime, "containers/services/web"))
    assert judge.prepared(script) == {"/run/a b", "/containers/services/web/rootfs/inner"}


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
    assert judge.ports(table, judge.LISTEN) == {80}


def test_a_client_of_udp_listens_to_nobody() -> None:
    table = "   0: 00000000:007B 00000000:0000 07 x\n   1: 0100007F:95AD 0100007F:007B 01 x\n"
    assert judge.ports(table, judge.UNCONNECTED) == {123}


def test_mountinfo() -> None:
    text = "22 1 7:0 / / ro,nodev - squashfs /dev/loop0 ro,errors=continue\n30 22 0:5 / /a\\040b rw - tmpfs t rw"
    root, other = judge.mounts(text)
    assert (root.place, root.kind, "ro" in root.flags, "ro" in root.super_flags) == ("/", "squashfs", True, True)
    assert (other.place, "ro" in other.flags) == ("/a b", False)
