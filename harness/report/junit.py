"""A run as JUnit XML, for CI servers: a suite for each cell, and what is known, the lab's or not run told apart.

The format is what Jenkins and GitLab read: testsuites, testsuite, testcase with failure, error or skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

from harness.run.outcome import KINDS, LAB
from harness.run.results import effective
from harness.run.results_model import FINISHED, KNOWN, NOT_JUDGED, NOT_SELECTED, WORSE, CellResult, Results

# what XML 1.0 has no way to hold (section 2.2)
_UNFIT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
JunitEvent = Mapping[str, Any]
RUN = "run"  # the suite whose one case is the outcome


@dataclass(frozen=True)
class CiPlace:
    """Where the results are read: the name of this host, and from where GitLab reads attachments (None: absolute)."""

    host: str = ""
    project: Path | None = None

    def attachment(self, path: str) -> str:
        """Return the line by which Jenkins, Azure and GitLab find a file; GitLab wants it below the project."""
        full = Path(path)
        inner = full.relative_to(self.project) if self.project and full.is_relative_to(self.project) else full
        return f"[[ATTACHMENT|{inner}]]"


def junit(events: Iterable[JunitEvent], results: Results, place: CiPlace = CiPlace()) -> str:
    """Return the XML of a run, from its events and the results that they fold to."""
    cases: dict[str, dict[str, JunitEvent]] = {}
    for event in effective(events):
        if event["event"] == "case":  # the last word on a case counts: its teardown may have failed
            cases.setdefault(event["cell"], {})[event["case"]] = event
    root = Xml.Element("testsuites", name="harness")
    for row in results.cells:
        suite = _suite(
            root, row.id, results.when, replace(place, host=str(row.host.get("name", place.host))), list(_facts(row))
        )
        mine = [*cases.get(row.id, {}).values()]
        for one in mine:
            _case(suite, one, place)
        _cell(suite, row, failed=any(one["outcome"] == "failed" for one in mine))
        _counted(suite, sum(one.get("seconds", 0.0) for one in mine))
    if others := [*cases.get("", {}).values()]:
        suite = _suite(root, "cases without a cell", results.when, place, [])
        for one in others:
            _case(suite, one, place)
        _counted(suite, sum(one.get("seconds", 0.0) for one in others))
    _outcome(root, results, place)
    Xml.indent(root)
    return Xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(root: Xml.Element, name: str, when: str, place: CiPlace, facts: list[tuple[str, object]]) -> Xml.Element:
    suite = Xml.SubElement(root, "testsuite", name=_fit(name), timestamp=_fit(when.removesuffix("Z")),
                           hostname=_fit(place.host))  # fmt: skip
    if facts:
        properties = Xml.SubElement(suite, "properties")
        for key, value in facts:
            Xml.SubElement(properties, "property", name=key, value=_fit(str(value)))
    return suite


def _counted(suite: Xml.Element, seconds: float) -> None:
    suite.set("tests", str(len(suite.findall("testcase"))))
    suite.set("time", f"{seconds:.3f}")
    for tag, key in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        suite.set(key, str(len(suite.findall(f"testcase/{tag}"))))


def _facts(row: CellResult) -> Iterator[tuple[str, object]]:
    found = {"image": row.image, "machine": row.machine, "arch": row.arch, "size": row.size,
             "exact_ms": row.boot.exact.ready, "wall_ms": row.boot.wall.ready}  # fmt: skip
    yield from ((key, value) for key, value in found.items() if value is not None)


def _cell(suite: Xml.Element, row: CellResult, *, failed: bool) -> None:
    """Add what no case tells: a cell without a verdict, and one that is worse, must not look like one that passed."""
    if row.status == NOT_SELECTED:
        _verdict(suite, row.id, "cell", "skipped", "not selected", row.status)
    elif row.status not in FINISHED and not failed:
        why = f"{row.status}: {row.reason or ', '.join(row.unrun)}".splitlines()[0]
        _verdict(suite, row.id, "cell", "error", "not run", why)
    if row.gate and row.gate.judged in (WORSE, NOT_JUDGED):
        kind = "failure" if row.gate.judged == WORSE else "error"
        told = dict.fromkeys((row.gate.judged, *row.gate.reasons, *filter(None, [row.gate.how])))
        _verdict(suite, row.id, "against", kind, row.gate.judged, "\n".join(told))
    elif row.gate:
        _verdict(suite, row.id, "against", "", "", row.gate.how)


def _outcome(root: Xml.Element, results: Results, place: CiPlace) -> None:
    """Add the run itself as a case: what it came to stands here as everywhere."""
    found = results.outcome
    suite = _suite(root, RUN, results.when, place, [("outcome", found.word), ("exit", found.exit)])
    kind = KINDS[found.word].kind if found.word in KINDS else "bad"
    tag = "" if kind == "good" else "failure" if kind == "bad" else "error"
    _verdict(suite, RUN, "outcome", tag, found.word, "\n".join((found.headline, *found.reasons)))
    _counted(suite, 0.0)


def _verdict(suite: Xml.Element, classname: str, name: str, tag: str, kind: str, text: str) -> None:
    case = Xml.SubElement(suite, "testcase", classname=_fit(classname), name=name, time="0")
    if tag:
        first = (text.splitlines() or [""])[0]
        found = Xml.SubElement(case, tag, message=_fit(first))
        if tag != "skipped":
            found.set("type", _fit(kind))
            found.text = _fit(text)
    elif text:
        Xml.SubElement(case, "system-out").text = _fit(text)


def _case(suite: Xml.Element, event: JunitEvent, place: CiPlace) -> None:
    path, _, name = event["case"].partition("::")
    case = Xml.SubElement(
        suite, "testcase", classname=_fit(path.removesuffix(".py").replace("/", ".").strip(".")),
        name=_fit(name or path), time=f"{event.get('seconds', 0.0):.3f}", file=_fit(path),
    )  # fmt: skip
    message, outcome = event.get("message", ""), event["outcome"]
    brief = _fit((message.strip().splitlines() or [""])[0][:500])
    if outcome == "failed":
        labs = event.get("whose") in LAB
        found = Xml.SubElement(case, "error" if labs else "failure", message=brief)
        found.set("type", f"lab: {event['whose']}" if labs else "product")
        found.text = _fit(message)
    elif outcome == KNOWN:
        Xml.SubElement(case, "skipped", message=_fit(event["known"])).text = _fit(message)
    elif outcome in ("skipped", "xfailed"):
        Xml.SubElement(case, "skipped", message=brief)
    if event.get("transcript"):
        Xml.SubElement(case, "system-out").text = _fit(f"\n{place.attachment(event['transcript'])}\n")


def _fit(text: str) -> str:
    return _UNFIT.sub("\ufffd", text)
