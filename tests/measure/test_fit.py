"""A guest that behaves when it is measured does not fit its own boot in wall time; pure."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.measure.fit import FACTOR, MOST, SLACK_US, _late, misfits, scale
from harness.system.milestones import Milestone
from harness.system.record import BootRecord

EXACT = {
    "init": 400_000, "root": 410_000, "boot": 420_000, "drivers": 450_000, "onboot/one start": 455_000,
    "onboot/one done": 500_000, "services/two start": 505_000, "services/two ready": 560_000, "ready": 561_000,
}  # fmt: skip


def record(times: dict[str, int], mode: str = "exact", *, foreign: bool = False) -> BootRecord:
    marks = tuple(Milestone(name, us, 0.0) for name, us in times.items())
    return BootRecord(image="i", arch="arm64", machine="m", mode=mode, probed=False, accel="tcg",  # type: ignore[arg-type]
                      accel_reason="", argv=(), cmdline="", cpu="c", machine_type="virt", qemu_version="7",
                      milestones=marks, ready_us=times.get("ready"), foreign=foreign)  # fmt: skip


def slowed(factor: float, late: int = 0, since: str = "") -> dict[str, int]:
    names = list(EXACT)
    first = names.index(since) if since else 0
    return {name: round(us * factor) + (late if at >= first else 0) for at, (name, us) in enumerate(EXACT.items())}


@pytest.mark.parametrize("factor", [0.2, 1, 5, 40])
def test_a_host_of_any_speed_fits(factor: float) -> None:
    assert misfits(record(EXACT), record(slowed(factor), "wall")) == ()
    # what was before the kernel's clock zero is known of counted boots alone
    assert misfits(replace(record(EXACT), power_on_us=93_000), record(slowed(factor), "wall")) == ()


# by the mark from which on all is late: the stretch that it ends
NAMED = {"onboot/one done": "onboot/one", "services/two ready": "services/two", "drivers": "drivers"}


@pytest.mark.parametrize("factor", [0.2, 5])
@pytest.mark.parametrize("since", NAMED)
def test_what_is_slow_only_where_nobody_counts_is_named(factor: float, since: str) -> None:
    late = round(EXACT["init"] * factor * FACTOR) + 2 * SLACK_US
    found = misfits(record(EXACT), record(slowed(factor, late, since), "wall"))
    assert any(one.startswith(f"{NAMED[since]}: ") for one in found)


def test_what_a_busy_host_adds_is_allowed() -> None:
    assert misfits(record(EXACT), record(slowed(5, SLACK_US - 1, "onboot/one done"), "wall")) == ()
    assert misfits(record(EXACT), record(slowed(5, 2 * SLACK_US, "onboot/one done"), "wall")) != ()


def test_what_just_fits_is_no_misfit() -> None:
    exact = {"kernel": 1000, "ready": 2000}
    most = round(1000 * FACTOR) + SLACK_US  # of the stretch to ready, whose end is then within its own
    for late, found in ((0, 0), (1, 1)):
        wall = {"kernel": 1000, "ready": 1000 + most + late}
        assert len(misfits(record(exact, foreign=True), record(wall, "wall", foreign=True))) == found


def test_how_many_times_as_long_the_kernel_took() -> None:
    assert scale({"firmware": 9, "kernel": 4, "ready": 1}, {"kernel": 12, "ready": 9}) == 3
    counted = {"kernel": 1000, **dict.fromkeys("abc", 10_000), "ready": 50_000}
    taken = {name: us * (1 if name == "kernel" else 5) for name, us in counted.items()}
    assert scale(counted, taken) == 5, "where most of what follows takes longer"
    assert scale(counted | {"a": 9_999}, taken) == scale(counted, {**taken, "kernel": 7000}) / 7 == 1
    assert scale({"kernel": 1}, {"kernel": 7}) == scale({"kernel": 0}, {"kernel": 7}) == 7


# A boot of `default` on s390x on a host that was asked for four times of what it has (2026-11-30): µs, counted and not.
BUSY = {
    "kernel": (2_200_000, 9_460_000),
    "services": (158_000, 8_762_000),
    "services/nginx": (111_000, 8_440_000),
    "services/getty": (40_000, 7_584_000),
    "services/rngd": (50_000, 5_500_000),
    "ready": (2_427_000, 21_000_000),
}


def test_a_busy_host_slows_the_rest_more_than_a_kernel_that_unpacks_itself() -> None:
    counted, taken = ({name: pair[side] for name, pair in BUSY.items()} for side in (0, 1))
    assert list(_late(counted, taken, scale(counted, taken))) == []
    assert scale(counted, taken) == pytest.approx(MOST * 4.3)
    late = {**taken, "services/getty": 40_000_000}
    (found,) = _late(counted, late, scale(counted, late))
    assert found.startswith("services/getty: takes 40000 ms")
    few = {name: counted[name] for name in ("kernel", "services", "ready")}
    assert scale(few, taken) == pytest.approx(4.3)  # of one stretch there is no median


def test_a_step_that_only_wall_time_has_is_named() -> None:
    more = {**slowed(5)}
    ready = more.pop("ready")
    more |= {"onboot/more start": ready - 2, "onboot/more done": ready - 1, "ready": ready}
    assert misfits(record(EXACT), record(more, "wall"))[0].startswith("onboot/more: ")


def test_a_misfit_is_told_in_milliseconds() -> None:
    exact = {"kernel": 2_000_000, "ready": 5_000_000}
    wall = {"kernel": 10_000_000, "ready": 210_000_000}
    host = "on a host where the kernel's start, or most of the rest, takes 5.0 times as long"
    assert misfits(record(exact, foreign=True), record(wall, "wall", foreign=True)) == (
        f"to ready: takes 200000 ms in wall time and 3000 ms when it is counted, {host}; 123000 ms would fit",
        f"ready: takes 210000 ms in wall time and 5000 ms when it is counted, {host}; 203000 ms would fit",
    )
    more = {"kernel": 10_000_000, "more": 15_000_000, "ready": 30_000_000}
    assert misfits(record(exact, foreign=True), record(more, "wall", foreign=True)) == (
        "to more: takes 5000 ms in wall time, and is not there when it is counted",
    )


def test_foreign_oses_are_judged_by_their_milestones() -> None:
    exact = {"kernel": 300_000, "basic": 500_000, "ready": 700_000}
    wall = {name: us * 6 for name, us in exact.items()}
    assert misfits(record(exact, foreign=True), record(wall, "wall", foreign=True)) == ()
    wall["ready"] += 40_000_000
    found = misfits(record(exact, foreign=True), record(wall, "wall", foreign=True))
    assert [one.partition(":")[0] for one in found] == ["to ready", "ready"]


def test_without_a_stamp_at_ready_nothing_is_said() -> None:
    assert misfits(record(EXACT), record({"init": 1}, "wall")) == ()
    assert misfits(record({"init": 1}), record(EXACT, "wall")) == ()
