"""From an Image and a MachineSpec to a running System."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from math import ceil

from harness import arch as arches
from harness.emulator import driver as qemudriver
from harness.errors import HostError, ImageError, UserError
from harness.image import Bootable, end_of
from harness.spec.models.machine import MachineSpec
from harness.store import file_digest
from harness.system.driver import Prepared
from harness.system.folder import BootFolder
from harness.system.listener import Listener
from harness.system.milestones import finder
from harness.system.options import BootOptions
from harness.system.system import System
from harness.system.transcript import Transcript
from harness.text import of_error

LAST_PORT = 65535
MIB = 1 << 20
STEP_MIB = 64  # in which an amount of memory is named
Prepare = Callable[[Bootable, MachineSpec, BootOptions, ExitStack], Prepared]


@contextmanager
def boot(image: Bootable, machine: MachineSpec, options: BootOptions) -> Iterator[System]:
    """Start `image` on `machine` and give the running System; the machine is off when the block is left, however.

    Raises UserError (image and machine do not fit), HostError (no QEMU, no room), MachineError (QEMU or board fails).
    """
    _check(image, machine, options)
    with ExitStack() as stack:
        yield _start(image, machine, options, stack)


def _check(image: Bootable, machine: MachineSpec, options: BootOptions) -> None:
    if image.arch.name != arches.by_name(machine.arch).name:
        raise UserError(f"{image.name} is for {image.arch.name}, but {machine.name} is {machine.arch}")
    if options.mode == "exact" and not machine.counts:
        raise UserError(f"{machine.name} cannot count instructions: {machine.why_not_exact}")
    if options.mode == "exact" and (options.forwards or options.published or options.reboot):
        raise UserError("forwarded ports and reboots are for wall boots: an exact boot takes no events from outside")
    if wrong := [port for port in options.forwards if not 0 < port <= LAST_PORT]:
        raise UserError(f"{wrong[0]} is not a TCP port to forward: 1 to {LAST_PORT}")
    parts = image.parts
    if not parts.shipped:
        raise UserError(f"{image.name} has no file that boots", hint="build it as kernel+initrd")
    if options.probe and parts.probe is None:
        raise UserError(f"{image.name} has no probe: nothing of ours is put into a foreign OS")
    for part, file in {**parts.shipped, **({"probe": parts.probe} if options.probe and parts.probe else {})}.items():
        if not file.is_file():
            raise UserError(f"{file.parent} has no file {file.name!r}", hint="build the image again")
        if part in parts.digests and file_digest(file) != parts.digests[part]:
            raise ImageError(f"{file} is not the file that its manifest names", hint="build the image again")
    _check_memory(image, machine, options)


def _check_memory(image: Bootable, machine: MachineSpec, options: BootOptions) -> None:
    """Refuse an image of ours that surely does not fit into the memory of a machine of QEMU's.

    The kernel gives the files of an initrd half of what it has at most, while the initrd itself lies beside them.
    """
    if machine.qemu is None or not image.manifest or image.parts.initrd is None:
        return
    files = [image.parts.initrd, *([image.parts.probe] if options.probe and image.parts.probe else [])]
    size = sum(file.stat().st_size for file in files) / MIB
    surely, at_most = image.arch.kernel_mib
    memory = machine.qemu.memory
    if memory < 3 * size + surely:
        wanted = ceil((3 * size + at_most) / STEP_MIB) * STEP_MIB
        raise UserError(
            f"{image.name} does not fit into the memory of {machine.name}: three times its initrd of {size:.0f} MiB "
            f"and {surely} MiB of the kernel's make {3 * size + surely:.0f} MiB, and it has {memory}",
            hint=f"give it `qemu: {{memory: {wanted}}}`, or boot with --memory {wanted}M",
        )


def _prepare_of(machine: MachineSpec) -> Prepare:
    """Return what prepares such a machine: the one place that tells QEMU and boards apart."""
    if machine.board is None:
        return qemudriver.prepare
    from harness.board.driver import prepare  # who boots no board needs nothing of it

    return prepare


def _start(image: Bootable, machine: MachineSpec, options: BootOptions, stack: ExitStack) -> System:
    made = _prepare_of(machine)(image, machine, options, stack)
    transcript = stack.enter_context(_transcript(options, made))
    system = System(
        image=image,
        machine=machine,
        options=options,
        driver=made.driver,
        listener=Listener(transcript, finder(image), end_of(image).console),
        blank=made.blank,
    )
    stack.callback(system.close)
    system.meet()
    return system


def _transcript(options: BootOptions, made: Prepared) -> Transcript:
    blank = made.blank
    facts = {
        "image": blank.image,
        "machine": blank.machine,
        "mode": f"{blank.mode}{', probed' if blank.probed else ''}",
        **made.facts,
        "host": ", ".join(f"{key} {value}" for key, value in blank.host.items()),
        "command": made.driver.by_hand,
    }
    try:
        return Transcript(BootFolder(options.out).transcript, facts)
    except OSError as error:
        raise HostError(f"cannot write the transcript: {of_error(error)}") from error
