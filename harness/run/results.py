"""results.json: what a run found, folded from its events; what it holds is said in `results_model.py`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness import files
from harness.build.settings import Settings
from harness.errors import UserError
from harness.run import outcome
from harness.run.outcome import LAB
from harness.run.results_model import (
    FAILED,
    FINISHED,
    INCOMPLETE,
    KNOWN,
    LAB_FAILED,
    NOT_JUDGED,
    NOT_RUN,
    NOT_SELECTED,
    PASSED,
    SCHEMA,
    Results,
)

# what is known of a cell once its image is built, and what stands there until then
BUILT: Mapping[str, Any] = {"size": None, "sizes": {}, "spec": None, "files": {}, "inputs": {}}
LARGEST = 64 << 20  # bytes of a results.json
HINT = "a results.json of `harness matrix`"
OF_ATTEMPT = ("booted", "case", "partial", "repeated")  # what does not count of a host that was lost with its cell
AFTER_END = ("end", "gate", "history")  # what is told of a run once pytest is over
_Row = dict[str, Any]


def fold(events: Iterable[Mapping[str, Any]]) -> Results:
    """Return the results of a run as far as its events go; an interrupted run gives what it had found."""
    head: _Row = {}
    cells: dict[str, _Row] = {}
    other: _Row = {"cases": _no_cases(), "partial": {}, "failures": []}
    collected: dict[str, int] | None = None
    names: dict[str, list[str]] = {}
    seen: set[str] = set()
    last: dict[str, Mapping[str, Any]] = {}  # the last event of each kind that comes at most once
    notes: list[str] = []
    for event in effective(events):
        kind = event["event"]
        if kind == "run":
            head = {key: event.get(key) for key in ("harness", "when", "run", "plan", "source", "shard")}
            cells = {row["id"]: _cell(row) for row in event["cells"]}
        elif kind == "collected":
            collected = {**(collected or {}), **event["cases"]}
            names |= event.get("names", {})
        elif kind == "note":
            notes.append(event["text"])
        elif kind in AFTER_END:
            last[kind] = event
        elif event.get("cell") in cells:
            _TAKE.get(kind, _ignore)(cells[event["cell"]], event)
        else:
            _TAKE_OTHER.get(kind, _ignore)(other, event)
        if kind == "case":
            seen.add(event["case"])
    end = outcome.RunEnd.of(last.get("end"))
    gate = last.get("gate", {})
    for row in cells.values():
        row["status"] = _status(row, collected)
        row["gate"] = _gate(row, gate.get("cells", {}).get(row["id"]))
        if row["status"] == INCOMPLETE:
            row["unrun"] = [name for name in names.get(row["id"], ()) if name not in seen]
            if end.deadline:
                row |= {"status": NOT_RUN, "reason": f"the deadline, {end.deadline}, came first"}
    other["unrun"] = [name for name in names.get("", ()) if name not in seen]
    failing = {one["known"] for row in cells.values() for one in row["known"]}
    for row in cells.values():  # what is known of several cells has gone once it fails on none of them
        row["passes"] = [one for one in row["passes"] if one["known"] not in failing]
    after = {"against": gate.get("against"), "history": last.get("history", {}).get("problem", "")}
    found = made({**head, **after, "notes": notes, "cells": list(cells.values()), "other": other}, "events")
    return outcome.concluded(found, end, began=collected is not None)


def case_of(nodeid: str, cell: str = "") -> str:
    """Return what a case is called on every cell: its whole node id without the cell's name among its parameters."""
    name, _, inside = nodeid.partition("[")
    if not inside or not cell:
        return nodeid
    rest = inside.removesuffix("]")
    if rest == cell:
        return name
    for mine, other in ((f"{cell}-", ""), ("", f"-{cell}")):
        if rest.startswith(mine) and rest.endswith(other):
            return f"{name}[{rest[len(mine) : len(rest) - len(other)]}]"
    return f"{name}[{rest.replace(f'-{cell}-', '-', 1)}]"


def function_of(nodeid: str) -> str:
    """Return the name of a case's function, without file, class and parameters; of a file, the file."""
    return nodeid.partition("[")[0].rpartition("::")[2]


def file_and_function(nodeid: str) -> str:
    """Return what a plan may call a case: FILE.py::FUNCTION, without folders, class and parameters."""
    return f"{nodeid.partition('::')[0].rpartition('/')[2]}::{function_of(nodeid)}"


def effective(events: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the events that count: not those of cells that a run which went on has repeated, or of lost hosts."""
    kept: list[dict[str, Any]] = []
    for event in events:
        if event["event"] == "lost":
            kept = [one for one in kept if not _is_lost(one, event)]
        if event["event"] != "resumed":
            kept.append(dict(event))
            continue
        repeated = {row["id"] for row in event["cells"]}
        kept = [one for one in kept if one["event"] not in (*AFTER_END, "note") and one.get("cell") not in repeated
                and (one["event"], one.get("cell")) != ("case", "")]  # fmt: skip
        for one in kept:
            if one["event"] == "collected":
                one["cases"] = {name: count for name, count in one["cases"].items() if name in event["finished"]}
    return kept


def _is_lost(one: Mapping[str, Any], lost: Mapping[str, Any]) -> bool:
    """Say whether an event is of what a host that was lost had done; `others`: it ran the cases without a cell too."""
    cells = (lost["cell"], "") if lost.get("others") else (lost["cell"],)
    return one["event"] in OF_ATTEMPT and one.get("cell") in cells


def read(file: Path) -> Results:
    """Return what a results.json holds, also one of an older harness; UserError when it is none."""
    found = files.read_json(file)
    if not isinstance(found, dict) or "cells" not in found:
        raise UserError(f"{file} is not a results.json", hint=HINT)
    return of_json(found, str(file))


def of_json(found: Any, called: str) -> Results:
    """Return a results.json's data as what it means; UserError, naming `called`, when it is none."""
    results = made(found, called)
    return results if "outcome" in found else outcome.of_older(results)


def made(found: Mapping[str, Any], called: str) -> Results:
    """Return plain data as results; UserError, naming `called`, when it is none."""
    try:
        return Results.model_validate(sound(found))
    except ValidationError as error:
        raise UserError(f"{called}: not a run's results: {complaint(error)}", hint=HINT) from None


def complaint(error: ValidationError) -> str:
    """Return the first of pydantic's complaints as ``where: what``."""
    one = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part)[:60] for part in one["loc"])
    return f"{where}: {one['msg']}" if where else one["msg"]


