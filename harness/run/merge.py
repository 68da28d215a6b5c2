"""One plan's results from several hosts, put together; what contradicts itself is refused. Pure but for `write`."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import HostError, UserError
from harness.run import results
from harness.run.events import Event
from harness.run.folder import RunFolder
from harness.run.outcome import PYTEST_OK
from harness.run.results_model import CellResult, Results
from harness.store import digest_of
from harness.text import of_error

_ID = re.compile(r"\w[\w.-]*")
KEPT = ("built", "booted", "case", "partial", "repeated", "lost", "note")  # of a part's events, as they are
MOST_NAMED = 5  # inputs by which builds differ
ALIKE = {"harness": "the harness", "plan": "the plan", "commit": "the commit of the plan's folder"}


@dataclass(frozen=True)
class HostPart:
    """What one host found: its folder, and its events without those of cells that it has repeated."""

    folder: RunFolder
    told: tuple[Event, ...]

    @property
    def run(self) -> Event:
        """The event that began it."""
        return next(event for event in self.told if event["event"] == "run")

    @property
    def rows(self) -> tuple[CellResult, ...]:
        """Its cells, as in results.json."""
        return results.fold(self.told).cells


def read(folder: RunFolder) -> HostPart:
    """Return a host's part; UserError when no run has left results there."""
    try:
        told = results.effective(folder.read_events())
        cells = [row["id"] for event in told if event["event"] == "run" for row in event["cells"]]
    except (OSError, ValueError, LookupError, TypeError):
        told = cells = []
    # the results are another host's: an id becomes the name of a folder
    if not (cells or _is_empty_shard(told)) or not all(isinstance(name, str) and _ID.fullmatch(name) for name in cells):
        raise UserError(f"there are no results of a run in {folder}", hint="name folders of `harness matrix --results`")
    return HostPart(folder, tuple(told))


def _is_empty_shard(told: Sequence[Event]) -> bool:
    """Say whether there was nothing to be done for a host: of more shards than cells."""
    return any(event["event"] == "run" and event.get("shard") and event["cells"] == [] for event in told)


def merge(parts: Sequence[HostPart], *, partial: bool = False) -> list[Event]:
    """Return the events of the whole run; UserError, with every conflict, when the parts do not fit together.

    `partial`: shards may be missing; their cells were not run.
    """
    if conflicts := [*_unlike(parts), *_twice(parts), *_other_yaml(parts), *_shards(parts, partial=partial)]:
        raise UserError("these results do not fit together", details="\n".join(conflicts))
    first = parts[0].run
    facts = {row["id"]: row for part in parts for row in part.run["cells"]}
    every = (first.get("shard") or {}).get("every", list(facts))
    whole = {**first, "when": min(part.run["when"] for part in parts), "shard": None,
             "run": digest_of(sorted(part.run["run"] for part in parts))[:32],
             "cells": [facts.get(name) or _missing(name) for name in every]}  # fmt: skip
    told = [event for part in parts for event in part.told if event["event"] in KEPT]
    counts = [event["cases"] for part in parts for event in part.told if event["event"] == "collected"]
    collected = {name: sum(count.get(name, 0) for count in counts) for name in {*facts, ""}}
    ends = [event for part in parts for event in part.told if event["event"] == "end"]
    names: dict[str, list[str]] = {}
    for part in parts:
        for event in part.told:
            for cell, cases in event.get("names", {}).items():
                names[cell] = [*names.get(cell, ()), *cases]
    return [
        whole,
        *told,
        *_builds(parts),
        {"event": "collected", "cases": collected, "names": names},
        _end(ends, len(parts)),
    ]


def write(parts: Sequence[HostPart], told: Sequence[Event], out: RunFolder) -> Results:
    """Write the whole run to the fresh folder `out`, transcripts too; return its results."""
    out.take()
    try:
        for part in parts:
            for row in part.run["cells"]:
                source = part.folder.cell(row["id"])
                if source.is_dir():
                    shutil.copytree(source, out.cell(row["id"]), ignore=_links)
    except (OSError, shutil.Error) as error:
        raise HostError(f"cannot copy the transcripts to {out}: {of_error(error)}") from None
    for event in told:
        out.events.tell(**_moved(event, out))
    found = results.fold(out.read_events())
    out.write_results(found)
    return found


def _links(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if Path(folder, name).is_symlink()]


