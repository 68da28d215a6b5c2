"""A guest that behaves when it is measured does not fit its own boot in wall time; pure."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.measure.fit import FACTOR, MOST, SLACK_US, TIMES, misfits
from harness.system.milestones import Milestone
from harness.system.record import BootRecord

EXACT = {
    "init": 400_000, "root": 410_000, "boot": 420_000, "drivers": 450_000, "onboot/one start": 455_000,
    "onboot/one done": 500_000, "services/two start": 505_000, "services/two ready": 560_000, "ready": 561_000,
}  # fmt: skip
BEFORE = 1.5  # seconds of the host before the kernel's clock


def record(times: dict[str, int], mode: str = "exact", *, host: float = 1.0, foreign: bool = False) -> BootRecord:
    """A boot by the guest's clock, whose host took `host` times as long for it."""
    marks = tuple(Milestone(name, us, BEFORE + us * host / 1e6) for name, us in times.items())
    return BootRecord(image="i", arch="arm64", machine="m", mode=mode, probed=False, accel="tcg",  # type: ignore[arg-type]
                      accel_reason="", argv=(), cmdline="", cpu="c", machine_type="virt", qemu_version="7",
                      milestones=marks, ready_us=times.get("ready"), foreign=foreign)  # fmt: skip


def slowed(factor: float, late: int = 0, since: str = "") -> dict[str, int]:
    names = list(EXACT)
    first = names.index(since) if since else 0
    return {name: round(us * factor) + (late if at >= first else 0) for at, (name, us) in enumerate(EXACT.items())}


@pytest.mark.parametrize("factor", [0.2, 1, 5, 40])
def test_a_host_of_any_speed_fits(factor: float) -> None:
    exact = record(EXACT, host=factor)
    assert misfits(exact, record(slowed(factor), "wall")) == ()
    # what was before the kernel's clock zero is known of counted boots alone
    assert misfits(replace(exact, power_on_us=93_000), record(slowed(factor), "wall")) == ()


# by the mark from which on all is late: the stretch that it ends
NAMED = {"onboot/one done": "onboot/one", "services/two ready": "services/two", "drivers": "drivers"}


@pytest.mark.parametrize("factor", [0.2, 5])
@pytest.mark.parametrize("since", NAMED)
def test_what_is_slow_only_where_nobody_counts_is_named(factor: float, since: str) -> None:
    late = round(TIMES * (BEFORE * 1e6 + EXACT["ready"] * (factor + 1))) + SLACK_US
    found = misfits(record(EXACT, host=factor), record(slowed(factor, late, since), "wall"))
    assert any(one.startswith(f"{NAMED[since]}: ") for one in found)


def test_what_a_host_adds_is_allowed() -> None:
    exact = record(EXACT, host=5)
    assert misfits(exact, record(slowed(5, SLACK_US - 1, "onboot/one done"), "wall")) == ()
    assert misfits(exact, record(slowed(5, 2 * SLACK_US, "onboot/one done"), "wall")) != ()


KERNEL = {"early": 400_000, "kernel": 1_000_000, "basic": 1_001_000}


def two(us: int, host: float) -> BootRecord:
    """The kernel's start is counted with a second, what follows as given."""
    return record({**KERNEL, "ready": 1_001_000 + us}, host=host, foreign=True)


def taking(us: float) -> BootRecord:
    """A boot in wall time, as fast as it is counted up to the last stretch but for what follows the kernel's start."""
    return record({**KERNEL, "kernel": 800_000, "ready": round(1_001_000 + us)}, "wall", foreign=True)


@pytest.mark.parametrize(
    ("host", "most"),
    [
        # what the counted boot took the host, since the mark before the last, and what was counted
        (5, TIMES * (5 * 101_000 + 100_000)),
        # what the kernel's start explains, where the counted boot was made slow itself
        (400, MOST * 100_000),
    ],
)
def test_what_just_fits_is_no_misfit(host: float, most: float) -> None:
    exact = two(100_000, host)
    for late, found in ((0, []), (1, ["to ready"])):
        said = [one.partition(":")[0] for one in misfits(exact, taking(most + SLACK_US + late))]
        assert [name for name in said if name != "ready"] == found


