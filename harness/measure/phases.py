"""Where a boot's time went: a BootRecord in, phases out. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # who reads a history boots nothing, and shall not wait for what does
    from harness.system.milestones import Milestone
    from harness.system.record import BootRecord

READY = "ready"
FIRMWARE = "firmware"
SERVICES = "services"
ONBOOT = "onboot/"
ASKED = "ready asked"
# mark that ends a stretch of the main line: what that stretch is
STRETCHES = {"init": "kernel", "root": "first stage", "boot": "init", "drivers": "drivers"}
ONBOOT_ENDS = ("done", "failed", "timeout")
SERVICE_ENDS = ("ready", "unready")
NO_FIRMWARE_US = 10  # the counter's rounding, where the kernel's clock starts at power-on (s390x)


@dataclass(frozen=True)
class PathStep:
    """A step of the path from power-on to `ready`, which follow each other and add up to it: what it is, the phase that
    it lies in, its begin and length in µs."""

    name: str
    phase: str
    start_us: int
    us: int


@dataclass(frozen=True)
class Phase:
    """A stretch of a boot, in µs; ``start_us`` counts from the kernel's clock zero (before it: negative).

    Phases without ``under`` follow each other and add up to the boot. Others are part of the one they name; services
    run side by side there. ``cpu_us`` is what a service's processes have used up of the processor, where known, and
    ``slack_us`` how much longer an onboot or a service could have idled without `ready` being later (0: it is on the
    path to `ready`, as every onboot is, for the next waits for it, and the service that was the last to be healthy).
    """

    name: str
    start_us: int
    us: int
    under: str = ""
    cpu_us: int | None = None
    slack_us: int | None = None


def phases(record: BootRecord) -> list[Phase]:
    """Return a boot's phases in order, as far as it came: the main line up to `ready` or `unready`, and services."""
    if record.foreign:
        sent = record.ready_clock == "emulator"  # then all count from power-on by that clock
        times = ((mark.name, mark.emulator_us if sent else mark.guest_us) for mark in record.milestones)
        return list(_between([(name, us) for name, us in times if us is not None]))
    marks = [mark for mark in record.milestones if mark.guest_us is not None]
    services = list(_services(marks))
    last = max((phase.start_us + phase.us for phase in services), default=0)
    services = [replace(phase, slack_us=last - phase.start_us - phase.us) for phase in services]
    line = list(_main_line(marks, record.power_on_us))
    return line + sorted(services, key=lambda phase: (phase.start_us, phase.name))


def path(found: Sequence[Phase]) -> list[PathStep]:
    """Return what `ready` waited for, step by step, of a boot's phases: the main line, and in the services' phase the
    last service that was healthy, with what comes before its start and after its health."""
    last = next((phase for phase in found if phase.under == SERVICES and phase.slack_us == 0), None)
    steps: list[PathStep] = []
    for phase in (one for one in found if not one.under):
        end = phase.start_us + phase.us
        if phase.name != SERVICES or last is None:
            steps.append(PathStep(phase.name, phase.name, phase.start_us, phase.us))
            continue
        healthy = last.start_us + last.us
        steps += [
            PathStep(f"until {last.name} starts", SERVICES, phase.start_us, last.start_us - phase.start_us),
            PathStep(last.name, last.name, last.start_us, last.us),
            PathStep(f"from its health to {READY}", SERVICES, healthy, end - healthy),
        ]
    return [step for step in steps if step.us]


def _between(times: Sequence[tuple[str, int]]) -> Iterator[Phase]:
    """Yield the stretches between a foreign OS's milestones: of what happens in them no more is known."""
    began = 0
    for name, us in times:
        yield Phase(f"to {name}", began, us - began)
        began = us


def _main_line(marks: Sequence[Milestone], power_on_us: int | None) -> Iterator[Phase]:
    if power_on_us is not None and power_on_us > NO_FIRMWARE_US:
        yield Phase(FIRMWARE, -power_on_us, power_on_us)
    began = 0
    for mark in marks:
        name = _stretch(mark.name)
        if name:
            assert mark.guest_us is not None
            slack = 0 if name.startswith(ONBOOT) else None
            yield Phase(name, began, mark.guest_us - began, slack_us=slack)
            began = mark.guest_us
        if mark.name in (READY, "unready"):
            return


def _stretch(mark: str) -> str:
    """Return the name of the main line's stretch that a mark ends; empty when it ends none."""
    place, _, step = mark.partition(" ")
    if place.startswith("services/"):
        return ""
    if place.startswith(ONBOOT):
        return place if step in ONBOOT_ENDS else ""
    return SERVICES if mark in (READY, "unready") else STRETCHES.get(mark, mark)


def _services(marks: Sequence[Milestone]) -> Iterator[Phase]:
    started: dict[str, int] = {}
    for mark in marks:
        place, _, step = mark.name.partition(" ")
        if mark.name in (READY, "unready"):
            return
        if not place.startswith("services/") or mark.guest_us is None:
            continue
        if step == "start":
            started.setdefault(place, mark.guest_us)
        elif step in SERVICE_ENDS and place in started:
            began = started.pop(place)
            yield Phase(place, began, mark.guest_us - began, under=SERVICES, cpu_us=_number(mark.values.get("cpu")))


def asked_us(record: BootRecord) -> int:
    """Return for how long before its mark `ready` may have been true, in µs: of a service that programs ask for its
    health nobody knows the moment, only the last answer that was no."""
    ends = [
        (mark.guest_us, _number(mark.values.get("asked")) or 0)
        for mark in record.milestones
        if mark.name.startswith("services/") and mark.name.endswith(" ready") and mark.guest_us is not None
    ]
    return max(stamp for stamp, _ in ends) - max(stamp - unsure for stamp, unsure in ends) if ends else 0


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None


def total_us(record: BootRecord) -> int | None:
    """Return the µs from power-on to ready; None when either part is not known."""
    if record.ready_us is None or record.power_on_us is None:
        return None
    return record.ready_us + record.power_on_us


def figures(record: BootRecord) -> dict[str, int]:
    """Return a boot's figures by name, in µs: ``ready`` (from the clock zero), ``total`` (from power-on), each phase,
    and for a service that says so ``NAME cpu``; ``ready asked`` where `asked_us` is anything."""
    found: dict[str, int] = {}
    if record.ready_us is not None:
        found[READY] = record.ready_us
    whole = total_us(record)
    if whole is not None:
        found["total"] = whole
    if unsure := asked_us(record):
        found[ASKED] = unsure
    for phase in phases(record):
        found[phase.name] = phase.us
        if phase.cpu_us is not None:
            found[f"{phase.name} cpu"] = phase.cpu_us
    return found
