"""results.json: what a run found, folded from its events. Every key is described in docs/results.md."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness import files
from harness.errors import (
    EXIT_CASES_FAILED,
    EXIT_HOST,
    EXIT_INTERRUPTED,
    EXIT_MACHINE,
    EXIT_OK,
    EXIT_USER,
    HostError,
    MachineError,
    UserError,
)

FILE = "results.json"
PREVIOUS = "previous.json"  # those of the run before, which this one is compared with
SCHEMA = 1
PASSED, FAILED, NOT_RUN, INCOMPLETE = "passed", "failed", "not run", "incomplete"
NOT_SELECTED = "not selected"
FINISHED = (PASSED, FAILED)  # what a run that goes on does not repeat: the lab's faults it does
LAB_FAILED = "lab failed"  # nothing speaks against the image: its machine or this host failed
KNOWN = "known"  # the outcome of a case whose failure is known
ENDED_BADLY = "every case that ran passed, but pytest ended with exit code"
LAB = frozenset({MachineError.whose, HostError.whose})
PYTEST_OK = (0, 5)  # passed, or nothing to do
# what is known of a cell once its image is built, and what stands there until then
BUILT: dict[str, Any] = {"size": None, "sizes": {}, "spec": None, "files": {}}
ResultRow = dict[str, Any]
LARGEST = 64 << 20  # bytes of a results.json


def fold(events: Iterable[Mapping[str, Any]]) -> ResultRow:
    """Return the results of a run as far as its events go; an interrupted run gives what it had found."""
    head: ResultRow = {"schema": SCHEMA}
    cells: dict[str, ResultRow] = {}
    other: ResultRow = {"cases": _no_cases(), "partial": {}, "failures": []}
    collected: dict[str, int] | None = None
    end: Mapping[str, Any] = {}
    notes: list[str] = []
    for event in effective(events):
        kind = event["event"]
        if kind == "run":
            head |= {key: event.get(key) for key in ("harness", "when", "run", "plan", "source", "shard")}
            cells = {row["id"]: _cell(row) for row in event["cells"]}
        elif kind == "collected":
            collected = {**(collected or {}), **event["cases"]}
        elif kind == "note":
            notes.append(event["text"])
        elif kind == "end":
            end = event
        elif event.get("cell") in cells:
            _TAKE.get(kind, _ignore)(cells[event["cell"]], event)
        elif kind == "case":
            _count(other, event)
        elif kind == "partial":
            _partial(other, event)
    rows = list(cells.values())
    for row in rows:
        row["status"] = _status(row, collected)
        if row["status"] == INCOMPLETE and end.get("deadline"):
            row |= {"status": NOT_RUN, "reason": f"the deadline, {end['deadline']}, came first"}
    failing = {one["known"] for row in rows for one in row["known"]}
    for row in rows:  # what is known of several cells has gone once it fails on none of them
        row["passes"] = [one for one in row["passes"] if one["known"] not in failing]
    interrupted = bool(end.get("interrupted", not end))
    exit_, error = judged(rows, other, interrupted=interrupted, end=end)
    state = {"exit": exit_, "interrupted": interrupted, "error": error, "notes": notes}
    return head | state | {"cells": rows, "other": other}


def function_of(nodeid: str) -> str:
    """Return the name of a case's function, without file, class and parameters; of a file, the file."""
    return nodeid.rpartition("::")[2].partition("[")[0]


def case_of(nodeid: str) -> str:
    """Return what a case is called in every run and on every cell: FILE.py::FUNCTION."""
    return f"{nodeid.partition('::')[0].rpartition('/')[2]}::{function_of(nodeid)}"


