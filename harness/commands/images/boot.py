"""`harness boot`: one image on one machine - to look around in it, to run a command, or to see its boot times."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.build.settings import Settings
from harness.commands.images.bootable import (
    BootRequest,
    fitted,
    image_of,
    leave,
    power_off,
    put_data,
    usual_machine,
)
from harness.commands.images.brought import brought
from harness.emulator.firmware import needed
from harness.errors import ImageError, UserError
from harness.image import Bootable, end_of
from harness.launch import boot as started
from harness.launch import exact_pair
from harness.measure.medians import fewest
from harness.scratch import scratch
from harness.show.frame import progress
from harness.show.waiting import quiet
from harness.spec import load_machine
from harness.spec.models.machine import MachineSpec
from harness.system import BootOptions, BootRecord, System
from harness.system.folder import BootFolder
from harness.system.marks import READY


def boot(
    images: Sequence[str], machine: str | None, settings: Settings, request: BootRequest, *, verity: bool = False
) -> int:
    """Boot what `images` name on `machine`; with `verity` in the settings' format with a verified root."""
    _check(request)
    with brought(images) as names:
        return _boot(names, machine or usual_machine(names), settings, request, verity=verity)


def _boot(images: Sequence[str], machine: str, settings: Settings, request: BootRequest, *, verity: bool) -> int:
    if verity:
        from harness.build import outputs

        settings = replace(settings, format=outputs.called(settings.format, verity=True))
    spec = fitted(load_machine(machine), request)
    image = image_of(images, spec, settings)
    if end_of(image).end == "off":
        _check_end(image, request)
    if request.disks is not None:
        _keep(request.disks, spec, image)
    if request.command is not None and not (image.parts.probe or image.login):
        raise UserError(f"{image.name} has no shell to run a command in", hint="give its YAML a `login`")
    with scratch("boot", request.out) as out:
        if request.out is not None:
            leave(image, out)
        if request.data is not None:
            put_data(request.data, spec, request.disks or out)
        if request.runs > 1:
            from harness.commands.images import boot_runs

            return boot_runs.run(image, spec, out, request)
        if request.explain:
            return _explained(image, spec, out, request)
        if request.exact:
            return _exact(image, spec, out, request)
        return _wall(image, spec, out, request)


def _check(request: BootRequest) -> None:
    wall = ((request.command is not None, "--run"), (request.forwards, "--forward"), (request.published, "--publish"))
    for given, option in wall:
        if given and (request.exact or request.explain):
            raise UserError(f"{option} is for boots in wall time: an exact boot takes no events from outside",
                            hint="leave --exact and --explain out")  # fmt: skip
        if given and request.runs > 1:
            raise UserError(f"{option} is for single boots", hint="leave --runs out")
    if request.runs > 1 and (request.exact or request.explain):
        raise UserError("--runs is for the wall times of plain boots", hint="leave --exact and --explain out")
    if request.data is not None and (request.runs > 1 or request.exact or request.explain):
        raise UserError("--data is for single boots in wall time: others begin with empty disks each")
    if request.disks is not None and (request.runs > 1 or request.exact or request.explain):
        raise UserError("--disks is for single boots in wall time: others begin with empty disks each")
    if request.within is not None and request.runs < fewest():
        raise UserError(f"--within needs --runs {fewest()} at least: fewer boots do not say where the median lies")


def _check_end(image: Bootable, request: BootRequest) -> None:
    if request.exact or request.explain or request.runs > 1 or request.command is not None:
        raise UserError(f"{image.name} switches itself off when its work is done: it never comes to ready",
                        hint="leave --exact, --explain, --runs and --run out, or its `expect: off`")  # fmt: skip


