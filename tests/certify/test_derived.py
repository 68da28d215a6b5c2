"""The certificate that files give: which conditions hold, which figures there are, where two certificates differ."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.certify import contents, derive, outcomes, records
from harness.certify.certificate import QemuFacts
from harness.certify.contents import ArchiveMember, EvidenceFiles
from harness.certify.derive import Derived, conditions, differences
from harness.certify.outcomes import CaseEvent, Word
from harness.errors import EvidenceError
from harness.spec.models.plan import Budget
from harness.spec.models.profile import Requirement, Waiver
from harness.system.milestones import Milestone
from harness.system.record import BootRecord

DIGEST = "a1" * 32
TODAY = "2026-11-24T12:00:00Z"
ONE = Requirement(id="size", text="small", cases=("test_size.py::test_a",))
QEMU = QemuFacts(program="qemu-system-aarch64", version="7", sha256=DIGEST, firmware={})


def record(**more: Any) -> BootRecord:
    return BootRecord(**{
        "image": "i", "arch": "arm64", "machine": "m", "mode": "exact", "probed": False, "accel": "tcg",
        "accel_reason": "", "argv": (), "cmdline": "", "cpu": "c", "machine_type": "virt", "qemu_version": "7",
        "host": {"cores": 2}, "milestones": (Milestone("ready", 300_000, 1.0),), "ready_us": 300_000,
        "power_on_us": 93_456, "host_ready_s": 1.2345678, "console_sha256_ready": "d", "ready_clock": "emulator",
        **more,
    })  # fmt: skip


FIRST, SECOND = contents.EXACT
PAIR = {FIRST: record(), SECOND: record(host={"cores": 9}, power_on_us=1)}
WALL = record(mode="wall", host={"cores": 4}, accel="kvm")


def image(*, medium: bool = False, foreign: bool = False, login: Any = None, off: bool = True,
          mounts: tuple[bool, ...] = ()) -> Any:  # fmt: skip
    """An image, as far as conditions ask."""
    onboot = {str(number): {"mounts": ["/var"]} if one else {} for number, one in enumerate(mounts)}
    return SimpleNamespace(
        name="i", arch=SimpleNamespace(name="arm64"), size=70, foreign=foreign, manifest={}, login=login,
        digests={"kernel": "k"}, parts=SimpleNamespace(has_medium=medium),
        milestones=("ready",) if foreign else (), off_words=("off",) if off else (), expect={"onboot": onboot},
    )  # fmt: skip


def machine(*, counts: bool = True, network: bool = True) -> Any:
    return SimpleNamespace(name="m", arch="arm64", digest=DIGEST, counts=counts, network=network)


@pytest.mark.parametrize(
    ("on", "of", "hold"),
    [
        ({}, {}, "built, exact power-off, exact time, no lasting volumes"),
        ({"counts": False}, {}, "built, no exact power-off, no exact time, no lasting volumes"),
        ({}, {"medium": True}, "built, no exact power-off, no exact time, no lasting volumes"),
        ({"counts": False}, {"medium": True}, "built, no exact power-off, no exact time, no lasting volumes"),
        ({"network": False}, {}, "built, exact power-off, exact time, no lasting volumes, no network"),
        ({}, {"off": False}, "built, exact time, no exact power-off, no lasting volumes"),
        ({}, {"mounts": (False, True)}, "built, exact power-off, exact time"),
        ({}, {"mounts": (True,)}, "built, exact power-off, exact time"),
        ({}, {"mounts": (False,)}, "built, exact power-off, exact time, no lasting volumes"),
        ({}, {"login": "root"}, "built, exact power-off, exact time, no lasting volumes"),
        ({}, {"foreign": True}, "exact power-off, exact time, foreign, no lasting volumes, no login"),
        ({}, {"foreign": True, "login": "root"}, "exact power-off, exact time, foreign, no lasting volumes"),
    ],
)
def test_which_conditions_hold(on: dict[str, Any], of: dict[str, Any], hold: str) -> None:
    assert conditions(machine(**on), image(**of)) == hold.split(", ")


def archive(folder: Path, **contents_: bytes) -> EvidenceFiles:
    for name, content in contents_.items():
        (folder / name).write_bytes(content)
    named = ("image/manifest.json", "cases/test_size.py")
    return EvidenceFiles(folder, {name: ArchiveMember(name, 7, DIGEST) for name in (*named, *contents_)})


def sources(**more: Any) -> Any:
    profile = SimpleNamespace(name="p", version=1, digest=DIGEST, description="d", requirements=(ONE,))
    return SimpleNamespace(**{
        "image": image(), "machine": machine(), "profile": profile, "waivers": (), "budget": Budget(size=35),
        "spec": DIGEST, "yamls": ("i.yml",), **more,
    })  # fmt: skip


def word(outcome: str = "passed", when: str = TODAY) -> Word:
    row = CaseEvent.model_validate({
        "cell": "i-m", "case": "cases/test_size.py::test_a[i-m]", "outcome": outcome, "message": "large",
        "transcript": "", "whose": "",
    })  # fmt: skip
    return Word(when, "1", (row,))


def derived(found: dict[str, BootRecord], said: Word | None = None, qemu: QemuFacts | None = None, **more: Any) -> Any:
    return derive.derive(archive(Path()), sources(**more), found, said or word(), qemu)


def test_a_certificate_is_judged_by_the_day_that_it_is_of() -> None:
    made = derived(PAIR, qemu=QEMU)
    assert (made.result, made.verdicts, made.qemu) == ("PASSED", {"passed": 1}, QEMU)
    waiver = Waiver(requirement="size", reason="a font", owner="me", until="2026-11-24")
    assert derived(PAIR, word("failed"), waivers=(waiver,)).result == "WARNED"
    late = word("failed", "2026-11-25T00:00:00Z")
    assert derived(PAIR, late, waivers=(waiver,)).result == "FAILED"
    assert derived(PAIR).qemu is None
    with pytest.raises(EvidenceError, match="made at 'yesterday', which is not a time"):
        derived(PAIR, word(when="yesterday"))


def test_the_figures_are_those_of_two_exact_boots() -> None:
    made = derived(PAIR | {"wall": WALL}).figures
    assert (made.exact.ready, made.exact.power_on, made.exact.told) == (300.0, 93.456, "emulator")
    assert (made.exact.repeats, made.exact.moved, made.exact.figures["ready"]) == (True, "", 300_000)
    assert made.wall == 1234.568
    other = replace(PAIR[SECOND], milestones=(Milestone("ready", 300_001, 1.0),))
    moved = derived(PAIR | {SECOND: other}).figures.exact
    assert (moved.repeats, moved.moved) == (False, "ready")
    for clock, told in (("guest", "guest"), ("host", None), ("", None)):
        assert derived(PAIR | {FIRST: record(ready_clock=clock)}).figures.exact.told == told
    blank = record(ready_us=None, power_on_us=None)
    silent = derived({FIRST: blank, SECOND: blank}).figures.exact
    assert (silent.ready, silent.power_on) == (None, None)


@pytest.mark.parametrize("found", [{}, {FIRST: record()}, {"wall": record(host_ready_s=None)}])
def test_without_two_exact_boots_there_are_no_figures(found: dict[str, BootRecord]) -> None:
    made = derived(found).figures
    assert made.model_dump() == {
        "exact": {"ready": None, "power_on": None, "figures": {}, "repeats": None, "moved": "", "told": None},
        "wall": None,
    }


def test_the_host_is_that_of_the_boot_in_wall_time() -> None:
    assert derived(PAIR | {"wall": WALL}).host == outcomes.host_of(WALL)
    assert derived(PAIR).host == outcomes.host_of(PAIR[FIRST])
    assert derived({}).host == {}


def test_all_boots_are_of_one_host() -> None:
    host = {"cpu": "a", "machine": "x86_64", "kernel": "6.1", "load": 1.0}
    found = {boot: record(host=host | {"load": float(at)}) for at, boot in enumerate((FIRST, SECOND, "wall"))}
    derive._one_host({})
    derive._one_host(found)
    for fact in derive.SAME_HOST:
        with pytest.raises(EvidenceError, match=f"boots/{SECOND} was on another host than boots/{FIRST}"):
            derive._one_host(found | {SECOND: record(host=host | {fact: "other"})})


def test_the_exact_boots_are_known_by_their_folders() -> None:
    made = Derived(sources(), {"wall": WALL, **PAIR}, word(), derived({}))
    assert made.exact == PAIR
    assert Derived(sources(), {FIRST: PAIR[FIRST]}, word(), derived({})).exact == {FIRST: PAIR[FIRST]}


@pytest.mark.parametrize(
    ("said", "found", "where"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}, ["a.b[1]: it says 2, the files give 3"]),
        (
            {"a": 1, "b": 2},
            {"b": 2, "c": 3},
            ["a: it says 1, the files give null", "c: it says null, the files give 3"],
        ),
        ([1], [1, 2], [": it says [1], the files give [1, 2]"]),
        ([1], {"a": 1}, [': it says [1], the files give {"a": 1}']),
        ({"a": 1}, [1], [': it says {"a": 1}, the files give [1]']),
        ([1, 2], "12", [': it says [1, 2], the files give "12"']),
        ("12", [1, 2], [': it says "12", the files give [1, 2]']),
        (1, 1.0, [": it says 1, the files give 1.0"]),
        (True, 1, [": it says true, the files give 1"]),
        ("x" * 300, "", [f': it says "{"x" * 299}, the files give ""']),
        ("", "x" * 300, [f': it says "", the files give "{"x" * 299}']),
    ],
)
def test_where_two_certificates_differ(said: Any, found: Any, where: list[str]) -> None:
    assert list(differences(said, found)) == where


@pytest.mark.parametrize(
    ("said", "found", "told"),
    [
        (b"a\nb", b"a\nc", "line 2: …b…, not …c…"),
        (b"a\nb\n", b"a\n", "one is longer than the other"),
        (b"same", b"same more", "line 1: …same…, not …same more…"),
        (b"x" * 50 + b"y" + b"x" * 99, b"x" * 50 + b"z" + b"x" * 99,
         f"line 1: …{'x' * 40}y{'x' * 79}…, not …{'x' * 40}z{'x' * 79}…"),
        (b"s" * 90, b"s" * 91, f"line 1: …{'s' * 80}…, not …{'s' * 80}…"),
        (b"xxy\xff", b"xxz", "line 1: …xxy\ufffd…, not …xxz…"),
    ],
)  # fmt: skip
def test_the_first_line_that_differs_is_told(said: bytes, found: bytes, told: str) -> None:
    assert derive._first(said, found) == told


def test_events_and_results_are_what_follows_of_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "boots_of", lambda files: list(PAIR))
    monkeypatch.setattr(records, "check", lambda files, boot, image, machine: PAIR[boot])
    rows = outcomes.events(word(), sources(), PAIR)
    honest = {contents.EVENTS: outcomes.as_lines(rows), contents.RESULTS: outcomes.folded(rows)}
    made = derive.checked(archive(tmp_path, **honest), sources(), QEMU)
    assert (made.records, made.word, made.certificate) == (PAIR, word(), derived(PAIR, qemu=QEMU))
    for name, content in honest.items():
        changed = archive(tmp_path, **honest | {name: content.replace(b'"run": ""', b'"run": "x"')})
        with pytest.raises(EvidenceError, match=f"{name} is not what the files beside it give"):
            derive.checked(changed, sources(), QEMU)
