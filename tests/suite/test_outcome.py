"""A run has one outcome, and nine views of it that say the same, whatever happened."""

from __future__ import annotations

import io
import json
import re
from contextlib import redirect_stdout
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from unittest import mock
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from harness.commands.nights import gate, notify, views
from harness.measure.gate import GatePairs, GateVerdict
from harness.measure.paired import PairedJudgement
from harness.report import brief, junit, page, read
from harness.report import run as pages
from harness.report.read import RunContents
from harness.run import outcome, results
from harness.run.folder import RunFolder
from harness.run.results_model import Results
from harness.show import run_view, table
from harness.spec.models.plan import Email

NAMES = ("a", "b", "c")
pytestmark = pytest.mark.slow
TEXTS = st.sampled_from(["no", "two\nlines", "::error::x", "|<b>", "", "half \udcff"])
WHOSE = st.sampled_from(["", "", "the image", "the machine", "this host"])
ERRORS = st.sampled_from([("cannot be built", 2), ("no mirror", 3), ("hostile", 5), ("a bug", 70)])


@st.composite
def told(draw: st.DrawFn) -> list[dict[str, Any]]:
    """The events of a run: any cells, cases, comparison, history and end."""
    names = NAMES[: draw(st.integers(0, 3))]
    rows = [{"id": name, "image": f"{name}.yml", "machine": "m", "arch": "arm64", "budget": {},
             "problem": draw(st.sampled_from(["", "", "", "no QEMU\nwhat to do: install it"]))}
            for name in names]  # fmt: skip
    events: list[dict[str, Any]] = [{"event": "run", "harness": "1", "when": "2026-11-24T06:00:00Z", "run": "u" * 8,
                                     "plan": draw(st.sampled_from([None, "p.yml"])), "source": None,
                                     "cells": rows}]  # fmt: skip
    counts: dict[str, int] = {}
    cases = []
    for name in (*(row["id"] for row in rows if not row["problem"]), ""):
        counts[name] = draw(st.integers(0, 3))
        for number in range(draw(st.integers(0, counts[name]))):
            cases.append({
                "event": "case", "cell": name, "case": f"t.py::test_{number}[{name}]", "instead": "",
                "outcome": draw(st.sampled_from(["passed", "passed", "failed", "skipped", "known", "xfailed"])),
                "message": draw(TEXTS), "whose": draw(WHOSE), "known": "known until 2099-01-01: #1",
            })  # fmt: skip
    if draw(st.integers(0, 9)):
        events += [{"event": "collected", "cases": counts}, *cases]
    ending = draw(st.sampled_from(["end", "end", "end", "interrupted", "error", "nothing", "deadline", "killed"]))
    if ending != "nothing":
        end: dict[str, Any] = {"event": "end", "interrupted": ending == "interrupted",
                               "code": draw(st.sampled_from([0, 0, 1, 2, 3, 5]))}  # fmt: skip
        if ending in ("error", "killed"):
            text, code = draw(ERRORS)
            end["error"] = {"text": text, "exit": code}
        if ending == "deadline":
            end |= {"code": 0, "deadline": "8h"}
        events.append(end)
    if names and draw(st.booleans()):
        judged = st.sampled_from(["same", "better", "worse", "not judged"])
        events.append({"event": "gate", "against": "latest-baseline", "cells": {
            name: {"judged": draw(judged), "reasons": [draw(TEXTS)]} for name in names}})  # fmt: skip
    if draw(st.integers(0, 4)) == 0:
        events.append({"event": "history", "problem": "this run is not in the history: locked"})
    return events


def shown(found: Results, events: list[dict[str, Any]]) -> dict[str, tuple[str, bool]]:
    """Return what each view says of a run: the outcome's word, and whether that is good."""
    word = found.outcome.word
    said: dict[str, tuple[str, bool]] = {}
    data = json.loads(results.dumped(found))
    said["results.json"] = data["outcome"]["word"], data["exit"] == data["outcome"]["exit"] == 0
    again = results.of_json(data, "again")
    assert again == found
    console = Console(file=io.StringIO(), width=200, no_color=True)
    for part in table.summary(found, console):
        console.print(part)
    last = list(run_view.verdict(found))[-1]
    match = re.fullmatch(r"outcome: ([a-z ]+): .* \(exit (\d+)\)", last)
    assert match, last
    said["table"] = match[1], match[2] == "0"
    head = re.match(r"## ([a-z ]+): ", brief.markdown(found, []))
    assert head
    said["summary"] = head[1], "Why it has not passed" not in brief.markdown(found, [])
    root = ElementTree.fromstring(junit.junit(events, found))
    facts = {one.get("name"): one.get("value") for one in root.findall("testsuite[@name='run']/properties/property")}
    bad = [one for tag in ("failure", "error") for one in root.iter(tag)]
    said["junit"] = str(facts["outcome"]), not bad
    assert facts["exit"] == str(found.exit)
    lines = list(brief.workflow_commands(found))
    told_ = next(line for line in lines if " title=outcome::" in line)
    said["annotations"] = (told_.partition("title=outcome::")[2].partition(":")[0],
                           not any(line.startswith("::error") for line in lines))  # fmt: skip
    badge = pages.page(RunContents(found)).status
    said["page"] = badge.word, badge.kind == "good"
    body = sent_to_a_webhook(found)
    said["webhook"] = body["outcome"], body["exit"] == 0
    assert f"## {word}: " in body["text"]
    subject = str(mailed(found)["Subject"])
    said["mail"] = subject.split(": ")[1], f"{found.plan or 'a run'}: passed: " in subject
    said["exit code"] = word, found.exit == 0
    return said


