"""`harness boot --explain`: where a boot's time goes, down to each initcall, module, service, and systemd's units."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.commands.images.bootable import power_off
from harness.errors import ImageError
from harness.image import Bootable
from harness.launch import boot
from harness.launch.exact import ExactPair, exact_pair
from harness.measure import account, systemd
from harness.measure.phases import Phase, path, phases, total_us
from harness.show import waterfall
from harness.show.frame import progress
from harness.spec.models.machine import MachineSpec
from harness.suite.steps import traced_boot
from harness.system import BootOptions

TRACED = "traced"
SYSTEMD_S = 120.0  # seconds for systemd to finish and to tell


@dataclass(frozen=True)
class Explained:
    """Two exact boots and their phases; of a foreign OS also what systemd, where there is one, says of a wall boot.

    ``untraced`` says why nobody is named who had the processor, where the kernel does not tell.
    """

    pair: ExactPair
    phases: list[Phase]
    systemd: list[Phase]
    untraced: str = ""


def explain(image: Bootable, machine: MachineSpec, out: Path, *, append: tuple[str, ...], timeout: float) -> Explained:
    """Make two exact boots and a traced one; return the pair, and its phases with the traced one's steps in them."""
    progress(f"{image.name} on {machine.name}: two exact boots, and one with the kernel's trace")
    pair = exact_pair(image, machine, out, append=append, timeout=timeout)
    try:
        record, steps = traced_boot(image, machine, out / TRACED, append=append, timeout=timeout)
    except ImageError as error:
        return Explained(pair, phases(pair.first), [], error.message)
    return Explained(
        pair, account.explained(phases(pair.first), phases(record), account.rows(steps, phases(record))), []
    )


def foreign(image: Bootable, machine: MachineSpec, out: Path, *, append: tuple[str, ...], timeout: float) -> Explained:
    """Make two exact boots of a foreign OS, and with a login one in wall time in which systemd is asked."""
    progress(f"{image.name} on {machine.name}: two exact boots{', and one to ask systemd' if image.login else ''}")
    pair = exact_pair(image, machine, out, append=append, timeout=timeout)
    if not image.login:
        return Explained(pair, phases(pair.first), [])
    with boot(image, machine, BootOptions(mode="wall", out=out / "asked", append=append, timeout=timeout)) as system:
        system.wait_ready()
        said = system.shell.run(systemd.COMMAND, SYSTEMD_S)
        power_off(system)
    return Explained(pair, phases(pair.first), systemd.phases(said.text) if said.code == 0 else [])


def show(found: Explained, *, as_json: bool) -> None:
    """Print what `explain` or `foreign` returned."""
    pair, record = found.pair, found.pair.first
    if as_json:
        facts = {"repeats": pair.repeats, "moved": pair.moved, "ready_us": record.ready_us,
                 "total_us": total_us(record), "phases": [asdict(phase) for phase in found.phases],
                 "path": [asdict(step) for step in path(phases(record))],
                 **({"untraced": found.untraced} if found.untraced else {}),
                 **({"systemd": [asdict(phase) for phase in found.systemd]} if found.systemd else {})}  # fmt: skip
        print(json.dumps(facts, indent=1))
        return
    print(f"{record.image} on {record.machine}, QEMU {record.qemu_version}; ms of the guest's clock, 0 is the kernel's")
    _waterfall(found.phases)
    for line in waterfall.path(phases(record), shutil.get_terminal_size().columns):
        print(line)
    print(pair.verdict)
    if found.untraced:
        print(f"who had the processor is not known: {found.untraced}")
    if found.systemd:
        print("what systemd says of another boot, in wall time:")
        _waterfall(found.systemd)


def _waterfall(found: Sequence[Phase]) -> None:
    for line in waterfall.lines(found, shutil.get_terminal_size().columns, blocks=_blocks()):
        print(line)


def _blocks() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