def test_to_ready_it_may_take_eight_times_as_much_as_the_kernel_explains() -> None:
    exact = two(10_000_000, 400)
    most = FACTOR * 11_001_000 + SLACK_US - 1_001_000
    for late, found in ((0, 0), (1, 1)):
        assert len(misfits(exact, taking(most + late))) == found


def test_to_ready_it_may_take_four_times_what_the_counted_boot_took_the_host() -> None:
    exact = record({"kernel": 1_000_000, "one": 5_000_000, "ready": 9_000_000}, foreign=True)
    most = round(TIMES * (BEFORE * 1e6 + 9_000_000 + 9_000_000) + SLACK_US)
    for late, found in ((0, []), (1, ["ready"])):
        wall = {"kernel": 10_000_000, "one": 44_000_000, "ready": most + late}
        assert [one.partition(":")[0] for one in misfits(exact, record(wall, "wall", foreign=True))] == found


def test_a_first_mark_that_was_heard_at_once_takes_nothing_off_the_others() -> None:
    wall = record(slowed(5), "wall")
    first = replace(wall.milestones[0], host_s=0.0)
    said = misfits(record(EXACT, host=5), replace(wall, milestones=(first, *wall.milestones[1:])))
    assert said[0].startswith("first stage: takes 3550 ms in wall time")


def test_a_milestone_that_was_not_timed_when_it_was_counted_is_left_out() -> None:
    exact = record({"kernel": 300_000, "ready": 700_000}, host=6, foreign=True)
    screen = Milestone("screen", None, exact.milestones[-1].host_s)
    exact = replace(exact, milestones=(exact.milestones[0], screen, exact.milestones[1]))
    wall = record({"kernel": 1_800_000, "screen": 2_000_000, "ready": 4_200_000}, "wall", foreign=True)
    assert misfits(exact, wall) == ()


def waiting(made: BootRecord, waited: float) -> BootRecord:
    """The same, but QEMU waited for a processor for so many seconds in each second of the boot."""
    marks = tuple(replace(mark, host_s=mark.host_s * (1 + waited), waited_s=mark.host_s * waited,
                          guest_us=None if mark.guest_us is None else round(mark.guest_us * (1 + waited)))
                  for mark in made.milestones)  # fmt: skip
    return replace(made, milestones=marks)


@pytest.mark.parametrize("waited", [0.5, 3, 30])
def test_how_busy_a_host_is_changes_nothing(waited: float) -> None:
    exact = two(100_000, 5)
    most = TIMES * (5 * 101_000 + 100_000) + SLACK_US
    for late, found in ((-20, 0), (20, 1)):
        assert len(misfits(exact, waiting(taking(most + late), waited))) == found


def test_a_sleep_is_no_waiting_for_a_processor() -> None:
    wall = waiting(record(slowed(5), "wall"), 3)
    late = tuple(
        replace(mark, host_s=mark.host_s + (60 if mark.name in ("services/two ready", "ready") else 0))
        for mark in wall.milestones
    )
    assert misfits(record(EXACT, host=5), wall) == ()
    assert misfits(record(EXACT, host=5), replace(wall, milestones=late)) != ()


def test_a_guest_whose_clock_stands_still_in_wall_time_is_found() -> None:
    wall = record(slowed(5, 60_000_000, "ready"), "wall")
    lying = tuple(replace(mark, guest_us=min(mark.guest_us or 0, 3_000_000)) for mark in wall.milestones)
    assert misfits(record(EXACT, host=5), replace(wall, milestones=lying, ready_us=3_000_000)) != ()


