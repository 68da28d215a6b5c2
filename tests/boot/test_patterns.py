"""A foreign OS's milestones in its console's bytes, its disk, and what systemd says: without a machine."""

from __future__ import annotations

import hashlib
import struct
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.emulator.disk import DiskSnapshot, disk_of
from harness.errors import UserError
from harness.launch.exact import compare
from harness.measure import systemd
from harness.measure.phases import figures
from harness.system import milestones
from harness.system.listener import Listener
from harness.system.milestones import Milestone, Patterns
from harness.system.record import BootRecord
from harness.system.transcript import Transcript

ROWS = [("first", r"one\b"), ("second", "two"), ("ready", "login: $")]
WORDS = [ROWS[0], ("ready", "^some words$")]
STAMPED = [*ROWS[:2], ("ready", "up and ready")]
SAID = (
    b"[    0.100000] two comes too early\r\n[    0.250000] \x1b[1mone\x1b[0m of many\r\nsome words\r\n"
    b"[    1.500000][    T1] now two\r\n[    2.000001] up and ready\r\n[    3.000000] more\r\ndebian login: "
)


def heard(folder: Path, rows: list[tuple[str, str]], pieces: list[bytes]) -> Listener:
    listener = Listener(Transcript(folder / "transcript", {}), Patterns(rows))
    for number, piece in enumerate(pieces):
        listener.feed(piece, float(number))
    return listener


def found(listener: Listener) -> list[tuple[str, int | None]]:
    return [(one.name, one.guest_us) for one in listener.milestones]


# by rows: the times of their milestones, and the bytes at which ready's digest ends
FOUND = {
    "prompt": (ROWS, [250_000, 1_500_000, None], b"debian"),
    "stamped": (STAMPED, [250_000, 1_500_000, 2_000_001], b"[    3."),
    "unstamped": (WORDS, [250_000, None], b"some words"),
}


@given(st.lists(st.integers(0, len(SAID)), max_size=6), st.sampled_from(sorted(FOUND)))
def test_pieces_do_not_matter(tmp_path_factory: pytest.TempPathFactory, cuts: list[int], kind: str) -> None:
    rows, times, until = FOUND[kind]
    pieces = [SAID[start:end] for start, end in pairwise([0, *sorted(cuts), len(SAID)])]
    listener = heard(tmp_path_factory.mktemp("t"), rows, pieces)
    assert found(listener) == [(name, time) for (name, _), time in zip(rows, times, strict=True)]
    assert listener.sha256_ready == hashlib.sha256(SAID[: SAID.index(until)]).hexdigest()


def test_a_line_may_have_several_and_its_end_is_not_looked_at(tmp_path: Path) -> None:
    rows = [("a", "x"), ("b", "y"), ("ready", "z")]
    assert found(heard(tmp_path, rows, [b"xyz\n"])) == [("a", None), ("b", None), ("ready", None)]
    long = b"x" + b"." * milestones.LONGEST_SEARCHED + b"yz\n"
    assert found(heard(tmp_path, rows, [long, b"y\n"])) == [("a", None), ("b", None)]


def test_what_is_awaited_is_told(tmp_path: Path) -> None:
    listener = heard(tmp_path, ROWS, [b"one of many\n"])
    assert "'two'" in listener.finder.awaited and "'second'" in listener.finder.awaited
    listener.feed(b"two\nx login: ", 1.0)
    assert listener.finder.awaited == ""


def test_no_pattern_takes_more_than_its_line(tmp_path: Path) -> None:
    # with Python's own engine a single such line would take longer than the universe has been there
    listener = heard(tmp_path, [("ready", "(a*)*(a|aa)+(a|a?)+b$")], [b"a" * 1000 + b"\n"] * 200)
    assert listener.milestones == []


def record(marks: tuple[Milestone, ...]) -> BootRecord:
    ready = next((mark.guest_us for mark in marks if mark.name == "ready"), None)
    return BootRecord(image="x", arch="arm64", machine="m", mode="exact", probed=False, accel="tcg", accel_reason="",
                      argv=(), cmdline="", cpu="", machine_type="", qemu_version="", milestones=marks, ready_us=ready,
                      foreign=True)  # fmt: skip


