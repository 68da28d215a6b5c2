"""results.json: what a run found, folded from its events. Every key is described in docs/results.md."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.errors import EXIT_CASES_FAILED, EXIT_HOST, EXIT_INTERRUPTED, EXIT_OK

FILE = "results.json"
SCHEMA = 1
PASSED, FAILED, NOT_RUN, INCOMPLETE = "passed", "failed", "not run", "incomplete"
Row = dict[str, Any]


def fold(events: Iterable[Mapping[str, Any]]) -> Row:
    """Return the results of a run as far as its events go; an interrupted run gives what it had found."""
    head: Row = {"schema": SCHEMA}
    cells: dict[str, Row] = {}
    collected: dict[str, int] = {}
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
    rows = list(cells.values())
    for row in rows:
        row["status"] = _status(row, collected.get(row["id"]))
    interrupted = bool(end.get("interrupted", not end))
    return head | {"exit": verdict(rows, interrupted=interrupted), "interrupted": interrupted, "cells": rows}


def verdict(cells: Iterable[Mapping[str, Any]], *, interrupted: bool = False) -> int:
    """Return the exit code that the cells' statuses add up to."""
    statuses = {row["status"] for row in cells}
    if interrupted:
        return EXIT_INTERRUPTED
    if statuses & {FAILED, INCOMPLETE}:
        return EXIT_CASES_FAILED
    return EXIT_HOST if NOT_RUN in statuses else EXIT_OK


def write(folder: Path, results: Mapping[str, Any]) -> Path:
    """Write `folder`/results.json by one rename, so that no reader sees half of it; return its path."""
    path = folder / FILE
    scratch = folder / f".{FILE}.{os.getpid()}"
    scratch.write_text(json.dumps(results, indent=1) + "\n")
    scratch.replace(path)
    return path


def _cell(row: Mapping[str, Any]) -> Row:
    return {
        "id": row["id"],
        "image": row["image"],
        "machine": row["machine"],
        "arch": row["arch"],
        "size": row.get("size"),
        "sizes": row.get("sizes", {}),
        "spec": row.get("spec"),
        "files": row.get("files", {}),
        "boot": {
            "exact": {"ready": None, "power_on": None, "figures": {}, "key": {}, "moved": ""},
            "wall": {"ready": None, "key": {}},
        },
        "exact_repeats": None,
        "root_readonly": None,
        "cases": {"passed": 0, "failed": 0, "skipped": 0},
        "status": NOT_RUN if row.get("problem") else INCOMPLETE,
        "reason": row.get("problem", ""),
        "budget": row["budget"],
        "failures": [],
        "host": {},
    }


def _ignore(row: Row, event: Mapping[str, Any]) -> None:
    """Pass over what only the live view shows."""


def _booted(row: Row, event: Mapping[str, Any]) -> None:
    if event["what"] == "exact":
        row["boot"]["exact"] = {key: event[key] for key in ("ready", "power_on", "figures", "key", "moved")}
        row["exact_repeats"] = event["repeats"]
    elif event["what"] == "wall" and row["boot"]["wall"]["ready"] is None:
        row["boot"]["wall"] = {"ready": event["ready"], "key": event["key"]}
    if event.get("host") and (event["what"] == "wall" or not row["host"]):
        row["host"] = event["host"]


def _case(row: Row, event: Mapping[str, Any]) -> None:
    if event.get("again"):  # it had passed, and then its teardown failed
        row["cases"]["passed"] -= 1
    row["cases"][event["outcome"]] += 1
    if event["outcome"] == "failed":
        row["failures"].append({key: event.get(key, "") for key in ("case", "message", "transcript")})
    if event.get("verdict") == "root_readonly" and event["outcome"] != "skipped":
        row["root_readonly"] = row["root_readonly"] is not False and event["outcome"] == "passed"


_TAKE = {"booted": _booted, "case": _case}


def _status(row: Mapping[str, Any], expected: int | None) -> str:
    cases = row["cases"]
    if row["reason"]:
        return NOT_RUN
    if cases["failed"]:
        return FAILED
    return PASSED if expected is not None and sum(cases.values()) >= expected else INCOMPLETE
