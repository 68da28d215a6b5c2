"""From an Image and a MachineSpec to a running System."""

from __future__ import annotations

import shlex
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from harness import arch as arches
from harness import proc
from harness.boot import accel, host, qemu
from harness.boot.accel import Choice
from harness.boot.disk import disk_of
from harness.boot.listener import Listener
from harness.boot.milestones import finder
from harness.boot.options import BootOptions
from harness.boot.qemu import BY_HAND, Launch
from harness.boot.record import BootRecord
from harness.boot.running import run_qemu, sweep
from harness.boot.system import System
from harness.boot.transcript import Transcript
from harness.errors import HostError, UserError
from harness.image import Bootable
from harness.spec.model import MachineSpec

CPIO_ALIGN = 4
LAST_PORT = 65535


@contextmanager
def boot(image: Bootable, machine: MachineSpec, options: BootOptions) -> Iterator[System]:
    """Start `image` on `machine` and give the running System; QEMU is gone when the block is left, however.

    Raises UserError (image and machine do not fit), HostError (no QEMU, no room), MachineError (QEMU dies).
    """
    _check(image, machine, options)
    with ExitStack() as stack:
        yield _start(image, machine, options, stack)


def _check(image: Bootable, machine: MachineSpec, options: BootOptions) -> None:
    if image.arch.name != arches.by_name(machine.arch).name:
        raise UserError(f"{image.name} is for {image.arch.name}, but {machine.name} is {machine.arch}")
    if options.mode == "exact" and not machine.qemu.exact:
        raise UserError(f"{machine.name} cannot count instructions: its YAML says `exact: false`")
    if options.mode == "exact" and (options.forwards or options.reboot):
        raise UserError("forwarded ports and reboots are for wall boots: an exact boot takes no events from outside")
    if options.forwards and not machine.qemu.network:
        raise UserError(f"{machine.name} has no network to forward ports into")
    if wrong := [port for port in options.forwards if not 0 < port <= LAST_PORT]:
        raise UserError(f"{wrong[0]} is no TCP port to forward: 1 to {LAST_PORT}")
    parts = image.parts
    if options.probe and parts.probe is None:
        raise UserError(f"{image.name} has no probe: nothing of ours is put into a foreign OS")
    if parts.kernel is None and not qemu.boots_disks(machine):
        raise UserError(
            f"{machine.name} has no firmware that boots a disk (UEFI and ISO images are not supported yet)",
            hint="give the OS's kernel and initrd in its YAML, beside the disk",
        )
    for file in filter(None, (parts.kernel, parts.initrd, parts.disk, parts.probe if options.probe else None)):
        if not file.is_file():
            raise UserError(f"{file.parent} has no file {file.name!r}", hint="build the image again")


def join(parts: list[Path], out: Path) -> None:
    """Write initrd segments one after another, each padded to where the kernel looks for the next."""
    try:
        with out.open("wb") as joined:
            for part in parts:
                with part.open("rb") as stream:
                    shutil.copyfileobj(stream, joined, 1 << 20)
                joined.write(b"\0" * (-joined.tell() % CPIO_ALIGN))
    except OSError as error:
        raise HostError(f"cannot write the initrd of a probed boot: {error}") from error


def join_by_hand(parts: list[Path], out: Path) -> str:
    """Return the shell command that writes what `join` writes: no failed boot has to keep its copy."""
    steps = []
    for part in parts:
        steps.append(f"cat {shlex.quote(str(part))}")
        if padding := -part.stat().st_size % CPIO_ALIGN:
            steps.append(f"head -c {padding} /dev/zero")
    return f"({'; '.join(steps)}) > {shlex.quote(str(out))}"


def _start(image: Bootable, machine: MachineSpec, options: BootOptions, stack: ExitStack) -> System:
    arch, joined, parts = image.arch, options.out / "initrd", image.parts
    segments = [part for part in (parts.initrd, parts.probe) if part]
    version = host.qemu_version(arch)
    options.out.mkdir(parents=True, exist_ok=True)
    choice = accel.choose(arch, machine, None if image.milestones else parts.kernel, options.mode)
    if options.probe:
        stack.callback(joined.unlink, missing_ok=True)
        join(segments, joined)
    launch = Launch(
        program=proc.resolve(arch.qemu),
        machine=machine,
        kernel=parts.kernel,
        initrd=joined if options.probe else parts.initrd,
        disk=disk_of(parts.disk) if parts.disk else None,
        cmdline=qemu.cmdline(image.cmdline, machine, options.append, mode=options.mode, probe=options.probe),
        mode=options.mode,
        accel=choice.name,
        probe=options.probe,
        seed=options.seed,
        forwards=tuple((0, port) for port in options.forwards),
    )
    by_hand = shlex.join(qemu.argv(launch, BY_HAND))
    if options.probe:
        by_hand = f"{join_by_hand(segments, joined)} && {by_hand}"
    stack.callback(sweep, options.out)
    start = time.monotonic()
    running = run_qemu(launch, options.out)
    stack.callback(running.close)
    blank = _blank(image, machine, options, launch, choice, running.argv, version)
    transcript = stack.enter_context(_transcript(options, blank, by_hand))
    system = System(
        image=image,
        machine=machine,
        options=options,
        launch=launch,
        running=running,
        listener=Listener(transcript, finder(image)),
        blank=blank,
        by_hand=by_hand,
        clock=lambda: time.monotonic() - start,
    )
    stack.callback(system.close)
    system.meet()
    return system


def _transcript(options: BootOptions, blank: BootRecord, by_hand: str) -> Transcript:
    facts = {
        "image": blank.image,
        "machine": blank.machine,
        "mode": f"{blank.mode}{', probed' if blank.probed else ''}",
        "accelerator": f"{blank.accel} ({blank.accel_reason})",
        "qemu": blank.qemu_version,
        "host": ", ".join(f"{key} {value}" for key, value in blank.host.items()),
        "command": by_hand,
    }
    try:
        return Transcript(options.out / "transcript.txt", facts)
    except OSError as error:
        raise HostError(f"cannot write the transcript: {error}") from error


def _blank(
    image: Bootable,
    machine: MachineSpec,
    options: BootOptions,
    launch: Launch,
    choice: Choice,
    argv: list[str],
    version: str,
) -> BootRecord:
    return BootRecord(
        image=image.name,
        arch=image.arch.name,
        foreign=bool(image.milestones),
        machine=machine.name,
        mode=options.mode,
        probed=options.probe,
        accel=choice.name,
        accel_reason=choice.reason,
        argv=tuple(argv),
        cmdline=launch.cmdline,
        cpu=qemu.cpu(machine, choice.name),
        machine_type=machine.qemu.machine,
        qemu_version=version,
        host=host.facts(),
    )