def _moved(event: Event, out: RunFolder) -> Event:
    """Let a case name the transcript where it lies now."""
    text = event.get("transcript")
    place = out.moved(text) if text else None
    return {**event, "transcript": str(place)} if place else event


def _facts(part: HostPart) -> Mapping[str, Any]:
    source = part.run.get("source") or {}
    return {"harness": part.run["harness"], "plan": part.run["plan"], "commit": source.get("commit")}


def _unlike(parts: Sequence[HostPart]) -> Iterator[str]:
    first = _facts(parts[0])
    for part in parts[1:]:
        for key, called in ALIKE.items():
            if _facts(part)[key] != first[key]:
                yield f"{called} is {first[key]} in {parts[0].folder}, but {_facts(part)[key]} in {part.folder}"


def _twice(parts: Sequence[HostPart]) -> Iterator[str]:
    seen: dict[str, RunFolder] = {}
    for part in parts:
        for row in part.run["cells"]:
            if row["id"] in seen:
                yield f"{row['id']} is in {seen[row['id']]} and in {part.folder}"
            seen[row["id"]] = part.folder


def _other_yaml(parts: Sequence[HostPart]) -> Iterator[str]:
    """Yield images whose YAML is not the same everywhere."""
    for (label, arch), rows in _by_image(parts).items():
        specs = {row.spec: part.folder for part, row in reversed(rows)}
        if len(specs) > 1:
            first, second = list(specs.values())[::-1][:2]
            yield f"{label} for {arch} has another YAML in {second} than in {first}"


def _builds(parts: Sequence[HostPart]) -> Iterator[Event]:
    """Mark the cells of images of which hosts have made builds that differ, and say by what."""
    for (label, arch), rows in _by_image(parts).items():
        cells: dict[str, list[CellResult]] = {}
        for _, row in rows:
            cells.setdefault(digest_of(row.files), []).append(row)
        if len(cells) < 2:
            continue
        one, other = [some[0].inputs for some in cells.values()][:2]
        names = [name for name in sorted({*one, *other} - {"bytes", "machine"}) if one.get(name) != other.get(name)]
        differs = ", ".join(
            f"{name} {one.get(name, 'none')} or {other.get(name, 'none')}" for name in names[:MOST_NAMED]
        )
        text = f"hosts made {len(cells)} builds of {label} for {arch} that differ: {differs or 'in their bytes alone'}"
        yield {"event": "note", "text": f"{text}: {' | '.join(_ids(some) for some in cells.values())}"}
        yield from ({"event": "differs", "cell": row.id, "text": text} for some in cells.values() for row in some)


def _ids(rows: Sequence[CellResult]) -> str:
    return ", ".join(row.id for row in rows)


def _by_image(parts: Sequence[HostPart]) -> dict[tuple[str, str], list[tuple[HostPart, CellResult]]]:
    """Return the cells whose image was built, by that and its architecture."""
    found: dict[tuple[str, str], list[tuple[HostPart, CellResult]]] = {}
    for part in parts:
        for row in part.rows:
            if row.files:
                found.setdefault((row.label, row.arch), []).append((part, row))
    return found


def _shards(parts: Sequence[HostPart], *, partial: bool) -> Iterator[str]:
    shards = {part.folder: part.run.get("shard") for part in parts}
    known = [shard for shard in shards.values() if shard]
    if not known:
        return
    for folder, shard in shards.items():
        if not shard:
            yield f"{folder} is not a shard, but others are"
        elif shard["split"] != known[0]["split"] or shard["every"] != known[0]["every"]:
            yield f"{folder} is of another split: every host needs the same plan and the same --durations-of"
    numbers = {shard["number"] for shard in known}
    if not partial and (missing := sorted(set(range(1, known[0]["of"] + 1)) - numbers)):
        yield f"of {known[0]['of']} shards there is no {', '.join(map(str, missing))} (--partial does without)"


def _missing(name: str) -> Event:
    return {"id": name, "image": "", "machine": "", "arch": "", "budget": {}, "problem": "no results of its shard"}


def _end(ends: Sequence[Event], parts: int) -> Event:
    """Return how it all ended: interrupted where one was, or never came to an end."""
    error = next((event["error"] for event in ends if event.get("error")), None)
    code = next((event["code"] for event in ends if event.get("code") not in (None, *PYTEST_OK, 1)), 0)
    interrupted = len(ends) < parts or any(event.get("interrupted") for event in ends)
    return {"event": "end", "interrupted": interrupted, "code": code, **({"error": error} if error else {})}
