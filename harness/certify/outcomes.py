"""What the cases came to, as an archive tells it: the one part of it that is the vendor's word.

``events.jsonl`` and ``results.json`` of an archive are written anew from that word and from the files beside it, so all
else in them can be computed again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from harness.certify import contents, judge
from harness.certify.contents import EvidenceFiles
from harness.certify.judge import CaseOutcome
from harness.certify.sources import Sources, case_name
from harness.errors import EvidenceError, HostError, ImageError, MachineError, UserError
from harness.launch.exact import compare
from harness.measure.phases import figures
from harness.measure.sizes import sizes
from harness.run import results
from harness.spec.models.base import Model
from harness.system.record import BootRecord

WALL = "wall"  # the folder of the boot that the harmless cases share
_CASE = re.compile(r"(?P<file>[^:]*\.py)(::(?P<function>\w+)(?P<cell>\[.*\])?)?", re.DOTALL)
_WHOSE = ("", *(kind.whose for kind in (UserError, HostError, MachineError, ImageError)), "harness")


class CaseEvent(Model):
    """A case's outcome as ``events.jsonl`` has it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    event: Literal["case"] = "case"
    cell: str
    case: str
    outcome: Literal["passed", "failed", "skipped"]
    instead: Literal[""] = ""
    message: str
    transcript: str
    whose: str


_EVENT: TypeAdapter[CaseEvent] = TypeAdapter(CaseEvent)


@dataclass(frozen=True)
class Word:
    """What the vendor says: when it was, by which harness, and what each case came to."""

    when: str
    harness: str
    cases: tuple[CaseEvent, ...]

    @property
    def found(self) -> list[CaseOutcome]:
        """The outcomes as they are judged."""
        return judge.outcomes(one.model_dump() for one in self.cases)


def cell_id(sources: Sources) -> str:
    """Return the cell's name."""
    return re.sub(r"[^\w.-]", "_", f"{sources.image.name}-{sources.machine.name}")


def told(events: Iterable[Mapping[str, Any]], sources: Sources, cell: str, folder: Path) -> Word:
    """Return what a run's events say of the cell `cell`, whose boots lie in `folder`, in the words of an archive."""
    known = {Path(name).name: name for name in _case_files(sources)}
    last: dict[str, CaseEvent] = {}
    head: Mapping[str, Any] = {}
    for event in events:
        if event["event"] == "run":
            head = event
        if event["event"] != "case":
            continue
        match = _CASE.fullmatch(event["case"])
        file = known.get(Path(match["file"]).name) if match else None
        if match is None or file is None:
            raise EvidenceError(f"a case was run that the profile does not name: {event['case']}")
        name = "::".join(filter(None, (file, match["function"]))) + _parameters(match["cell"] or "", cell, sources)
        last[name] = CaseEvent(
            cell=cell_id(sources),
            case=name,
            outcome="failed" if event["outcome"] not in ("passed", "skipped") else event["outcome"],
            message=event["message"],
            transcript=_transcript(event.get("transcript", ""), folder),
            whose=event.get("whose", ""),
        )
    return Word(head["when"], head["harness"], tuple(last.values()))


def _parameters(text: str, cell: str, sources: Sources) -> str:
    return text.replace(cell, cell_id(sources))


def _transcript(path: str, folder: Path) -> str:
    if not path or not Path(path).is_relative_to(folder):
        return ""
    return f"{contents.BOOTS}/{Path(path).relative_to(folder)}"


def _case_files(sources: Sources) -> dict[str, None]:
    return dict.fromkeys(case_name(case) for one in sources.profile.requirements for case in one.cases)


def read(files: EvidenceFiles) -> Word:
    """Return the vendor's word in an archive; EvidenceError when it is none."""
    rows = [contents.loads(line, contents.EVENTS) for line in _lines(files)]
    heads = [row for row in rows if isinstance(row, dict) and row.get("event") == "run"]
    try:
        (head,) = heads
        when, harness = str(head["when"]), str(head["harness"])
        cases = [_EVENT.validate_python(row) for row in rows if isinstance(row, dict) and row.get("event") == "case"]
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise EvidenceError(f"{contents.EVENTS} is not as this harness writes it: {str(error)[:300]}") from None
    return Word(when, harness, tuple(cases))