def effective(events: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the events that count: where a run went on, not those of the cells that it then repeated."""
    kept: list[dict[str, Any]] = []
    for event in events:
        if event["event"] != "resumed":
            kept.append(dict(event))
            continue
        repeated = {row["id"] for row in event["cells"]}
        kept = [one for one in kept if one["event"] not in ("end", "note") and one.get("cell") not in repeated
                and (one["event"], one.get("cell")) != ("case", "")]  # fmt: skip
        for one in kept:
            if one["event"] == "collected":
                one["cases"] = {name: count for name, count in one["cases"].items() if name in event["finished"]}
    return kept


def judged(
    cells: Iterable[Mapping[str, Any]], other: Mapping[str, Any], *, interrupted: bool, end: Mapping[str, Any]
) -> tuple[int, str]:
    """Return the exit code of a run, and what went wrong with it that no case tells."""
    statuses = {row["status"] for row in cells}
    code = end.get("code", 0)
    if end.get("error"):
        return end["error"]["exit"], end["error"]["text"]
    if interrupted:
        return EXIT_INTERRUPTED, ""
    nothing = NOT_SELECTED in statuses and PASSED not in statuses and not sum(other["cases"].values())
    verdicts = (
        (statuses & {FAILED, INCOMPLETE} or other["cases"]["failed"], EXIT_CASES_FAILED, ""),
        (nothing, EXIT_USER, "no case was selected"),
        (LAB_FAILED in statuses, EXIT_MACHINE, ""),
        (
            code not in PYTEST_OK,
            EXIT_CASES_FAILED,
            f"{ENDED_BADLY} {code}",
        ),
        (NOT_RUN in statuses, EXIT_HOST, ""),
    )
    return next(((exit_, error) for holds, exit_, error in verdicts if holds), (EXIT_OK, ""))


def read(file: Path) -> dict[str, Any]:
    """Return what a results.json holds; UserError when it is none."""
    try:
        if file.stat().st_size > LARGEST:
            raise UserError(f"{file} is larger than {LARGEST >> 20} MiB", hint="a results.json of `harness matrix`")
        found = json.loads(file.read_bytes())
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file}: not JSON: {error}", hint="a results.json of `harness matrix`") from None
    if not isinstance(found, dict) or "cells" not in found:
        raise UserError(f"{file} is no results.json", hint="a results.json of `harness matrix`")
    return found


def write(folder: Path, results: Mapping[str, Any]) -> Path:
    """Write `folder`/results.json by one rename, so that no reader sees half of it; return its path."""
    return files.write_json(folder / FILE, results)


def _no_cases() -> dict[str, int]:
    return {"passed": 0, "failed": 0, "skipped": 0, KNOWN: 0}


def _cell(row: Mapping[str, Any]) -> ResultRow:
    return {
        "id": row["id"],
        "image": row["image"],
        "machine": row["machine"],
        "arch": row["arch"],
        **{key: row.get(key, empty) for key, empty in BUILT.items()},
        "boot": {
            "exact": {"ready": None, "power_on": None, "figures": {}, "key": {}, "moved": ""},
            "wall": {"ready": None, "key": {}},
        },
        "exact_repeats": None,
        "root_readonly": None,
        "cases": _no_cases(),
        "partial": {},
        "status": NOT_RUN if row.get("problem") else INCOMPLETE,
        "reason": row.get("problem", ""),
        "budget": row["budget"],
        "failures": [],
        "known": [],
        "passes": [],
        "seconds": 0.0,
        "host": {},
    }


def _ignore(row: ResultRow, event: Mapping[str, Any]) -> None:
    """Pass over what only the live view shows."""


def _built(row: ResultRow, event: Mapping[str, Any]) -> None:
    row |= {key: event[key] for key in BUILT}
    row["reason"] = event["problem"]


def _booted(row: ResultRow, event: Mapping[str, Any]) -> None:
    if event["what"] == "exact":
        row["boot"]["exact"] = {key: event[key] for key in ("ready", "power_on", "figures", "key", "moved")}
        row["exact_repeats"] = event["repeats"]
    elif event["what"] == "wall" and row["boot"]["wall"]["ready"] is None:
        row["boot"]["wall"] = {"ready": event["ready"], "key": event["key"]}
    if event.get("host") and (event["what"] == "wall" or not row["host"]):
        row["host"] = event["host"]


def _count(row: ResultRow, event: Mapping[str, Any]) -> None:
    if event.get("instead"):  # it had an outcome, and then its teardown failed
        row["cases"][event["instead"]] -= 1
    row["cases"][event["outcome"]] = row["cases"].get(event["outcome"], 0) + 1
    if event["outcome"] == "failed":
        row["failures"].append({key: event.get(key, "") for key in ("case", "message", "transcript", "whose")})


def _case(row: ResultRow, event: Mapping[str, Any]) -> None:
    _count(row, event)
    row["seconds"] = round(row["seconds"] + event.get("seconds", 0.0), 3)
    if event["outcome"] == KNOWN:
        row["known"].append({key: event.get(key, "") for key in ("case", "message", "transcript", "known")})
    if event.get("passes"):
        row["passes"].append({"case": event["case"], "known": event["passes"]})
    if event.get("verdict") == "root_readonly" and event["outcome"] != "skipped":
        row["root_readonly"] = row["root_readonly"] is not False and event["outcome"] == "passed"


def _partial(row: ResultRow, event: Mapping[str, Any]) -> None:
    """Count a subtest, or an attempt that was repeated: it is no outcome of a case."""
    row["partial"][event["outcome"]] = row["partial"].get(event["outcome"], 0) + 1


_TAKE = {"built": _built, "booted": _booted, "case": _case, "partial": _partial}


def _status(row: Mapping[str, Any], collected: Mapping[str, int] | None) -> str:
    """Return what came of a cell; `collected` says how many cases each has, None when that was never known."""
    cases = row["cases"]
    if row["reason"]:
        return NOT_RUN
    if cases["failed"]:
        return LAB_FAILED if all(one["whose"] in LAB for one in row["failures"]) else FAILED
    if collected is None:
        return INCOMPLETE
    if not collected.get(row["id"]):
        return NOT_SELECTED
    return PASSED if sum(cases.values()) >= collected[row["id"]] else INCOMPLETE
