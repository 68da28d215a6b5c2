"""What cases came to, as a vendor tells it: what an archive keeps of it, what it refuses, and what follows of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.certify import contents, outcomes
from harness.certify.contents import ArchiveMember, EvidenceFiles
from harness.certify.judge import CaseOutcome
from harness.certify.outcomes import CaseEvent, Word
from harness.certify.speakers import others, speakers
from harness.errors import EvidenceError
from harness.image import Image
from harness.spec.models.plan import Budget
from harness.spec.models.profile import Requirement
from harness.system.milestones import Milestone
from harness.system.record import BootRecord

CELL = "my_os-m"
SIZE, ROOT, OWN = f"cases/test_size.py::test_a[{CELL}]", f"cases/test_root.py::test_b[{CELL}]", "cases/own/test_own.py"
REQUIREMENTS = (
    Requirement(id="size", text="small", cases=("test_size.py::test_a",)),
    Requirement(id="root", text="sound", cases=("deep/test_root.py", "./test_own.py::test_c")),
)
BOOT = "boots/wall-1/transcript.txt"


def sources(**more: Any) -> Any:
    """What a person wrote, as far as it is asked here."""
    return SimpleNamespace(**{
        "image": SimpleNamespace(name="my os", size=70, foreign=True, manifest={}, digests={"kernel": "k"}),
        "machine": SimpleNamespace(name="m", arch="arm64"),
        "profile": SimpleNamespace(requirements=REQUIREMENTS), "budget": Budget(size=35, ready=2000),
        "yamls": ("my.yml", "more.yml"), "spec": "5" * 64, **more,
    })  # fmt: skip


SOURCES = sources()


def case(name: str = SIZE, outcome: str = "passed", **more: str) -> dict[str, Any]:
    return {"event": "case", "cell": CELL, "case": name, "outcome": outcome, "instead": "", "message": "",
            "transcript": "", "whose": "", **more}  # fmt: skip


def word(*rows: dict[str, Any]) -> Word:
    return Word("when", "1", tuple(CaseEvent.model_validate(row) for row in rows))


RUN = {"event": "run", "when": "2026-11-24T12:00:00Z", "harness": "1.0", "cells": []}


def files(*lines: Any, folder: Path, members: tuple[str, ...] = (), raw: bytes = b"") -> EvidenceFiles:
    """An archive whose events are these."""
    text = raw or b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    (folder / contents.EVENTS).write_bytes(text)
    return EvidenceFiles(folder, {name: ArchiveMember(name, 1, "") for name in (contents.EVENTS, *members)})


def test_a_run_is_told_in_an_archives_words(tmp_path: Path) -> None:
    events: list[dict[str, Any]] = [
        {"event": "end"}, RUN | {"harness": "2.0"}, {"event": "built", "cell": "x-m"},
        case("/tmp/p/cases/test_size.py::test_a[x-m]", "passed"),
        case("/tmp/p/cases/test_size.py::test_a[x-m]", "xpassed", message="why", whose="the image",
             transcript=str(tmp_path / "wall-1/transcript.txt")),
        case("/tmp/p/cases/test_root.py::test_b[x-m-2]", "skipped", transcript="/elsewhere/transcript.txt"),
        case("/tmp/p/test_own.py", "failed"),
    ]  # fmt: skip
    found = outcomes.told(events, SOURCES, "x-m", tmp_path)
    assert (found.when, found.harness) == (RUN["when"], "2.0")
    assert (
        found.cases
        == word(
            case(SIZE, "failed", message="why", whose="the image", transcript=BOOT),
            case(f"cases/deep/test_root.py::test_b[{CELL}-2]", "skipped"),
            case(OWN, "failed"),
        ).cases
    )
    assert found.found == [
        CaseOutcome("test_size.py::test_a", "failed", "why", BOOT),
        CaseOutcome("test_root.py::test_b", "skipped"), CaseOutcome("test_own.py", "failed"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["test_other.py::test_a", "nothing", "test_size.py::test_a::b"])
def test_a_run_of_other_cases_is_not_told(name: str) -> None:
    with pytest.raises(EvidenceError, match=f"the profile does not name: {name}"):
        outcomes.told([RUN, case(name)], SOURCES, "x-m", Path("/"))


def test_an_archives_word_is_read(tmp_path: Path) -> None:
    found = outcomes.read(files(RUN, ["x"], case(), {"event": "end"}, case(ROOT), folder=tmp_path))
    assert found == Word(str(RUN["when"]), "1.0", word(case(), case(ROOT)).cases)


@pytest.mark.parametrize(
    "lines",
    [
        [case()], [RUN, RUN], [{"event": "run"}], [RUN, case(more="x")], [RUN, case(outcome="known")],
        [{"event": "run", "when": 1}], [RUN, {"event": "case"}],
    ],
)  # fmt: skip
def test_what_is_no_word_is_refused(lines: list[Any], tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="is not as this harness writes it"):
        outcomes.read(files(*lines, folder=tmp_path))


def test_no_archive_has_more_than_so_many_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "MAX_TOKENS", 500)
    head = json.dumps(RUN).encode() + b"\n"
    used = sum(map(head.count, (b",", b"[", b"{")))

    def values(tokens: int) -> bytes:
        return head + b"[" + b",".join([b"0"] * (tokens - used)) + b"]\n"

    assert outcomes.read(files(folder=tmp_path, raw=values(500))).cases == ()
    with pytest.raises(EvidenceError, match="more in it than any"):
        outcomes.read(files(folder=tmp_path, raw=values(501)))
    lines = [head, *[b"[]\n"] * 9]
    assert outcomes.read(files(folder=tmp_path, raw=b"".join(lines))).cases == ()
    with pytest.raises(EvidenceError, match="more in it than any"):
        outcomes.read(files(folder=tmp_path, raw=b"".join([*lines, b"[]\n"])))


FINE = [case(), case(ROOT.replace("cases/", "cases/deep/")), case(OWN, "failed"),
        case("cases/test_size.py", "skipped")]  # fmt: skip


def test_what_the_profile_asks_for_may_be_told(tmp_path: Path) -> None:
    fine = [*FINE, case(f"cases/deep/test_root.py::test_d[{CELL}]", transcript=BOOT, whose="the machine")]
    outcomes.check(word(*fine), files(folder=tmp_path, members=(BOOT,)), SOURCES)


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        (case("nothing"), "what no run of this profile does"),
        (case(f"cases/test_other.py::test_a[{CELL}]"), "what no run of this profile does"),
        (case(cell="other-m"), "what no run of this profile does"),
        (case(whose="nobody"), "what no run of this profile does"),
        (case(transcript=BOOT), "what no run of this profile does"),
        (case("cases/test_size.py::test_a"), "not of the cell"),
        (case("cases/test_size.py::test_a[other-m]"), "not of the cell"),
        (case(f"cases/test_size.py::test_b[{CELL}]"), "does not ask for"),
        (case(OWN, "failed"), "tells twice"),
        (case("cases/test_size.py"), "and it is not a case"),
    ],
)
def test_what_no_run_of_the_profile_does_is_refused(row: dict[str, Any], wrong: str, tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match=wrong):
        outcomes.check(word(case(OWN, "failed"), row), files(folder=tmp_path), SOURCES)


def record(mode: str = "exact", **more: Any) -> BootRecord:
    return BootRecord(**{
        "image": "i", "arch": "arm64", "machine": "m", "mode": mode, "probed": False, "accel": "tcg",
        "accel_reason": "asked", "argv": (), "cmdline": "", "cpu": "c", "machine_type": "virt", "qemu_version": "7",
        "host": {"cores": 2}, "milestones": (Milestone("ready", 300_000, 1.0),), "ready_us": 300_000,
        "power_on_us": 93_456, "host_ready_s": 1.2345678, "console_sha256_ready": "d", **more,
    })  # fmt: skip


HOST = {"cores": 2, "qemu": "7", "accelerator": "tcg", "accelerator_reason": "asked"}
PAIR = {"exact/1": record(), "exact/2": record(ready_us=1, power_on_us=2)}


def booted(records: dict[str, BootRecord]) -> list[dict[str, Any]]:
    return [row for row in outcomes.events(word(), SOURCES, records) if row["event"] == "booted"]


def test_what_follows_of_boots() -> None:
    exact, wall = booted(PAIR | {"wall": record("wall", ready_us=5)})
    assert exact["cell"] == wall["cell"] == CELL
    assert (exact["what"], exact["ready"], exact["power_on"], exact["host"]) == ("exact", 300.0, 93.456, HOST)
    assert (exact["repeats"], exact["moved"], exact["figures"]["ready"]) == (True, "", 300_000)
    assert (wall["what"], wall["ready"], wall["power_on"], wall["host"]) == ("wall", 1234.568, None, HOST)
    assert booted({"exact/1": record()}) == booted({"wall-1": record("wall")}) == []
    assert booted(PAIR | {"wall": record("wall", host_ready_s=None)})[1]["ready"] is None
    assert len(booted({"wall": record("wall")})) == 1
    other = replace(PAIR["exact/2"], milestones=(Milestone("ready", 300_001, 1.0),))
    assert (booted(PAIR | {"exact/2": other})[0]["repeats"], booted(PAIR | {"exact/2": other})[0]["moved"]) == (
        False, "ready",
    )  # fmt: skip


def test_events_and_results_follow_of_the_word() -> None:
    rows = outcomes.events(word(case(), case(OWN)), SOURCES, PAIR)
    assert [row["event"] for row in rows] == ["run", "built", "collected", "booted", "case", "case", "end"]
    head, built, collected, *_, last = rows
    assert (head["harness"], head["when"], head["run"]) == ("1", "when", "")
    assert head["cells"] == [{
        "id": CELL, "image": "spec/1-my.yml", "machine": "m", "arch": "arm64", "problem": "",
        "budget": {"size": 35, "ready": 2000, "phases": {}},
    }]  # fmt: skip
    assert built == {"event": "built", "cell": CELL, "size": 70, "sizes": {}, "spec": "5" * 64, "files": {},
                     "problem": ""}  # fmt: skip
    assert collected["cases"] == {CELL: 2}
    assert last == {"event": "end", "interrupted": False, "code": 0}
    assert outcomes.as_lines([{"a": 1}, {"b": []}]) == b'{"a": 1}\n{"b": []}\n'
    found = json.loads(outcomes.folded(rows))
    assert (found["cells"][0]["status"], found["outcome"]["word"]) == ("passed", "passed")


@pytest.mark.parametrize(("said", "code"), [(("failed", "passed"), 1), (("skipped", "passed"), 0), ((), 0)])
def test_a_run_with_a_failed_case_ends_with_1(said: tuple[str, ...], code: int) -> None:
    rows = word(*(case(outcome=one) for one in said))
    assert outcomes.events(rows, SOURCES, {})[-1]["code"] == code


def test_what_the_harness_has_built_is_told_by_its_manifest(tmp_path: Path) -> None:
    manifest = {
        "schema": 1, "root": {"size": 5}, "components": [{"section": "onboot", "name": "a", "own": 9}],
        "files": [{"name": "kernel", "size": 10, "sha256": "k", "shipped": True},
                  {"name": "initrd", "size": 7, "sha256": "i", "shipped": True},
                  {"name": "probe", "size": 3, "sha256": "p", "shipped": False}],
    }  # fmt: skip
    (tmp_path / "manifest.json").write_text(json.dumps(manifest | {"name": "my os", "arch": "arm64"}))
    built = outcomes.events(word(), sources(image=Image(tmp_path)), {})[1]
    assert (built["size"], built["files"]) == (17, {"kernel": "k", "initrd": "i"})
    assert built["sizes"] == {"kernel": 10, "first stage": 2, "onboot/a": 5}


def test_a_cells_name_is_one_that_a_file_may_have() -> None:
    assert outcomes.cell_id(sources(image=SimpleNamespace(name="a/b c.d"))) == "a_b_c.d-m"


def manifest(init: str = "harness", acts: tuple[str, ...] = (), **expect: dict[str, Any]) -> dict[str, Any]:
    """What a manifest says of who acts; of a container a list is by what it reaches its init."""
    kept = {
        section: {name: row if isinstance(row, dict) else {"reach": row, "ours": False} for name, row in rows.items()}
        for section, rows in expect.items()
    }
    return {"init": init, "acts": list(acts), "expect": kept}


NOBODY = "who said ready: by its manifest nobody else could say so in the init's place"
COULD = "who said ready: these could have in the init's place: "
OURS = {"reach": ["SYS_ADMIN"], "ours": True}


@pytest.mark.parametrize(
    ("made", "who", "said"),
    [
        ({}, [], ""),
        (manifest(init="image"), ["an init that is not the harness's own"],
         f"{COULD}an init that is not the harness's own"),
        (manifest(), [], NOBODY),
        (manifest(services={"web": []}), [], NOBODY),
        (manifest(onshutdown={"late": ["SYS_ADMIN"]}), [], NOBODY),
        (manifest(onboot={"dhcp": ["/proc/sys"]}), ["onboot/dhcp (/proc/sys)"], f"{COULD}onboot/dhcp (/proc/sys)"),
        (manifest(onboot={"sysctl": OURS}), [], f"{NOBODY}; of the library as it is: onboot/sysctl (SYS_ADMIN)"),
        (manifest(onboot={"sysctl": OURS, "mine": ["pid"]}), ["onboot/mine (pid)"],
         f"{COULD}onboot/mine (pid); of the library as it is: onboot/sysctl (SYS_ADMIN)"),
        (manifest(acts=("/etc/inittab", "kernel x/y:1")), ["/etc/inittab", "kernel x/y:1"],
         f"{COULD}/etc/inittab, kernel x/y:1"),
        (manifest(services={name: ["SYS_ADMIN"] for name in "abcd"}),
         [f"services/{name} (SYS_ADMIN)" for name in "abcd"],
         f"{COULD}services/a (SYS_ADMIN), services/b (SYS_ADMIN), services/c (SYS_ADMIN) and 1 more"),
        (manifest(services={"a": list("wxyz")}), ["services/a (w, x, y, …)"], f"{COULD}services/a (w, x, y, …)"),
    ],
)  # fmt: skip
def test_who_could_have_said_ready_is_named(made: dict[str, Any], who: list[str], said: str) -> None:
    assert (others(made), speakers(made)) == (who, said)