def sound(value: Any) -> Any:
    """Return JSON's data with halves of surrogates, which no file can hold, as escapes."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {sound(key): sound(one) for key, one in value.items()}
    if isinstance(value, tuple):  # stays one: pytest tells a skipped case's reason by it
        return tuple(sound(one) for one in value)
    return [sound(one) for one in value] if isinstance(value, list) else value


def dumped(found: Results) -> str:
    """Return results as the text of a results.json."""
    return json.dumps({"schema": SCHEMA, **found.model_dump(mode="json", by_alias=True)}, indent=1) + "\n"


def write(path: Path, found: Results) -> Path:
    """Write a results.json whole or not at all; return its path."""
    return files.write(path, dumped(found))


def _no_cases() -> dict[str, int]:
    return {"passed": 0, "failed": 0, "skipped": 0, KNOWN: 0}


def _cell(row: Mapping[str, Any]) -> _Row:
    return {
        **{key: row[key] for key in ("id", "image", "machine", "arch", "budget")},
        "format": row.get("format", Settings.format),
        "path": row.get("path", ""),
        **{key: row.get(key, empty) for key, empty in BUILT.items()},
        "boot": {"exact": {}, "wall": {}},
        "exact_repeats": None,
        "root_readonly": None,
        "cases": _no_cases(),
        "partial": {},
        "reason": row.get("problem", ""),
        **{key: [] for key in ("failures", "known", "passes", "repeated")},
        "seconds": 0.0,
        "host": {},
    }


def _ignore(row: _Row, event: Mapping[str, Any]) -> None:
    """Pass over what only the live view shows."""


def _built(row: _Row, event: Mapping[str, Any]) -> None:
    row |= {key: event.get(key, empty) for key, empty in BUILT.items()}
    row["reason"] = event["problem"]


def _booted(row: _Row, event: Mapping[str, Any]) -> None:
    if event["what"] == "exact":
        row["boot"]["exact"] = {key: event[key] for key in ("ready", "power_on", "figures", "key", "moved")}
        row["exact_repeats"] = event["repeats"]
    elif event["what"] == "wall" and row["boot"]["wall"].get("ready") is None:
        row["boot"]["wall"] = {"ready": event["ready"], "key": event["key"]}
    if event.get("host") and (event["what"] == "wall" or not row["host"]):
        row["host"] = event["host"]


def _count(row: _Row, event: Mapping[str, Any]) -> None:
    counts = row["cases"]
    if event.get("instead"):  # it had an outcome, and then its teardown failed
        counts[event["instead"]] -= 1
    counts[event["outcome"]] = counts.get(event["outcome"], 0) + 1
    if event["outcome"] == FAILED:
        row["failures"].append({key: event.get(key, "") for key in ("case", "message", "transcript", "whose")})


def _case(row: _Row, event: Mapping[str, Any]) -> None:
    _count(row, event)
    row["seconds"] = round(row["seconds"] + event.get("seconds", 0.0), 3)
    if event["outcome"] == KNOWN:
        row["known"].append({key: event.get(key, "") for key in ("case", "message", "transcript", "known")})
    if event.get("passes"):
        row["passes"].append({"case": event["case"], "known": event["passes"]})
    if event.get("verdict") == "root_readonly" and event["outcome"] != "skipped":
        row["root_readonly"] = row["root_readonly"] is not False and event["outcome"] == PASSED


def _partial(row: _Row, event: Mapping[str, Any]) -> None:
    """Count a subtest, or an attempt that was repeated: it is not an outcome of a case."""
    row["partial"][event["outcome"]] = row["partial"].get(event["outcome"], 0) + 1


def _repeated(row: _Row, event: Mapping[str, Any]) -> None:
    row["repeated"].append({key: event.get(key, "") for key in ("case", "message", "transcript", "whose")})


def _differs(row: _Row, event: Mapping[str, Any]) -> None:
    row["differs"] = event["text"]


_TAKE_OTHER = {"case": _count, "partial": _partial}
_TAKE = {"built": _built, "booted": _booted, "case": _case, "partial": _partial, "repeated": _repeated,
         "lost": _repeated, "differs": _differs}  # fmt: skip


def _gate(row: Mapping[str, Any], judged: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return what a comparison says of a cell: one that did not run has its own word for that it has no figures."""
    silent = judged is not None and judged["judged"] == NOT_JUDGED and row["status"] not in (*FINISHED, LAB_FAILED)
    return None if silent else judged


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
