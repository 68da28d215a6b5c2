"""results.json: what a run found, folded from its events. Every key is described in docs/results.md."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.errors import EXIT_CASES_FAILED, EXIT_HOST, EXIT_INTERRUPTED, EXIT_OK, EXIT_USER

FILE = "results.json"
SCHEMA = 1
PASSED, FAILED, NOT_RUN, INCOMPLETE = "passed", "failed", "not run", "incomplete"
NOT_SELECTED = "not selected"
PYTEST_OK = (0, 5)  # passed, or nothing to do
# what is known of a cell once its image is built, and what stands there until then
BUILT: dict[str, Any] = {"size": None, "sizes": {}, "spec": None, "files": {}}
Row = dict[str, Any]


def fold(events: Iterable[Mapping[str, Any]]) -> Row:
    """Return the results of a run as far as its events go; an interrupted run gives what it had found."""
    head: Row = {"schema": SCHEMA}
    cells: dict[str, Row] = {}
    other: Row = {"cases": _no_cases(), "failures": []}
    collected: dict[str, int] | None = None
    end: Mapping[str, Any] = {}
    for event in events:
        kind = event["event"]
        if kind == "run":
            head |= {key: event[key] for key in ("harness", "when", "run", "plan", "source")}
            cells = {row["id"]: _cell(row) for row in event["cells"]}
        elif kind == "collected":
            collected = dict(event["cases"])
        elif kind == "end":
            end = event
        elif event.get("cell") in cells:
            _TAKE.get(kind, _ignore)(cells[event["cell"]], event)
        elif kind == "case":
            _count(other, event)
    rows = list(cells.values())
    for row in rows:
        row["status"] = _status(row, collected)
    interrupted = bool(end.get("interrupted", not end))
    exit_, error = judged(rows, other, interrupted=interrupted, end=end)
    return head | {"exit": exit_, "interrupted": interrupted, "error": error, "cells": rows, "other": other}


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
    if statuses & {FAILED, INCOMPLETE} or other["cases"]["failed"]:
        return EXIT_CASES_FAILED, ""
    if NOT_SELECTED in statuses and PASSED not in statuses and not sum(other["cases"].values()):
        return EXIT_USER, "no case was selected"
    if code not in PYTEST_OK:
        return EXIT_CASES_FAILED, f"every case that ran passed, but pytest ended with exit code {code}"
    return (EXIT_HOST if NOT_RUN in statuses else EXIT_OK), ""


def write(folder: Path, results: Mapping[str, Any]) -> Path:
    """Write `folder`/results.json by one rename, so that no reader sees half of it; return its path."""
    path = folder / FILE
    scratch = folder / f".{FILE}.{os.getpid()}"
    scratch.write_text(json.dumps(results, indent=1) + "\n")
    scratch.replace(path)
    return path


def _no_cases() -> dict[str, int]:
    return {"passed": 0, "failed": 0, "skipped": 0}


def _cell(row: Mapping[str, Any]) -> Row:
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
        "status": NOT_RUN if row.get("problem") else INCOMPLETE,
        "reason": row.get("problem", ""),
        "budget": row["budget"],
        "failures": [],
        "host": {},
    }


def _ignore(row: Row, event: Mapping[str, Any]) -> None:
    """Pass over what only the live view shows."""


def _built(row: Row, event: Mapping[str, Any]) -> None:
    row |= {key: event[key] for key in BUILT}
    row["reason"] = event["problem"]


def _booted(row: Row, event: Mapping[str, Any]) -> None:
    if event["what"] == "exact":
        row["boot"]["exact"] = {key: event[key] for key in ("ready", "power_on", "figures", "key", "moved")}
        row["exact_repeats"] = event["repeats"]
    elif event["what"] == "wall" and row["boot"]["wall"]["ready"] is None:
        row["boot"]["wall"] = {"ready": event["ready"], "key": event["key"]}
    if event.get("host") and (event["what"] == "wall" or not row["host"]):
        row["host"] = event["host"]


def _count(row: Row, event: Mapping[str, Any]) -> None:
    if event.get("instead"):  # it had an outcome, and then its teardown failed
        row["cases"][event["instead"]] -= 1
    row["cases"][event["outcome"]] += 1
    if event["outcome"] == "failed":
        row["failures"].append({key: event.get(key, "") for key in ("case", "message", "transcript")})


def _case(row: Row, event: Mapping[str, Any]) -> None:
    _count(row, event)
    if event.get("verdict") == "root_readonly" and event["outcome"] != "skipped":
        row["root_readonly"] = row["root_readonly"] is not False and event["outcome"] == "passed"


_TAKE = {"built": _built, "booted": _booted, "case": _case}


def _status(row: Mapping[str, Any], collected: Mapping[str, int] | None) -> str:
    """Return what came of a cell; `collected` says how many cases each has, None when that was never known."""
    cases = row["cases"]
    if row["reason"]:
        return NOT_RUN
    if cases["failed"]:
        return FAILED
    if collected is None:
        return INCOMPLETE
    if not collected.get(row["id"]):
        return NOT_SELECTED
    return PASSED if sum(cases.values()) >= collected[row["id"]] else INCOMPLETE
