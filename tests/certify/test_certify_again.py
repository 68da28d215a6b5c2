"""What a stranger's archive may have QEMU do here, and how its page looks whatever is in it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness import proc
from harness.arch import by_name
from harness.certify import again, identity, judge, sandbox
from harness.certify.show import badge, lines
from harness.certify.verify import CheckResult
from harness.commands.certificates.certify import rendered
from harness.errors import EvidenceError, MachineError
from harness.image import Image
from harness.report.words import visible
from harness.run.cells import qemu_problem
from harness.spec import load_machine, machines
from harness.spec.models.machine import MOST_MEMORY
from harness.spec.profile import load_profile
from harness.system.milestones import Milestone
from harness.system.record import BootRecord

HOSTILE = '<script>alert(1)</script>"&\x1b[31m\u202e'


@pytest.mark.parametrize("name", list(machines()))
def test_the_machines_that_ship_are_plain(name: str) -> None:
    machine = load_machine(name)
    if machine.qemu is not None and not machine.qemu.args:
        assert again.is_plain(machine.qemu)


@pytest.mark.parametrize(
    ("machine", "cpu", "args"),
    [
        ("virt,dumpdtb=/root/x", "max", ()),
        ("q35,kernel=/etc/passwd", "max", ()),
        ("q35,hpet=off,memory-backend=x", "max", ()),
        ("q35", "max,path=/etc/passwd", ()),
        ("q35", "max -drive file=/etc/passwd", ()),
        ("q35", "max", ("-drive", "file=/etc/passwd")),
        ("/tmp/x", "max", ()),
    ],
)
def test_a_machine_that_asks_for_more_is_not(machine: str, cpu: str, args: tuple[str, ...]) -> None:
    made = load_machine("qemu-x86_64").qemu
    assert made is not None
    assert not again.is_plain(made.model_copy(update={"machine": machine, "cpu": cpu, "args": args}))


@pytest.mark.slow
def test_a_strangers_guest_reaches_neither_network_nor_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret, given = tmp_path / "secret", tmp_path / "given"
    for folder in (secret, given):
        folder.mkdir()
        (folder / "file").write_text(folder.name)
    monkeypatch.setattr(sandbox, "_filter", lambda program, lacks: "")
    box = sandbox.prepare(proc.resolve("cat"), tmp_path / "out", (given / "file",), 1 << 20)
    if box.lacks:
        pytest.skip(f"this host cannot keep a guest from {', '.join(box.lacks)}")
    said = subprocess.run([box.program, "/proc/net/dev"], capture_output=True, text=True, check=True).stdout
    assert re.findall(r"^ *(\w+):", said, re.M) == ["lo"]
    assert subprocess.run([box.program, given / "file"], capture_output=True, check=True).stdout == b"given"
    for hidden in (secret / "file", "/etc/passwd"):
        assert subprocess.run([box.program, hidden], capture_output=True, check=False).returncode != 0


def test_what_a_stranger_writes_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_filter", lambda program, lacks: "")
    box = sandbox.prepare(proc.resolve("dd"), tmp_path / "out", (), 1 << 20)
    done = subprocess.run(
        [box.program, "if=/dev/zero", f"of={tmp_path}/out/endless", "bs=1M", "count=100"],
        capture_output=True,
        check=False,
    )
    assert done.returncode != 0
    assert (tmp_path / "out/endless").stat().st_size <= sandbox.MOST_WRITTEN


def test_where_no_namespace_can_be_had_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NAMESPACES", "NETWORK"):
        monkeypatch.setattr(sandbox, name, ("false",))
    monkeypatch.setattr(sandbox, "_filter", lambda program, lacks: "")
    box = sandbox.prepare(proc.resolve("cat"), tmp_path / "out", (), 1 << 20)
    assert any("network" in one for one in box.lacks) and any("files" in one for one in box.lacks)


@pytest.mark.parametrize("name", ["qemu-x86_64", "qemu-x86_64-microvm", "qemu-arm64", "qemu-s390x"])
@pytest.mark.boots
def test_qemu_and_its_firmware_are_known(name: str, tmp_path: Path) -> None:
    machine = load_machine(name)
    if why := qemu_problem(by_name(machine.arch)):
        pytest.skip(why)
    (tmp_path / "kernel").write_bytes(b"")
    manifest = {"schema": 1, "name": "x", "arch": machine.arch, "cmdline": "", "files": []}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    found = identity.of(by_name(machine.arch), machine, Image(tmp_path))
    assert bool(found["firmware"]) == (machine.arch != "arm64")
    assert identity.differences(found, found) == []
    (said,) = identity.differences({**found, "sha256": "0" * 64}, found)
    assert said.startswith("QEMU ")
    assert len(identity.differences({**found, "firmware": {}}, found)) == len(found["firmware"])


def test_pages_show_what_is_hostile_and_run_none_of_it() -> None:
    profile = load_profile("base")
    found = [judge.CaseOutcome("test_size.py::test_size_within_budget", "failed", HOSTILE)]
    judged = judge.judge(profile.requirements, found, arch="arm64", conditions=["exact time"], today="2026-11-24")
    row = {"size": 1, "sha256": HOSTILE}
    made = {
        "when": "2026-11-24T10:00:00Z",
        "result": "FAILED",
        "harness": HOSTILE,
        "profile": {"name": HOSTILE, "version": 1, "digest": HOSTILE, "description": HOSTILE},
        "requirements": [one.to_json() for one in judged],
        "budget": profile.limits("x", "arm64").model_dump(),
        "image": {"name": HOSTILE, "arch": "arm64", "size": 1, "digest": HOSTILE, "files": {HOSTILE: row}},
        "machine": {"name": HOSTILE, "arch": "arm64", "digest": HOSTILE},
        "cases": {"files": {HOSTILE: row}},
        "qemu": {"version": HOSTILE, "sha256": HOSTILE},
        "figures": {"exact": {"ready": None, "told": None}, "wall": None},
        "vendors_word": [HOSTILE],
    }
    for page in (rendered(made, HOSTILE).decode(), badge(made)):
        assert "<script" not in page
        assert "&lt;script" in page
        assert "\x1b" not in page and "\u202e" not in page
    assert not any("\x1b" in visible(line) for line in lines(made))


def booted(cpu: str, ready_us: int) -> BootRecord:
    return BootRecord(image="i", arch="x86_64", machine="m", mode="exact", probed=False, accel="tcg", accel_reason="",
                      argv=(), cmdline="", cpu="qemu64", machine_type="q35", qemu_version="7.2", host={"cpu": cpu},
                      milestones=(Milestone("ready", ready_us, 1.0, {}),), ready_us=ready_us)  # fmt: skip


def test_a_difference_names_the_processors_where_they_differ() -> None:
    again._same("boots/1", booted("one", 5), booted("two", 5))
    with pytest.raises(EvidenceError, match="not as boots/1 says: ready differs") as caught:
        again._same("boots/1", booted("one", 5), booted("two", 6))
    assert "the host's processor: one then, two now" in caught.value.details
    assert "verify on a host with the processor of then" in caught.value.hint
    with pytest.raises(EvidenceError) as caught:
        again._same("boots/1", booted("one", 5), booted("one", 6))
    assert not caught.value.hint


def test_a_machine_that_this_host_cannot_give_its_memory_is_not_booted() -> None:
    huge = load_machine("qemu-arm64").driven(memory=MOST_MEMORY)
    why = again._why_not(SimpleNamespace(), huge, by_name("arm64"))  # type: ignore[arg-type]
    assert why.startswith(f"its machine has {MOST_MEMORY} MiB of memory, and this host has ")


def test_a_qemu_that_does_not_run_the_machine_says_nothing_of_the_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ends(*_: object) -> Iterator[CheckResult]:
        yield CheckResult("re-executed", "the exact boot")
        raise MachineError("QEMU ended with exit code 1", details="QEMU said: no\nmore")

    monkeypatch.setattr(again, "_execute", ends)
    first, last = again.execute(SimpleNamespace(), tmp_path)  # type: ignore[arg-type]
    assert (first.lacks, last.how, last.lacks) == ("", "not re-executed", again.BOOT)
    assert last.text.endswith("QEMU does not run its machine here: QEMU ended with exit code 1; QEMU said: no")
