"""Phases: stretches that add up to the boot, and services side by side."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.phases import NO_FIRMWARE_US, Phase, figures, path, phases, total_us
from harness.system.milestones import Milestone
from harness.system.record import BootRecord

MARKS = {"init": 100_000, "root": 125_000, "boot": 135_000, "drivers": 200_000, "onboot/dhcp start": 201_000,
         "onboot/dhcp done": 215_500, "services/web start": 220_000, "services/db start": 222_000,
         "services/db ready": 240_000, "services/web ready": 260_000, "ready": 261_000, "shutdown": 270_000,
         "onshutdown/bye start": 271_000, "onshutdown/bye done": 280_000}  # fmt: skip


def record(marks: dict[str, int], ready: int | None = 261_000, power_on: int | None = 90_000) -> BootRecord:
    return BootRecord(image="default", arch="arm64", machine="m", mode="exact", probed=False, accel="tcg",
                      accel_reason="", argv=(), cmdline="", cpu="", machine_type="", qemu_version="",
                      milestones=tuple(Milestone(name, us, 0.0) for name, us in marks.items()),
                      ready_us=ready, power_on_us=power_on)  # fmt: skip


def test_phases_are_the_stretches_between_marks() -> None:
    assert phases(record(MARKS)) == [
        Phase("firmware", -90_000, 90_000),
        Phase("kernel", 0, 100_000),
        Phase("first stage", 100_000, 25_000),
        Phase("init", 125_000, 10_000),
        Phase("drivers", 135_000, 65_000),
        Phase("onboot/dhcp", 200_000, 15_500, slack_us=0),
        Phase("services", 215_500, 45_500),
        Phase("services/web", 220_000, 40_000, under="services", slack_us=0),
        Phase("services/db", 222_000, 18_000, under="services", slack_us=20_000),
    ]


def test_the_path_to_ready_is_the_whole_and_goes_through_the_last_service() -> None:
    found = path(phases(record(MARKS)))
    assert sum(step.us for step in found) == 351_000
    assert all(one.start_us + one.us == two.start_us for one, two in pairwise(found))
    assert [(step.name, step.phase, step.us) for step in found[-4:]] == [
        ("onboot/dhcp", "onboot/dhcp", 15_500), ("until services/web starts", "services", 4_500),
        ("services/web", "services/web", 40_000), ("from its health to ready", "services", 1_000),
    ]  # fmt: skip
    alone = {name: us for name, us in MARKS.items() if not name.startswith("services/")}
    assert path(phases(record(alone)))[-1].name == "services"
    at_once = path(phases(record({**MARKS, "services/web ready": 261_000})))
    assert at_once[-1].name == "services/web", "what takes no time is no step"


def test_what_a_service_has_used_of_the_processor_is_told() -> None:
    one = record(MARKS)
    marks = tuple(replace(mark, values={"cpu": "1234"} if mark.name == "services/db ready" else {})
                  for mark in one.milestones)  # fmt: skip
    found = figures(replace(one, milestones=marks))
    assert found["services/db cpu"] == 1234
    assert "services/web cpu" not in found


@pytest.mark.parametrize(
    ("asked", "unsure"),
    [
        ({}, 0),
        ({"web": 8_000}, 8_000),
        ({"db": 8_000}, 0),
        ({"web": 50_000}, 20_000),
        ({"web": 50_000, "db": 5_000}, 25_000),
    ],
)
def test_how_long_before_its_mark_ready_may_have_been_true_is_told(asked: dict[str, int], unsure: int) -> None:
    one = record(MARKS)
    values = {f"services/{name} ready": {"asked": str(us)} for name, us in asked.items()}
    marks = tuple(replace(mark, values=values.get(mark.name, {})) for mark in one.milestones)
    assert figures(replace(one, milestones=marks)).get("ready asked", 0) == unsure


def test_a_machine_whose_clock_starts_at_power_on_has_no_firmware() -> None:
    assert phases(record(MARKS, power_on=-1))[0].name == "kernel"


def test_a_boot_that_ended_early_has_the_phases_it_came_to() -> None:
    early = {name: us for name, us in MARKS.items() if us <= 240_000}
    names = [phase.name for phase in phases(record(early, ready=None))]
    assert names == ["firmware", "kernel", "first stage", "init", "drivers", "onboot/dhcp", "services/db"]
    assert "ready" not in figures(record(early, ready=None))


def test_a_hung_onboot_is_a_phase_too() -> None:
    marks = {"init": 1, "onboot/a start": 2, "onboot/a timeout": 9, "services/b start": 10, "services/b unready": 20}
    found = {phase.name: phase.us for phase in phases(record(marks | {"unready": 21}, ready=None))}
    assert found["onboot/a"] == 8
    assert found["services"] == 12
    assert found["services/b"] == 10


def test_a_service_that_came_back_counts_once() -> None:
    marks = {"services/a start": 5, "services/a exited": 6, "services/a ready": 9, "ready": 10}
    assert [phase.us for phase in phases(record(marks)) if phase.under] == [4]


def test_a_foreign_os_has_the_stretches_between_its_milestones() -> None:
    marks = {"kernel": 300, "lost": None, "login": 700, "ready": 900}
    one = replace(record(marks), foreign=True)  # type: ignore[arg-type]
    assert phases(one) == [
        Phase("to kernel", 0, 300), Phase("to login", 300, 400), Phase("to ready", 700, 200),
    ]  # fmt: skip
    sent = replace(one, ready_clock="emulator", milestones=tuple(
        replace(mark, emulator_us=(mark.guest_us or 0) + 50) for mark in one.milestones if mark.name != "login"
    ))  # fmt: skip
    assert phases(sent) == [
        Phase("to kernel", 0, 350), Phase("to lost", 350, -300), Phase("to ready", 50, 900),
    ]  # fmt: skip


def test_firmware_begins_beyond_what_the_counter_rounds() -> None:
    for power_on, first in ((NO_FIRMWARE_US, "kernel"), (NO_FIRMWARE_US + 1, "firmware"), (None, "kernel")):
        assert phases(record(MARKS, power_on=power_on))[0].name == first


def test_a_whole_needs_both_its_parts() -> None:
    assert total_us(record(MARKS)) == 351_000
    assert total_us(record(MARKS, ready=None)) is None
    assert total_us(record(MARKS, power_on=None)) is None
    assert "total" not in figures(record(MARKS, power_on=None))


def test_the_last_that_is_healthy_has_no_slack() -> None:
    services = {phase.name: phase.slack_us for phase in phases(record(MARKS)) if phase.under}
    assert services == {"services/web": 0, "services/db": 20_000}
    line = {phase.name: phase.slack_us for phase in phases(record(MARKS)) if not phase.under}
    assert line.pop("onboot/dhcp") == 0 and {*line.values()} == {None}


def test_marks_without_a_stamp_and_services_after_ready_are_no_phases() -> None:
    marks = {"init": 5, "root": None, "own start": 5, "own ready": 6,
             "services/a start": 6, "services/b start": None, "services/b ready": 7, "services/a ready": 9,
             "services/c ready": 9, "ready": 10, "services/d start": 11, "services/d ready": 12}  # fmt: skip
    found = phases(record(marks))  # type: ignore[arg-type]
    assert [phase.name for phase in found if phase.under] == ["services/a"]


@pytest.mark.parametrize("said", ["", "x1", "-5"])
def test_what_is_no_number_is_not_told(said: str) -> None:
    one = record(MARKS)
    marks = tuple(replace(mark, values={"cpu": said}) for mark in one.milestones)
    assert not any(name.endswith(" cpu") for name in figures(replace(one, milestones=marks)))


@given(st.lists(st.integers(1, 10**7), min_size=1, max_size=8, unique=True), st.integers(11, 10**7))
def test_the_main_line_adds_up_to_the_whole_boot(stamps: list[int], power_on: int) -> None:
    names = ["init", "root", "boot", "drivers", "onboot/x done", "onboot/y failed", "own mark", "ready"]
    marks = dict(zip(names[-len(stamps) :], sorted(stamps), strict=True))
    one = record(marks, ready=max(stamps), power_on=power_on)
    line = [phase for phase in phases(one) if not phase.under]
    assert sum(phase.us for phase in line) == total_us(one) == figures(one)["total"]
    assert all(before.start_us + before.us == after.start_us for before, after in pairwise(line))
