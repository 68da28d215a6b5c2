"""Cases whose finding can be computed from an archive's files: of those nobody's word is taken."""

from __future__ import annotations

from collections.abc import Callable

from harness.certify.contents import CASES, IMAGE, MOST_SEARCHED, EvidenceFiles
from harness.certify.derive import Derived
from harness.certify.speakers import others, shown
from harness.errors import EvidenceError
from harness.launch.exact import compare
from harness.measure.fit import misfits
from harness.measure.phases import figures
from harness.suite import judge
from harness.system.cmdline import cmdline as whole_cmdline
from harness.system.listener import READY
from harness.system.marks import complaints
from harness.system.record import BootRecord

Finding = Callable[[Derived, EvidenceFiles], str]  # why the case cannot have passed; empty: it can


def _names(record: BootRecord) -> list[str]:
    return [mark.name for mark in record.milestones]


def _pair(made: Derived) -> list[BootRecord]:
    records = list(made.exact.values())
    return records if len(records) == 2 else []


def _false(made: Derived) -> str:
    """Return why the marks of the exact boots cannot be true; empty where they can."""
    return "; ".join(fault for record in _pair(made) for fault in complaints(record))


def _size(made: Derived, files: EvidenceFiles) -> str:
    size, most = made.sources.image.size, made.sources.budget.size or 0.0
    return "" if size <= most * 1e6 else f"{size / 1e6:.2f} MB shipped, {most:g} MB allowed"


def _no_probe(made: Derived, files: EvidenceFiles) -> str:
    name = f"{IMAGE}/initrd"
    if name not in files.members or files.members[name].size > MOST_SEARCHED:
        return ""
    found = judge.cpio_names(files.content(name))
    return "the initrd holds a probe" if [one for one in found if "probe" in one.split("/")] else ""


def _ready(made: Derived, files: EvidenceFiles) -> str:
    faults = []
    for record in _pair(made):
        names = _names(record)
        faults += judge.disorder(names, judge.steps(made.sources.image.expect)) + judge.troubles(names)
    return _false(made) or "; ".join(faults) if _pair(made) else "it was not booted twice"


def _exact_budget(made: Derived, files: EvidenceFiles) -> str:
    budget = made.sources.budget
    if budget.ready is None and not budget.phases:
        return "there is no budget"
    if not _pair(made):
        return "it was not booted twice"
    limits = [(figures(record), judge.limits(budget, record)) for record in _pair(made)]
    over = [fault for found, allowed in limits for fault in judge.over_budget(found, allowed)]
    return _false(made) or "; ".join(over)


def _twice(made: Derived, files: EvidenceFiles) -> str:
    pair = _pair(made)
    if not pair:
        return "it was not booted twice"
    false, found, (one, other) = _false(made), compare(pair[0], pair[1]), pair
    if false or not found.repeats:
        return false or found.verdict
    same = one.power_on_us == other.power_on_us and one.witness == other.witness
    return "" if same else "NOT the same twice: what came before the kernel's clock, or a frame, moved"


def _alike(made: Derived, files: EvidenceFiles) -> str:
    """Compare the boots in wall time that were as in use, unprobed, with the first exact one."""
    if not _pair(made):
        return "it was not booted twice"
    exact = _pair(made)[0]
    same = [one for one in made.records.values() if one.mode == "wall" and not one.probed]
    image, machine = made.sources.image, made.sources.machine
    usual = whole_cmdline(image.cmdline, machine, (), mode="wall", probe=False)
    same = [one for one in same if one.cmdline == usual and READY in _names(one)]
    if not same:
        return "no boot in wall time has the image's usual command line and comes to ready"
    return "; ".join(fault for one in same for fault in misfits(exact, one))


def _told(made: Derived, files: EvidenceFiles) -> str:
    if not made.sources.machine.network or not made.sources.image.manifest:
        return ""
    silent = [record for record in _pair(made) if record.ready_clock != "emulator"]
    return "its ready is the guest's word, and not the emulator's" if silent else ""


def _off(made: Derived, files: EvidenceFiles) -> str:
    wanted = judge.down(made.sources.image.expect)
    for record in _pair(made):
        names = _names(record)
        after = names[names.index(READY) + 1 :] if READY in names else []
        if [name for name in after if name in wanted] != wanted or after[-1] != wanted[-1]:
            return "its marks do not show an orderly power-off"
    return "" if _pair(made) else "it was not booted twice"


def _alone(made: Derived, files: EvidenceFiles) -> str:
    found = others(made.sources.image.manifest)
    return f"these could say ready in the init's place: {shown(found)}" if found else ""


def _nothing(made: Derived, files: EvidenceFiles) -> str:
    return ""  # that it is so was checked when the files were read


FINDINGS: dict[str, Finding] = {
    "test_size.py::test_size_within_budget": _size,
    "test_size.py::test_files_are_as_the_manifest_says": _nothing,
    "test_size.py::test_no_probe_in_what_is_shipped": _no_probe,
    "test_boot.py::test_boot_reaches_ready": _ready,
    "test_boot.py::test_exact_time_within_budget": _exact_budget,
    "test_boot.py::test_exact_time_twice_the_same": _twice,
    "test_boot.py::test_exact_boots_are_unprobed": _nothing,
    "test_boot.py::test_power_off_is_clean_and_runs_onshutdown": _off,
    "certify/alike.py::test_the_emulator_tells_when_ready_was": _told,
    "certify/alike.py::test_wall_time_fits_exact_time": _alike,
    "certify/alike.py::test_nobody_else_could_say_ready": _alone,
}
# That ask for what only an image of the harness's own making has.
OF_BUILT = frozenset(FINDINGS) - {
    "test_size.py::test_size_within_budget",
    "test_boot.py::test_exact_time_within_budget",
    "test_boot.py::test_exact_time_twice_the_same",
    "test_boot.py::test_exact_boots_are_unprobed",
    "certify/alike.py::test_the_emulator_tells_when_ready_was",
    "certify/alike.py::test_wall_time_fits_exact_time",
}


def case_of(row: str) -> str:
    """Return the name of a case, as profiles name it, of a row of an archive's events."""
    return row.partition("[")[0].removeprefix(f"{CASES}/")


def check(made: Derived, files: EvidenceFiles) -> int:
    """Return how many outcomes were computed again; EvidenceError: one that is called passed cannot have."""
    count = 0
    for row in made.word.cases:
        name = case_of(row.case)
        finding = FINDINGS.get(name)
        if finding is None or row.outcome != "passed":
            continue
        foreign = made.sources.image.foreign and name in OF_BUILT
        if why := "no such OS has what it asks for" if foreign else finding(made, files):
            raise EvidenceError(f"the evidence says that {name} passed, but by its files: {why}")
        count += 1
    return count