def _lines(files: EvidenceFiles) -> list[bytes]:
    content = files.content(contents.EVENTS)
    tokens = sum(map(content.count, (b",", b"[", b"{")))
    if tokens > contents.MAX_TOKENS or content.count(b"\n") > contents.MAX_TOKENS // 50:
        raise EvidenceError(f"{contents.EVENTS} has more in it than any harness writes")
    return content.splitlines()


def check(word: Word, files: EvidenceFiles, sources: Sources) -> None:
    """Check that the vendor speaks of this cell, of cases that the profile has, each once; EvidenceError: not so."""
    known, cell = _case_files(sources), cell_id(sources)
    wanted = [case for one in sources.profile.requirements for case in one.cases]
    seen = set()
    for row in word.cases:
        match = _CASE.fullmatch(row.case)
        shared = row.transcript and row.transcript not in files.members
        if match is None or match["file"] not in known or row.cell != cell or row.whose not in _WHOSE or shared:
            raise EvidenceError(f"{contents.EVENTS} tells of {row.case[:200]!r} what no run of this profile does")
        if match["function"] and cell not in (match["cell"] or ""):
            raise EvidenceError(f"{contents.EVENTS} tells of {row.case[:200]!r}, which is not of the cell {cell}")
        if not match["function"] and row.outcome == "passed":  # a file is told of where it could not be collected
            raise EvidenceError(f"{contents.EVENTS} tells of {row.case[:200]!r} that it passed, and it is not a case")
        if row.case in seen:
            raise EvidenceError(f"{contents.EVENTS} tells twice of {row.case[:200]!r}")
        seen.add(row.case)
        if not any(judge.is_of(judge.named(row.case), case) for case in wanted) and match["function"]:
            raise EvidenceError(f"{contents.EVENTS} tells of {row.case[:200]!r}, which the profile does not ask for")


def events(word: Word, sources: Sources, records: Mapping[str, BootRecord]) -> list[dict[str, Any]]:
    """Return the events of an archive: the vendor's word, and what follows from the files."""
    cell, budget = cell_id(sources), sources.budget
    yaml = f"{contents.SPEC}/1-{sources.yamls[0]}"
    head = {"id": cell, "image": yaml, "machine": sources.machine.name, "arch": sources.machine.arch, "problem": "",
            "budget": {"size": budget.size, "ready": budget.ready, "phases": dict(budget.phases)}}  # fmt: skip
    failed = any(one.outcome == "failed" for one in word.cases)
    return [
        {"event": "run", "harness": word.harness, "when": word.when, "run": "", "cells": [head]},
        {"event": "built", "cell": cell, **_built(sources), "problem": ""},
        {"event": "collected", "cases": {cell: len(word.cases)}},
        *_booted(cell, records),
        *(one.model_dump() for one in word.cases),
        {"event": "end", "interrupted": False, "code": int(failed)},
    ]


def _built(sources: Sources) -> dict[str, Any]:
    image = sources.image
    files = {} if image.foreign else image.digests  # a foreign OS's are named by their part here, not by their names
    return {"size": image.size, "sizes": sizes(image.manifest), "spec": sources.spec, "files": files}


def _booted(cell: str, records: Mapping[str, BootRecord]) -> list[dict[str, Any]]:
    exact = [records[boot] for boot in contents.EXACT if boot in records]
    rows = []
    if len(exact) == len(contents.EXACT):
        pair, first = compare(*exact), exact[0]
        rows.append({"what": "exact", "ready": _ms(first.ready_us, 1e3), "power_on": _ms(first.power_on_us, 1e3),
                     "key": first.key, "figures": figures(first), "host": host_of(first), "repeats": pair.repeats,
                     "moved": pair.moved})  # fmt: skip
    if WALL in records:
        one = records[WALL]
        rows.append({"what": WALL, "ready": _ms(one.host_ready_s, 1e-3), "power_on": None, "key": one.key,
                     "host": host_of(one)})  # fmt: skip
    return [{"event": "booted", "cell": cell, **row} for row in rows]


def host_of(record: BootRecord) -> dict[str, Any]:
    """Return a host's facts as results have them."""
    return {**record.host, "qemu": record.qemu_version, "accelerator": record.accel,
            "accelerator_reason": record.accel_reason}  # fmt: skip


def _ms(value: float | None, units: float) -> float | None:
    return None if value is None else round(value / units, 3)


def as_lines(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Return events as their file has them."""
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def folded(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Return ``results.json`` of some events."""
    return results.dumped(results.fold(rows)).encode()
