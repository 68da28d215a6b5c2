"""What the cases found, judged by a profile's requirements. Pure: the same outcomes give the same verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any, Literal

from harness.spec.models.profile import Level, Requirement, Waiver
from harness.spec.profile import LONGEST_WAIVER
from harness.spec.rules.profile import parts_of

RequirementVerdict = Literal["passed", "failed", "not run", "not applicable", "waived"]
CertificateResult = Literal["PASSED", "WARNED", "FAILED"]  # in-toto's words for a whole run of tests
BAD: tuple[RequirementVerdict, ...] = ("failed", "not run")


@dataclass(frozen=True)
class CaseOutcome:
    """What one case came to: ``passed``, ``failed`` or ``skipped``, and what it said.

    ``case`` is its file's name and its function, as ``test_root.py::test_name``.
    """

    case: str
    outcome: str
    message: str = ""
    transcript: str = ""


@dataclass(frozen=True)
class JudgedRequirement:
    """A requirement, what came of it, and why; ``cases`` are the outcomes it was judged by."""

    id: str
    text: str
    level: Level
    verdict: RequirementVerdict
    why: str = ""
    cases: tuple[CaseOutcome, ...] = ()
    waiver: Mapping[str, str] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {**asdict(self), "cases": [asdict(one) for one in self.cases]}


def outcomes(events: Iterable[Mapping[str, Any]]) -> list[CaseOutcome]:
    """Return what each case of a run's events came to in the end; a case that was collected twice is there twice."""
    last: dict[str, CaseOutcome] = {}
    for event in events:
        if event.get("event") == "case":
            case = named(event["case"])
            last[event["case"]] = CaseOutcome(case, event["outcome"], event["message"], event.get("transcript", ""))
    return list(last.values())


def named(nodeid: str) -> str:
    """Return a pytest node id as its file's name and its function: folders and parameters are the run's affair."""
    path, _, function = nodeid.partition("::")
    name = path.rpartition("/")[2]
    return f"{name}::{function.partition('[')[0]}" if function else name


def judge(
    requirements: Iterable[Requirement],
    found: Sequence[CaseOutcome],
    *,
    arch: str,
    conditions: Collection[str],
    waivers: Iterable[Waiver] = (),
    today: str,
) -> list[JudgedRequirement]:
    """Judge each requirement on a machine of `arch` of which `conditions` hold; `today` is YYYY-MM-DD.

    A waiver excuses nothing once it has ended, nor when it runs for longer than any may. A case that did not run, or
    was skipped, shows nothing: what no rule excuses is then "not run".
    """
    excuses = {one.requirement: one for one in waivers}
    return [_waived(_judged(one, found, arch, conditions), excuses.get(one.id), today) for one in requirements]


def _judged(
    one: Requirement, found: Sequence[CaseOutcome], arch: str, conditions: Collection[str]
) -> JudgedRequirement:
    def verdict(what: RequirementVerdict, why: str, cases: Iterable[CaseOutcome] = ()) -> JudgedRequirement:
        return JudgedRequirement(one.id, one.text, one.level, what, why, tuple(cases))

    mine = {case: [out for out in found if is_of(out.case, case)] for case in one.cases}
    flat = [out for outs in mine.values() for out in outs]
    if failed := [out for out in flat if out.outcome == "failed"]:
        return verdict("failed", f"{failed[0].case}: {first_line(failed[0].message)}", flat)
    if reason := excused(one, arch, conditions):
        return verdict("not applicable", reason, flat)
    if missing := [case for case, outs in mine.items() if not outs]:
        return verdict("not run", f"{missing[0]} was not run", flat)
    if skipped := [out for out in flat if out.outcome != "passed"]:
        return verdict("not run", f"{skipped[0].case} was skipped: {first_line(skipped[0].message)}", flat)
    return verdict("passed", "", flat)


def excused(one: Requirement, arch: str, conditions: Collection[str]) -> str:
    """Return why a requirement is not applicable by its own rules; empty when it is."""
    if one.architectures and arch not in one.architectures:
        return f"asked for on {', '.join(one.architectures)} only"
    return next((rule.why for rule in one.not_applicable if rule.when in conditions), "")


def is_of(named_as: str, case: str) -> bool:
    """Say whether a case, named as `named` does, is one that a requirement's `case` names."""
    file, function = parts_of(case)
    name = file.rpartition("/")[2]
    return named_as == f"{name}::{function}" if function else named_as.partition("::")[0] == name


def first_line(text: str) -> str:
    """Return the first line of what a case said."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def _waived(found: JudgedRequirement, waiver: Waiver | None, today: str) -> JudgedRequirement:
    if waiver is None or found.verdict not in BAD:
        return found
    facts = waiver.model_dump()
    why = f"{found.verdict}: {found.why}"
    last = (date.fromisoformat(today) + timedelta(days=LONGEST_WAIVER)).isoformat()
    if waiver.until < today or waiver.until > last:
        wrong = "ended on" if waiver.until < today else f"is longer than {LONGEST_WAIVER} days, until"
        return JudgedRequirement(found.id, found.text, found.level, found.verdict,
                      f"{found.why} (its waiver {wrong} {waiver.until})", found.cases, facts)  # fmt: skip
    return JudgedRequirement(found.id, found.text, found.level, "waived", why, found.cases, facts)


def result(found: Iterable[JudgedRequirement]) -> CertificateResult:
    """Return what all of it comes to: FAILED by a mandatory requirement, WARNED by a recommended or a waived one."""
    rows = list(found)
    if not rows or any(one.verdict in BAD and one.level == "mandatory" for one in rows):
        return "FAILED"
    return "WARNED" if any(one.verdict in (*BAD, "waived") for one in rows) else "PASSED"


def counts(found: Iterable[JudgedRequirement]) -> dict[str, int]:
    """Return how many requirements came to each verdict."""
    return dict(Counter(one.verdict for one in found))


def applicable(requirements: Iterable[Requirement], arch: str, conditions: Collection[str]) -> list[Requirement]:
    """Return the requirements whose cases have to run."""
    return [one for one in requirements if not excused(one, arch, conditions)]
