"""What two exact boots show: every mark to the microsecond, and every byte of the console up to ready. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.launch.exact import compare, moved
from harness.system.milestones import Milestone
from harness.system.record import BootRecord

MARKS = (Milestone("init", 10, 0.1, {"counter": "1"}), Milestone("ready", 30, 0.2, {"counter": "2"}, emulator_us=40))
OTHER = "NOT the same twice: some other line moved"


def record(*marks: Milestone, **more: Any) -> BootRecord:
    return BootRecord(**{
        "image": "i", "arch": "arm64", "machine": "m", "mode": "exact", "probed": False, "accel": "tcg",
        "accel_reason": "", "argv": (), "cmdline": "", "cpu": "c", "machine_type": "virt", "qemu_version": "7",
        "milestones": marks or MARKS, "ready_us": 30, "console_sha256_ready": "d", "console_sha256": "e", **more,
    })  # fmt: skip


HONEST = record()


@pytest.mark.parametrize(
    ("other", "repeats", "what", "verdict"),
    [
        (HONEST, True, "", "twice the same to the microsecond"),
        (record(*(replace(one, host_s=9.0, line_s=1.0) for one in MARKS)), True, "", "twice the same"),
        (record(console_sha256="x"), True, "", "twice the same"),  # what comes after ready is none of it
        (record(console_sha256_ready="x"), False, "", OTHER),
        (record(replace(MARKS[0], guest_us=11), MARKS[1]), False, "init", "NOT the same twice: init moved"),
        (record(MARKS[0], replace(MARKS[1], values={"counter": "3"})), False, "ready", "ready moved"),
        (record(MARKS[0], replace(MARKS[1], emulator_us=41)), False, "ready", "ready moved"),
        (record(replace(MARKS[0], name="start"), MARKS[1]), False, "init", "init moved"),
        (record(MARKS[0]), False, "ready", "ready moved"),
        (record(*MARKS, Milestone("off", 50, 0.3)), False, "off", "off moved"),
    ],
)  # fmt: skip
def test_two_boots(other: BootRecord, repeats: bool, what: str, verdict: str) -> None:
    found = compare(HONEST, other)
    assert (found.repeats, found.moved) == (repeats, what) and verdict in found.verdict
    assert (found.first, found.second) == (HONEST, other)
    assert compare(other, HONEST).repeats is repeats


def test_the_first_mark_that_differs_is_named() -> None:
    assert moved(MARKS, [replace(one, guest_us=99) for one in MARKS]) == "init"
    assert moved((), ()) == "" and moved((), MARKS) == moved(MARKS, ()) == "init"


def test_without_a_stamp_at_ready_nothing_repeats() -> None:
    silent = record(ready_us=None)
    found = compare(silent, silent)
    assert (found.repeats, found.moved) == (False, "") and found.verdict.startswith("no exact time: ")
