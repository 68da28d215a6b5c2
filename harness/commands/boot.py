"""`harness boot`: one image on one machine - to look around in it, to run a command, or to see its boot times."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.arch import by_name
from harness.boot import BootOptions, BootRecord, System, exact_pair
from harness.boot import boot as started
from harness.build.settings import Settings
from harness.commands.frame import progress
from harness.commands.scratch import scratch
from harness.commands.specs import read_image
from harness.errors import UserError
from harness.image import MANIFEST, Bootable, ForeignImage, Image
from harness.measure.medians import fewest
from harness.spec import is_os, load_machine, load_os
from harness.spec.model import MachineSpec


@dataclass(frozen=True)
class Wish:
    """What is to be done with the booted system. ``out`` keeps transcript and record (None: a temporary folder)."""

    exact: bool = False
    explain: bool = False
    command: str | None = None
    append: tuple[str, ...] = ()
    forwards: tuple[int, ...] = field(default=())
    timeout: float = 120.0
    out: Path | None = None
    as_json: bool = False
    runs: int = 1  # at most; more than one for medians
    disks: Path | None = None  # keeps the machine's disks
    within: float | None = None  # percent of the median: no more runs once ready is known that well


def boot(images: Sequence[Path], machine: str, settings: Settings, wish: Wish) -> int:
    """Boot what `images` describe (YAML files merged in order, or one built folder) on `machine`."""
    _check(wish)
    spec = load_machine(machine)
    if wish.disks is not None:
        _keep(wish.disks, spec)
    image = image_of(images, spec, settings)
    if wish.command is not None and not (image.parts.probe or image.login):
        raise UserError(f"{image.name} has no shell to run a command in", hint="give its YAML a `login`")
    with scratch("boot", wish.out) as out:
        if wish.runs > 1:
            from harness.commands import boot_runs

            return boot_runs.run(image, spec, out, wish)
        if wish.explain:
            return _explained(image, spec, out, wish)
        if wish.exact:
            return _exact(image, spec, out, wish)
        return _wall(image, spec, out, wish)


def _check(wish: Wish) -> None:
    for given, option in ((wish.command is not None, "--run"), (wish.forwards, "--forward")):
        if given and (wish.exact or wish.explain):
            raise UserError(f"{option} is for boots in wall time: an exact boot takes no events from outside",
                            hint="leave --exact and --explain out")  # fmt: skip
    if wish.runs > 1 and (wish.exact or wish.explain or wish.command is not None):
        raise UserError("--runs is for the wall times of plain boots", hint="leave --exact, --explain and --run out")
    if wish.disks is not None and (wish.runs > 1 or wish.exact or wish.explain):
        raise UserError("--disks is for single boots in wall time: others begin with empty disks each")
    if wish.within is not None and wish.runs < fewest():
        raise UserError(f"--within needs --runs {fewest()} at least: of fewer boots nothing is known of a median")


def _keep(folder: Path, machine: MachineSpec) -> None:
    if machine.qemu is None or not machine.qemu.disks:
        raise UserError(f"{machine.name} has no disks to be kept", hint="`qemu: {disks: [64]}` gives it one of 64 MiB")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {folder}: {error.strerror}") from None


def image_of(images: Sequence[Path], machine: MachineSpec, settings: Settings) -> Bootable:
    """Return what `images` describe (YAML files merged in order, one built folder, or a foreign OS's YAML) to boot it.

    What has to be built is built for the machine's architecture.
    """
    if len(images) == 1 and images[0].is_dir():
        image = Image(images[0])
        if image.arch.name != machine.arch:
            raise UserError(f"{images[0]} is built for {image.arch.name}, {machine.name} is {machine.arch}",
                            hint=f"{MANIFEST} says what an image is for")  # fmt: skip
        return image
    if len(images) == 1 and is_os(images[0]):
        return ForeignImage(load_os(images[0]))
    from harness.build.pipeline import Builder

    return Builder(settings, progress=progress).build(read_image(images, settings), by_name(machine.arch))


def _exact(image: Bootable, machine: MachineSpec, out: Path, wish: Wish) -> int:
    progress(f"{image.name} on {machine.name}: two exact boots")
    pair = exact_pair(image, machine, out, append=wish.append, timeout=wish.timeout)
    record = pair.first
    if wish.as_json:
        records = [json.loads(one.dumps()) for one in (pair.first, pair.second)]
        print(json.dumps({"repeats": pair.repeats, "moved": pair.moved, "records": records}, indent=1))
    else:
        _table(record, exact=True)
        print(pair.verdict)
    return 0


def _explained(image: Bootable, machine: MachineSpec, out: Path, wish: Wish) -> int:
    from harness.commands import explain

    find = explain.foreign if image.milestones else explain.explain
    explain.show(find(image, machine, out, append=wish.append, timeout=wish.timeout), as_json=wish.as_json)
    return 0


def _wall(image: Bootable, machine: MachineSpec, out: Path, wish: Wish) -> int:
    interactive = wish.command is None and not wish.as_json and sys.stdin.isatty() and sys.stdout.isatty()
    probe = wish.command is not None and image.parts.probe is not None
    options = BootOptions(mode="wall", out=out, probe=probe, append=wish.append, forwards=wish.forwards,
                          timeout=wish.timeout, disks=wish.disks)  # fmt: skip
    with started(image, machine, options) as system:
        for guest, host in sorted(system.forwards.items()):
            progress(f"port {guest} of the guest is 127.0.0.1:{host}")
        if interactive:
            system.interact()
            return 0
        system.wait_ready()
        system.prove()
        code = _command(system, wish.command, as_json=wish.as_json) if wish.command is not None else 0
        if wish.command is None:
            if wish.as_json:
                print(system.record.dumps())
            else:
                _table(system.record, exact=False)
        power_off(system)
        return code


def power_off(system: System) -> None:
    """Power off, and say so when a system that has its own ways to do so had to be ended."""
    if not system.power_off() and system.image.milestones:
        progress(f"{system.image.name} did not power off: its power was cut")


def _command(system: System, command: str, *, as_json: bool) -> int:
    result = system.shell.run(command)
    if as_json:
        print(json.dumps({"code": result.code, "output": result.stdout.decode(errors="replace")}, indent=1))
        return result.code
    sys.stdout.buffer.write(result.stdout)
    sys.stdout.buffer.flush()
    return result.code


def _table(record: BootRecord, *, exact: bool) -> None:
    """Print the milestones: the guest's clock in ms, the host's for a wall boot, and how long each step took.

    One that has no time of the guest's shows the host's alone.
    """
    print(f"{record.image} on {record.machine}, {record.medium}")
    if record.power_on_us is not None:
        print(f"{record.power_on_us / 1000:12.3f} ms from power-on to the kernel's clock zero")
    before = 0
    for mark in record.milestones:
        host = "" if exact and mark.guest_us is not None else f"{mark.said_s * 1000:10.0f} ms host"
        if mark.guest_us is None:
            print(f"{'-':>12}    {'-':>10} {host} {mark.name}")
            continue
        print(f"{mark.guest_us / 1000:12.3f} ms {(mark.guest_us - before) / 1000:+10.3f} {host} {mark.name}")
        before = mark.guest_us
