"""Where the time between the kernel's clock zero and ready goes: boot marks in, rows out. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.bench.figures import Table
from harness.boot.milestones import Milestone
from harness.boot.record import BootRecord

# mark that ends a stretch: what that stretch is
STRETCHES = {
    "init": "kernel, up to the first process",
    "root": "first stage: modules, squashfs, mounts",
    "boot": "busybox init, up to the second stage",
    "drivers": "drivers",
}
POWER_ON = "before the kernel's clock"
ENDS = (" ready", " done", " failed", " timeout", " unready")


def phases(record: BootRecord) -> dict[str, float]:
    """Return the boot's phases in ms, in order: stretches that add up to ready, and services side by side."""
    found: dict[str, float] = {}
    if record.power_on_us is not None:
        found[POWER_ON] = record.power_on_us / 1000
    before = 0
    for mark in record.milestones:
        if mark.guest_us is None:
            continue
        if mark.name in STRETCHES:
            found[STRETCHES[mark.name]] = (mark.guest_us - before) / 1000
            before = mark.guest_us
        elif mark.name == "ready":
            break
    return found | _containers(record.milestones)


def _containers(marks: Sequence[Milestone]) -> dict[str, float]:
    started: dict[str, int] = {}
    onboots: dict[str, float] = {}
    services: dict[str, float] = {}
    began: int | None = None
    for mark in marks:
        if mark.guest_us is None:
            continue
        name, _, what = mark.name.partition(" ")
        if what == "start":
            started.setdefault(name, mark.guest_us)
            began = mark.guest_us if began is None and name.startswith("services/") else began
        elif f" {what}" in ENDS and name in started:
            spent = (mark.guest_us - started[name]) / 1000
            (onboots if name.startswith("onboot/") else services).setdefault(name, spent)
        elif mark.name == "ready":
            break
    whole = {}
    last = next((mark.guest_us for mark in marks if mark.name == "ready"), None)
    if began is not None and last is not None:
        whole["all services, side by side"] = (last - began) / 1000
    return onboots | whole | {f"of these {name}": services[name] for name in sorted(services)}


def table(title: str, records: Mapping[str, BootRecord]) -> Table:
    """Return phases as rows and machines as columns, in ms."""
    columns = {name: phases(record) for name, record in records.items()}
    names = list(dict.fromkeys(phase for column in columns.values() for phase in column))
    rows = [(name, *(_ms(column.get(name)) for column in columns.values())) for name in names]
    sums = [("power-on to ready", *(_ms(total(record)) for record in records.values()))]
    readies = [("clock zero to ready", *(_ms(_ready(record)) for record in records.values()))]
    return Table(title, ("ms", *columns), (*rows, *readies, *sums))


def _ready(record: BootRecord) -> float | None:
    return None if record.ready_us is None else record.ready_us / 1000


def total(record: BootRecord) -> float | None:
    """Return the ms from power-on to ready; None when either part is not known."""
    if record.ready_us is None or record.power_on_us is None:
        return None
    return (record.ready_us + record.power_on_us) / 1000


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