def _keep(folder: Path, machine: MachineSpec, image: Bootable) -> None:
    if machine.qemu is None or not (machine.qemu.disks or image.parts.disk or needed(machine, image.parts)):
        raise UserError(
            f"{machine.name} has no disks to be kept",
            hint="--disk 64M, or `qemu: {disks: [64]}`, gives it one of 64 MiB",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {folder}: {error.strerror}") from None


def _exact(image: Bootable, machine: MachineSpec, out: Path, request: BootRequest) -> int:
    progress(f"{image.name} on {machine.name}: two exact boots")
    pair = exact_pair(image, machine, out, append=request.append, timeout=request.timeout)
    record = pair.first
    if request.as_json:
        records = [json.loads(one.dumps()) for one in (pair.first, pair.second)]
        print(json.dumps({"repeats": pair.repeats, "moved": pair.moved, "records": records}, indent=1))
    else:
        _table(record, exact=True)
        print(pair.verdict)
    return 0


def _explained(image: Bootable, machine: MachineSpec, out: Path, request: BootRequest) -> int:
    from harness.commands.images import explain

    find = explain.foreign if image.milestones else explain.explain
    explain.show(find(image, machine, out, append=request.append, timeout=request.timeout), as_json=request.as_json)
    return 0


def _wall(image: Bootable, machine: MachineSpec, out: Path, request: BootRequest) -> int:
    interactive = request.command is None and not request.as_json and sys.stdin.isatty() and sys.stdout.isatty()
    probe = request.command is not None and image.parts.probe is not None
    options = BootOptions(mode="wall", out=out, probe=probe, append=request.append, forwards=request.forwards,
                          published=request.published, timeout=request.timeout, disks=request.disks)  # fmt: skip
    progress(f"{image.name} on {machine.name}: booting")
    with started(image, machine, options) as system:
        for guest, host in sorted(system.forwards.items()):
            progress(f"port {guest} of the guest is 127.0.0.1:{host}")
        for outside, inside, kind in request.published:
            progress(f"port {inside}/{kind} of the guest is 127.0.0.1:{outside}")
        if interactive:
            progress(f"its transcript{'' if request.out else ', while it runs'}: {BootFolder(out).transcript}")
            with quiet():
                left = system.interact()
            progress(_how_it_ended(system, left=left, kept=request.out is not None))
            if end_of(image).end == "off" and not system.alive:
                system.wait_end()
            return 0
        ready = _come_up(system, run=request.command is not None)
        if end_of(image).end == "off":
            return _ended(system, as_json=request.as_json)
        code = 0
        if request.command is not None:
            code = _command(system, request.command, ready=ready, as_json=request.as_json)
        if request.command is None:
            if request.as_json:
                print(system.record.dumps())
            else:
                _table(system.record, exact=False)
        power_off(system, ready=ready)
        return code


def _how_it_ended(system: System, *, left: bool, kept: bool) -> str:
    """Return what is said to a person who was at the console."""
    ready = next((mark for mark in system.record.milestones if mark.name == READY), None)
    came = f"ready after {ready.host_s:.1f} s" if ready else "never ready"
    ended = "left, and its power is cut" if left else "it powered off"
    return f"{came}; {ended}" + ("" if kept else "; -o DIR keeps its transcript and record")


def _come_up(system: System, *, run: bool) -> bool:
    """Wait for the end of the boot; one that fails is no reason not to `run` a command, which may tell why."""
    try:
        system.wait_end()
    except ImageError as error:
        if not run or not system.alive:
            raise
        progress(f"{error.message}\n{error.details}\nthe command is run all the same")
        return False
    if system.alive:
        system.prove()
    return True


def _ended(system: System, *, as_json: bool) -> int:
    if as_json:
        print(system.record.dumps())
    else:
        _table(system.record, exact=False)
        print("it switched itself off, as its YAML expects")
    return 0


def _command(system: System, command: str, *, ready: bool, as_json: bool) -> int:
    result = system.shell.run(command)
    if as_json:
        print(
            json.dumps(
                {"ready": ready, "code": result.code, "output": result.stdout.decode(errors="replace")}, indent=1
            )
        )
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
        if mark.guest_us is None and mark.emulator_us is not None:
            print(f"{mark.emulator_us / 1000:12.3f} ms {'-':>10}  {mark.name}, by the emulator's clock since power-on")
            continue
        if mark.guest_us is None:
            print(f"{'-':>12}    {'-':>10} {host} {mark.name}")
            continue
        print(f"{mark.guest_us / 1000:12.3f} ms {(mark.guest_us - before) / 1000:+10.3f} {host} {mark.name}")
        before = mark.guest_us
    if exact and not record.foreign:
        print(_whose(record))


def _whose(record: BootRecord) -> str:
    """Return whose word the time of ready is."""
    if record.ready_emulator_us is None:
        return (
            "ready by the guest's word alone: it did not leave as a frame, which the emulator's clock would have told"
        )
    return (
        f"ready by the emulator's clock as well: its frame left {record.ready_emulator_us / 1000:.3f} ms after power-on"
    )