def test_an_exact_time_is_claimed_only_for_a_stamped_line() -> None:
    stamped = record((Milestone("up", 1000, 0.1), Milestone("ready", 5000, 0.2)))
    assert compare(stamped, stamped).verdict == "twice the same to the microsecond"
    assert figures(stamped) == {"ready": 5000, "to up": 1000, "to ready": 4000}
    by_host = record((Milestone("up", 1000, 0.1), Milestone("ready", None, 0.2)))
    assert not compare(by_host, by_host).repeats
    assert compare(by_host, by_host).verdict.startswith("no exact time: ")
    later = record((Milestone("up", 1001, 0.1), Milestone("ready", 5000, 0.2)))
    assert compare(stamped, later).verdict == "NOT the same twice: up moved"


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\0" * 512, "raw"),
        (b"", "raw"),
        (struct.pack(">4sIQ56xQ", b"QFI\xfb", 3, 0, 0), "qcow2"),
        (struct.pack(">4sIQ56xQ", b"QFI\xfb", 3, 112, 0), ""),  # a backing file
        (struct.pack(">4sIQ56xQ", b"QFI\xfb", 3, 0, 4), ""),  # an external data file
        (b"QFI\xfb", ""),
    ],
)
def test_a_disk_leads_to_no_other_file(head: bytes, kind: str, tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(head)
    if kind:
        assert disk_of(tmp_path / "disk") == DiskSnapshot(tmp_path / "disk", kind)  # type: ignore[arg-type]
    else:
        with pytest.raises(UserError, match="the disk"):
            disk_of(tmp_path / "disk")


MANAGER = """\
FirmwareTimestampMonotonic=5000000
LoaderTimestampMonotonic=1000000
KernelTimestampMonotonic=0
InitRDTimestampMonotonic=2000000
UserspaceTimestampMonotonic=3000000
FinishTimestampMonotonic=9000000
"""
UNITS = """
Id=slow.service
InactiveExitTimestampMonotonic=3500000
ActiveEnterTimestampMonotonic=8500000
InactiveEnterTimestampMonotonic=0

Id=gone.service
InactiveExitTimestampMonotonic=2100000
ActiveEnterTimestampMonotonic=0
InactiveEnterTimestampMonotonic=2600000

Id=never.service
InactiveExitTimestampMonotonic=0
ActiveEnterTimestampMonotonic=0
InactiveEnterTimestampMonotonic=0

Id=\x1b[2Jevil.service
InactiveExitTimestampMonotonic=3500000
ActiveEnterTimestampMonotonic=8500000

Id=later.timer
InactiveExitTimestampMonotonic=8900000
ActiveEnterTimestampMonotonic=19000000
"""


def test_systemd_s_phases_and_units() -> None:
    rows = [(one.name, one.start_us, one.us, one.under) for one in systemd.phases(MANAGER + UNITS)]
    assert rows == [
        ("firmware", -5_000_000, 4_000_000, ""),
        ("loader", -1_000_000, 1_000_000, ""),
        ("kernel", 0, 2_000_000, ""),
        ("initrd", 2_000_000, 1_000_000, ""),
        ("userspace", 3_000_000, 6_000_000, ""),
        ("gone.service", 2_100_000, 500_000, "initrd"),
        ("slow.service", 3_500_000, 5_000_000, "userspace"),
    ]


@pytest.mark.parametrize("said", ["", "sh: systemctl: not found\n", "\n\n\n", "UserspaceTimestampMonotonic=x\n"])
def test_what_is_not_systemd_s_gives_nothing(said: str) -> None:
    assert systemd.phases(said) == []


@pytest.mark.parametrize(("digits", "read"), [(18, True), (19, False), (20, False)])
def test_a_time_that_no_clock_of_64_bits_can_count_is_none(digits: int, read: bool) -> None:
    us = int("9" * digits)
    found = systemd.phases(f"UserspaceTimestampMonotonic={us}\n")
    assert [(one.name, one.us) for one in found] == ([("kernel", us)] if read else [])


def unit(name: str, began: int, ended: int, more: str = "") -> str:
    return f"\nId={name}\nInactiveExitTimestampMonotonic={began}\nActiveEnterTimestampMonotonic={ended}\n{more}"


@pytest.mark.parametrize(
    ("began", "ended", "under"),
    [
        (2_000_000, 2_500_000, "initrd"), (2_999_999, 3_500_000, "initrd"), (3_000_000, 3_500_000, "userspace"),
        (4_000_000, 9_000_000, "userspace"), (4_000_000, 9_000_001, None), (4_000_000, 4_000_001, "userspace"),
        (4_000_000, 4_000_000, None), (4_000_000, 3_999_999, None), (0, 5_000_000, None), (1, 5_000_000, "kernel"),
        (9_000_000, 9_000_000, None),
    ],
)  # fmt: skip
def test_a_unit_is_a_part_of_the_phase_in_which_it_began(began: int, ended: int, under: str | None) -> None:
    found = [one for one in systemd.phases(MANAGER + unit("a.service", began, ended)) if one.name == "a.service"]
    assert [(one.under, one.us) for one in found] == ([] if under is None else [(under, ended - began)])


def test_no_more_units_are_read_than_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd, "MOST_UNITS", 2)
    said = MANAGER + "".join(unit(f"{at}.service", 4_000_000, 5_000_000, "After=a=b=c\n") for at in range(3))
    assert [one.name for one in systemd.phases(said)[5:]] == ["0.service", "1.service"]


def test_the_manager_is_no_unit_of_itself() -> None:
    manager = MANAGER.rstrip("\n") + unit("evil.service", 4_000_000, 5_000_000)
    assert "evil.service" not in [one.name for one in systemd.phases(manager)]
