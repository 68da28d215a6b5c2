"""A run as JUnit XML, for CI servers: a suite for each cell, and what is known, the lab's or not run told apart.

The format is what Jenkins and GitLab read: testsuites, testsuite, testcase with failure, error or skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from xml.etree import ElementTree as Xml

from harness.run.results import FINISHED, KNOWN, LAB, effective

# what XML 1.0 has no way to hold (section 2.2)
_UNFIT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
JunitRow = Mapping[str, Any]


def junit(events: Iterable[JunitRow], results: JunitRow) -> str:
    """Return the XML of a run, from its events and the results that they fold to."""
    cases: dict[str, dict[str, JunitRow]] = {}
    for event in effective(events):
        if event["event"] == "case":  # the last word on a case counts: its teardown may have failed
            cases.setdefault(event["cell"], {})[event["case"]] = event
    root = Xml.Element("testsuites", name="harness")
    for row in results["cells"]:
        _suite(root, row["id"], [*cases.get(row["id"], {}).values()], row, results["when"])
    if others := cases.get(""):
        _suite(root, "cases without a cell", [*others.values()], {}, results["when"])
    Xml.indent(root)
    return Xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(root: Xml.Element, name: str, cases: list[JunitRow], row: JunitRow, when: str) -> None:
    suite = Xml.SubElement(root, "testsuite", name=_fit(name), timestamp=when.removesuffix("Z"))
    if facts := list(_facts(row)):
        properties = Xml.SubElement(suite, "properties")
        for key, value in facts:
            Xml.SubElement(properties, "property", name=key, value=_fit(str(value)))
    for event in cases:
        _case(suite, event)
    if row and row["status"] not in FINISHED and not any(one["outcome"] == "failed" for one in cases):
        # a cell without a verdict must not look like one that passed
        case = Xml.SubElement(suite, "testcase", classname=_fit(name), name="cell", time="0")
        Xml.SubElement(case, "error", message=_fit(f"{row['status']}: {row['reason']}".splitlines()[0]), type="not run")
    suite.set("tests", str(len(suite.findall("testcase"))))
    suite.set("time", f"{sum(event.get('seconds', 0.0) for event in cases):.3f}")
    for tag, key in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        suite.set(key, str(len(suite.findall(f"testcase/{tag}"))))


def _facts(row: JunitRow) -> Iterator[tuple[str, object]]:
    if not row:
        return
    found = {"image": row["image"], "machine": row["machine"], "arch": row["arch"], "size": row["size"],
             "exact_ms": row["boot"]["exact"]["ready"], "wall_ms": row["boot"]["wall"]["ready"]}  # fmt: skip
    yield from ((key, value) for key, value in found.items() if value is not None)


def _case(suite: Xml.Element, event: JunitRow) -> None:
    path, _, name = event["case"].partition("::")
    case = Xml.SubElement(
        suite, "testcase", classname=_fit(path.removesuffix(".py").replace("/", ".").strip(".")),
        name=_fit(name or path), time=f"{event.get('seconds', 0.0):.3f}",
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
        Xml.SubElement(case, "system-out").text = _fit(f"transcript: {event['transcript']}")


def _fit(text: str) -> str:
    return _UNFIT.sub("\ufffd", text)