def sent_to_a_webhook(found: Results) -> dict[str, Any]:
    return notify.body(found, [])


def mailed(found: Results) -> EmailMessage:
    email = Email.model_validate({"to": ("a@b.example",), "from": "c@d.example", "server": "mail.example"})
    return notify.message(email, found, [])


@given(told())
@settings(max_examples=500, deadline=None)
def test_all_views_of_a_run_say_the_same(events: list[dict[str, Any]]) -> None:
    found = results.fold(events)
    word, exit_ = found.outcome.word, found.exit
    assert exit_ == found.outcome.exit
    assert (word == "passed") == (exit_ == 0)
    assert (exit_ == 0) == (not found.outcome.reasons)
    expected = (word, exit_ == 0)
    assert shown(found, events) == dict.fromkeys(
        ("results.json", "table", "summary", "junit", "annotations", "page", "webhook", "mail", "exit code"), expected
    )
    for row in found.cells:  # nothing that a cell tells can be lost in a good outcome
        if row.status not in ("passed", "not selected") or (row.gate and row.gate.judged in ("worse", "not judged")):
            assert exit_ != 0, row


def test_the_exit_code_of_each_outcome_is_its_own_of_a_kind() -> None:
    kinds = outcome.KINDS
    assert [word for word, one in kinds.items() if one.exit == 0] == ["passed"]
    assert {one.exit for word, one in kinds.items() if word in ("incomplete", "not judged", "no history")} == {8}


@pytest.mark.parametrize(("code", "word"), [(0, "passed"), (1, "failed"), (3, "not run"), (4, "lab failed")])
def test_results_of_an_older_harness_have_the_outcome_that_their_exit_code_says(code: int, word: str) -> None:
    found = results.of_json({"cells": [], "exit": code}, "old")
    assert (found.outcome.word, found.outcome.exit) == (word, code)


def test_what_is_printed_ends_with_the_outcome(tmp_path: Path) -> None:
    found = results.fold([{"event": "end", "code": 0, "error": {"text": "##vso[task] bad\nmore", "exit": 2}}])
    with redirect_stdout(io.StringIO()) as out, mock.patch.dict("os.environ", {}, clear=False):
        views.conclude(found, [], RunFolder(tmp_path), as_json=False)
    lines = out.getvalue().splitlines()
    assert lines[-1].startswith("outcome: could not begin: ")
    assert "##vso[" not in out.getvalue()


PAIRS = GatePairs(PairedJudgement("worse", 1000.0, 990.0, 1010.0, 4, certain=True), "this image takes +1.000 ms")
JUDGED = {
    "pairs": (GateVerdict("a.yml", "m", compared=2, by="pairs", pairs=PAIRS), 1, PAIRS.sentence),
    "floor": (GateVerdict("a.yml", "m", compared=2, by="floor", unpaired="it has gone"), 0,
              "not judged by pairs of boots: it has gone"),
    "equal": (GateVerdict("a.yml", "m", compared=2, by="equal"), 0, ""),
}  # fmt: skip


@pytest.mark.parametrize("by", JUDGED)
def test_how_exact_times_were_judged_is_said_in_every_view(by: str, tmp_path: Path) -> None:
    verdict, exit_, said = JUDGED[by]
    row = {"id": "a", "image": "a.yml", "machine": "m", "arch": "arm64", "budget": {}}
    case = {"event": "case", "cell": "a", "case": "t.py::test_x[a]", "outcome": "passed", "message": ""}
    run = {"event": "run", "harness": "1", "when": "", "run": "u", "cells": [row]}
    events: list[dict[str, Any]] = [run, {"event": "collected", "cases": {"a": 1}}, case, {"event": "end", "code": 0}]
    cells = gate.cells([verdict], gate.GateBaseline(), results.fold(events))
    events.append({"event": "gate", "against": "B", "cells": {name: one.model_dump() for name, one in cells.items()}})
    found = results.fold(events)
    (cell,) = found.cells
    assert cell.gate and (cell.gate.by, cell.gate.how, found.exit) == (by, said, exit_)
    if by == "pairs":
        assert cell.gate.pairs and (cell.gate.pairs.mean, cell.gate.pairs.pairs) == (1.0, 4)
        assert found.outcome.reasons == ("a: worse: this image takes +1.000 ms",)
    folder = RunFolder(tmp_path)
    gate.write(folder, "B", [verdict])
    folder.write_results(found)
    shown_ = {
        "terminal": "\n".join(gate.lines("B", [verdict])),
        "summary": brief.markdown(found, []).replace("\\", ""),
        "junit": junit.junit(events, found),
        "page": page.render("run.html", page=pages.page(read.folder(folder))),
    }
    for view, text in shown_.items():
        assert (said in text) if said else ("not judged by pairs" not in text), view
