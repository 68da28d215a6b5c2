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
from harness.boot.listener import Listener
from harness.boot.options import BootOptions
from harness.boot.qemu import BY_HAND, Launch
from harness.boot.qmp import Qmp
from harness.boot.record import BootRecord
from harness.boot.running import run_qemu, sweep
from harness.boot.system import System
from harness.boot.transcript import Transcript
from harness.errors import HarnessError, HostError, UserError
from harness.image import Image
from harness.spec.model import MachineSpec

CPIO_ALIGN = 4


@contextmanager
def boot(image: Image, machine: MachineSpec, options: BootOptions) -> Iterator[System]:
    """Start `image` on `machine` and give the running System; QEMU is gone when the block is left, however.

    Raises UserError (image and machine do not fit), HostError (no QEMU, no room), MachineError (QEMU dies).
    """
    _check(image, machine, options)
    joined = options.out / "initrd"
    told = True
    try:
        with ExitStack() as stack:
            system = _start(image, machine, options, joined, stack)
            yield system
        told = system.told
    except HarnessError:
        raise
    except BaseException:
        told = False
        raise
    finally:
        if not told:  # else the command to repeat the boot, which an error has shown, names the joined initrd
            joined.unlink(missing_ok=True)


def _check(image: Image, machine: MachineSpec, options: BootOptions) -> None:
    if image.arch.name != arches.by_name(machine.arch).name:
        raise UserError(f"{image.name} was built for {image.arch.name}, but {machine.name} is {machine.arch}")
    if options.mode == "exact" and not machine.qemu.exact:
        raise UserError(f"{machine.name} cannot count instructions: its YAML says `exact: false`")
    if options.mode == "exact" and (options.forwards or options.reboot):
        raise UserError("forwarded ports and reboots are for wall boots: an exact boot takes no events from outside")
    if options.forwards and not machine.qemu.network:
        raise UserError(f"{machine.name} has no network to forward ports into")
    for file in (image.kernel, image.initrd, *([image.probe] if options.probe else [])):
        if not file.is_file():
            raise UserError(f"{image.folder} has no file {file.name!r}", hint="build the image again")


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


def _start(image: Image, machine: MachineSpec, options: BootOptions, joined: Path, stack: ExitStack) -> System:
    arch = image.arch
    version = host.qemu_version(arch)
    options.out.mkdir(parents=True, exist_ok=True)
    choice = accel.choose(arch, machine, image.kernel, options.mode)
    if options.probe:
        join([image.initrd, image.probe], joined)
    launch = Launch(
        program=proc.resolve(arch.qemu),
        machine=machine,
        kernel=image.kernel,
        initrd=joined if options.probe else image.initrd,
        cmdline=qemu.cmdline(image.cmdline, machine, options.append, mode=options.mode, probe=options.probe),
        mode=options.mode,
        accel=choice.name,
        probe=options.probe,
        seed=options.seed,
        forwards=tuple((0, port) for port in options.forwards),
    )
    by_hand = qemu.argv(launch, BY_HAND)
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
        listener=Listener(transcript),
        blank=blank,
        by_hand=by_hand,
        clock=lambda: time.monotonic() - start,
    )
    stack.callback(system.close)
    if options.forwards and running.qmp:
        system.forwards = _forwards(system, running.qmp)
    return system


def _transcript(options: BootOptions, blank: BootRecord, by_hand: list[str]) -> Transcript:
    facts = {
        "image": blank.image,
        "machine": blank.machine,
        "mode": f"{blank.mode}{', probed' if blank.probed else ''}",
        "accelerator": f"{blank.accel} ({blank.accel_reason})",
        "qemu": blank.qemu_version,
        "host": ", ".join(f"{key} {value}" for key, value in blank.host.items()),
        "command": shlex.join(by_hand),
    }
    try:
        return Transcript(options.out / "transcript.txt", facts)
    except OSError as error:
        raise HostError(f"cannot write the transcript: {error}") from error


def _forwards(system: System, qmp: Qmp) -> dict[int, int]:
    try:
        found = qmp.forwards()
    except HarnessError:
        system.check()  # a QEMU that died says more than its silent monitor
        raise
    return found


def _blank(
    image: Image,
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