# A boot of `default` on s390x (2026-11-30): µs as it is counted, of the host's time while it was, and in wall time. Its
# kernel mostly unpacks itself, and its console is heard now and then.
UNPACKING = {
    "init": (2_162_000, 5.577, 5.240), "root": (2_190_000, 5.577, 5.407), "boot": (2_200_000, 5.577, 5.566),
    "drivers": (2_232_000, 7.123, 5.857), "onboot/sysctl done": (2_256_000, 7.123, 6.939),
    "onboot/dhcp done": (2_269_000, 7.123, 7.926), "services/getty start": (2_270_000, 7.123, 7.930),
    "services/getty ready": (2_310_000, 7.123, 12.050), "ready": (2_427_000, 9.672, 13.219),
}  # fmt: skip


def test_a_kernel_that_unpacks_itself_is_slowed_less_than_what_follows() -> None:
    exact, wall = (
        replace(record({name: row[0] for name, row in UNPACKING.items()}, mode), milestones=tuple(
            Milestone(name, round(row[side] * 1e6) if side == 2 else row[0], row[side])
            for name, row in UNPACKING.items()))
        for side, mode in ((1, "exact"), (2, "wall"))
    )  # fmt: skip
    assert misfits(exact, wall) == ()
    late = tuple(replace(mark, host_s=mark.host_s + 20) if mark.name == "ready" else mark for mark in wall.milestones)
    assert [one.partition(":")[0] for one in misfits(exact, replace(wall, milestones=late))] == ["services"]


def test_a_step_that_only_wall_time_has_is_named() -> None:
    more = {**slowed(50)}
    ready = more.pop("ready")
    more |= {"onboot/more start": ready - 2, "onboot/more done": ready - 1, "ready": ready}
    said = misfits(record(EXACT, host=5), record(more, "wall"))[0]
    assert said == "onboot/more: takes 3050 ms in wall time, and is not there when it is counted"


def test_a_misfit_is_told_in_milliseconds() -> None:
    exact = record({"kernel": 2_000_000, "ready": 5_000_000}, host=5, foreign=True)
    wall = record({"kernel": 10_000_000, "ready": 210_000_000}, "wall", foreign=True)
    counted = "3000 ms when it is counted, which took the host 26500 ms; 121000 ms would fit"
    assert misfits(exact, wall)[0] == f"to ready: takes 200000 ms in wall time, and {counted}"
    more = record({"kernel": 10_000_000, "more": 15_000_000, "ready": 30_000_000}, "wall", foreign=True)
    assert misfits(exact, more) == ()  # of a milestone that has no exact time nothing is said


def test_foreign_oses_are_judged_by_their_milestones() -> None:
    times = {"kernel": 300_000, "basic": 500_000, "ready": 700_000}
    exact, wall = record(times, host=6, foreign=True), {name: us * 6 for name, us in times.items()}
    assert misfits(exact, record(wall, "wall", foreign=True)) == ()
    wall["ready"] += 40_000_000
    found = misfits(exact, record(wall, "wall", foreign=True))
    assert [one.partition(":")[0] for one in found] == ["to ready", "ready"]


def test_a_packet_is_compared_by_the_hosts_clock() -> None:
    sent = (Milestone("dhcp", None, 2.0, emulator_us=700_000), Milestone("ready", None, 4.0, emulator_us=900_000))
    exact = replace(record({}, foreign=True), milestones=sent, ready_us=900_000, ready_clock="emulator")
    wall = record({}, "wall", foreign=True)
    for seconds, found in ((5.0, []), (90.0, ["to ready", "ready"])):
        heard = (Milestone("dhcp", None, 2.0), Milestone("ready", None, seconds))
        said = misfits(exact, replace(wall, milestones=heard))
        assert [one.partition(":")[0] for one in said] == found


def test_without_an_exact_time_of_ready_nothing_is_said() -> None:
    assert misfits(record(EXACT), record({"init": 1}, "wall")) == misfits(record(EXACT), record({}, "wall")) == ()
    assert misfits(record({"init": 1}), record(EXACT, "wall")) == ()
