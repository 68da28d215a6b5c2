"""What systemd says of the boot it has made: its phases and units, each with its time. Pure.

Its own words for it are in systemd-analyze(1); the properties that it is made of are those of `systemctl show`
(org.freedesktop.systemd1(5)), in µs of the guest's clock, which starts with the kernel's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from harness.measure.phases import Phase

MOST_UNITS = 10_000
_NAME = re.compile(r"[A-Za-z0-9:_.@\\-]{1,255}")  # systemd.unit(5); the guest's words reach a terminal
_STAMPS = ("KernelTimestampMonotonic", "InitRDTimestampMonotonic", "UserspaceTimestampMonotonic",
           "FinishTimestampMonotonic", "FirmwareTimestampMonotonic", "LoaderTimestampMonotonic")  # fmt: skip
_UNIT = ("Id", "InactiveExitTimestampMonotonic", "ActiveEnterTimestampMonotonic", "InactiveEnterTimestampMonotonic")
# Once it has finished: the manager, then, after an empty line each, all units that it has loaded.
COMMAND = (
    "timeout 60 systemctl is-system-running --wait >/dev/null; "
    f"systemctl show -p {','.join(_STAMPS)} && echo && systemctl show -p {','.join(_UNIT)} '*'"
)


def phases(said: str) -> list[Phase]:
    """Return the phases and, as parts of them, the units of what `COMMAND` said; [] when that is not systemd's.

    Also before systemd has finished: then without the phase `userspace` and what is in it.
    """
    blocks = [_values(block) for block in said.split("\n\n")[: MOST_UNITS + 1]]
    line = list(_line(blocks[0]))
    return [*line, *sorted(_units(blocks[1:], line), key=lambda phase: (phase.start_us, phase.name))]


def _values(block: str) -> dict[str, str]:
    return dict(row.split("=", 1) for row in block.splitlines() if "=" in row)


def _line(manager: Mapping[str, str]) -> Iterator[Phase]:
    firmware, loader, initrd, userspace, finish = (
        _us(manager, f"{name}TimestampMonotonic") for name in ("Firmware", "Loader", "InitRD", "Userspace", "Finish")
    )
    # both count backwards from the kernel's clock zero: how long before it they began
    if firmware:
        yield Phase("firmware", -firmware, firmware - loader)
    if loader:
        yield Phase("loader", -loader, loader)
    if userspace:
        yield Phase("kernel", 0, initrd or userspace)
    if initrd and userspace:
        yield Phase("initrd", initrd, userspace - initrd)
    if userspace and finish:
        yield Phase("userspace", userspace, finish - userspace)


def _units(blocks: list[dict[str, str]], line: list[Phase]) -> Iterator[Phase]:
    end = line[-1].start_us + line[-1].us if line else 0
    for unit in blocks:
        name, began = unit.get("Id", ""), _us(unit, "InactiveExitTimestampMonotonic")
        # what does its work and is gone never becomes active (systemd-analyze blame takes the same two)
        ended = _us(unit, "ActiveEnterTimestampMonotonic") or _us(unit, "InactiveEnterTimestampMonotonic")
        around = next((one for one in line if one.start_us <= began < one.start_us + one.us), None)
        if _NAME.fullmatch(name) and around is not None and began and began < ended <= end:
            yield Phase(name, began, ended - began, under=around.name)


def _us(values: Mapping[str, str], key: str) -> int:
    text = values.get(key, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
