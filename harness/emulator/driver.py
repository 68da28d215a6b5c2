"""QEMU as a driver: started at once, started again after a reset, and gone with the harness."""

from __future__ import annotations

import shlex
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from harness import proc
from harness.child import QemuProcess
from harness.emulator import accel, firmware, screen
from harness.emulator import argv as qemu
from harness.emulator.accel import Choice
from harness.emulator.argv import BY_HAND, Launch, emulated
from harness.emulator.disk import DiskSnapshot, disk_of, make_overlay, overlay_name
from harness.emulator.inputs import inputs
from harness.emulator.qmp import Qmp
from harness.emulator.running import FRAMES, Running, run_qemu, sweep
from harness.errors import HarnessError, HostError, MachineError, UserError
from harness.image import Bootable
from harness.spec.models.machine import MachineSpec
from harness.system import host
from harness.system.channels import ConsoleSource
from harness.system.cmdline import cmdline as whole_cmdline
from harness.system.driver import Booted, Prepared, expected
from harness.system.frames import Frame
from harness.system.milestones import Milestone
from harness.system.options import BootOptions
from harness.system.probe import ProbeShell
from harness.system.record import BootRecord
from harness.system.segments import join, join_by_hand
from harness.system.shell import Shell
from harness.text import of_error

T = TypeVar("T")
SETTLE_S = 0.5  # for a QEMU whose monitor is gone to end
DRAIN_S = 10.0  # for a QEMU whose console has ended to end
LOOPBACK = "127.0.0.1"
MOST_RESETS = 10_000  # where a reset is asked for
MOST_MOMENTS = 100_000  # at which a console or a network was heard
LOADER_RESETS = 10  # where it is not: a boot loader that falls back to another system does so by a reset


class QemuDriver:
    """A started QEMU, and the ones that follow it after resets."""

    awaited = ""

    def __init__(self, launch: Launch, options: BootOptions, by_hand: str) -> None:
        """Start QEMU; HostError: not installed, no console to be made."""
        self.launch, self.options, self.by_hand = launch, options, by_hand
        self.starts = 1
        self.forwards: Mapping[int, tuple[str, int]] = {}
        self._start = time.monotonic()
        self.running = run_qemu(launch, options.out)
        self._ended = False
        self._waited: dict[float, float | None] = {}  # by the time of the host, since the start
        self._resets = MOST_RESETS if options.reboot else 0
        if options.mode == "wall" and launch.kernel is None:
            self._resets = max(self._resets, LOADER_RESETS)
        self._turn = threading.Lock()  # who holds it starts or ends QEMU
        self._probe: ProbeShell | None = None

    @property
    def process(self) -> QemuProcess:
        """The QEMU that runs now, or ran last."""
        return self.running.process

    def open(self) -> ConsoleSource:
        """Return the console of the first start."""
        return self.running.source

    def clock(self) -> float:
        """Return the seconds since QEMU's start; how long it had waited for a processor then is remembered."""
        now = time.monotonic() - self._start
        if len(self._waited) < MOST_MOMENTS:
            self._waited[now] = self.process.waited()
        return now

    def frames(self) -> Sequence[Frame]:
        """Return the frames that the guest has sent since this was last asked."""
        return self.running.frames.read() if self.running.frames else ()

    def timed(self, marks: list[Milestone]) -> list[Milestone]:
        """Return them with how long QEMU had waited for a processor when they were heard."""
        return [replace(mark, waited_s=self._waited.get(mark.host_s)) for mark in marks]

    def meet(self) -> None:
        """Make QEMU tell of resets, and learn the forwarded ports."""
        if self._resets:
            self._ask(Qmp.greet)
        if self.options.forwards:
            self.forwards = {inside: (LOOPBACK, outside) for inside, outside in self._ask(Qmp.forwards).items()}

    def poll(self) -> int | None:
        """Return QEMU's exit code, None while it runs."""
        return self.process.poll()

    def wait(self, timeout: float) -> int | None:
        """Wait for QEMU's end."""
        return self.process.wait(timeout)

    def death(self, code: int) -> str:
        """Say how QEMU ended."""
        return f"QEMU was ended by {_signal(-code)}" if code < 0 else f"QEMU ended with exit code {code}"

    def words(self) -> str:
        """Return what QEMU said."""
        said = self.process.words()
        return f"QEMU said: {said}" if said else ""

    def screen(self) -> Path | None:
        """Return a picture of the machine's screen; where it has none, of the same boot on a machine that has one."""
        out, running = self.options.out, self.running.qmp
        with self._turn:
            found = screen.take(running, out / screen.FILE) if running else None
        try:
            return found or screen.boot(self.launch, out, patience=self.options.timeout_multiplier)
        except (HarnessError, OSError):
            return None  # it is beside a message that tells of something else

    def press(self) -> bool:
        """Press the machine's power button."""
        self._ask(lambda qmp: qmp.execute("system_powerdown"))
        return True

    def reset(self) -> None:
        """Press the machine's reset button."""
        self._ask(lambda qmp: qmp.execute("system_reset"))

    def off(self) -> None:
        """End QEMU."""
        with self._turn:
            self._ended = True
            self.process.kill()

    def shell(self, system: Booted) -> Shell | None:
        """Return the shell of a probed boot."""
        if self._probe is None and self.running.probe:
            patience = self.options.timeout_multiplier
            self._probe = ProbeShell(self.running.probe, system.check, system.boots, patience)
        return self._probe

    def prove(self, system: Booted) -> None:
        """Do nothing: QEMU was given the files themselves."""

    def close(self) -> None:
        """End QEMU and let go of its channels."""
        with self._turn:
            self._ended = True
            self.running.close()

    def again(self) -> ConsoleSource | None:
        """Start a fresh QEMU when a reset has ended this one.

        One that resets its machine runs on over memory that has held code, which TCG pays for with seconds to minutes.
        """
        with self._turn:
            old = self.running
            if self._ended or self.starts > self._resets or old.process.wait(DRAIN_S) != 0:
                return None
            if old.qmp is None or not old.qmp.ended_by_reset():
                return None
            known = tuple((outside, inside) for inside, (_, outside) in self.forwards.items())
            launch = replace(self.launch, forwards=known or self.launch.forwards)
            old.close()
            self.running = new = run_qemu(launch, self.options.out)
            self.starts += 1
            try:
                if new.qmp:
                    new.qmp.greet()
            except MachineError:
                if new.process.wait(SETTLE_S) is None:
                    new.source.close()
                    raise
                # else it has died: the end of its console is heard next, and its own words are told
            if self._probe and new.probe:
                self._probe.attach(new.probe)
        return new.source

    def _ask(self, question: Callable[[Qmp], T]) -> T:
        """Ask QEMU's monitor, and nobody starts another QEMU meanwhile."""
        try:
            with self._turn:
                if self.running.qmp is None:
                    raise UserError("an exact boot takes no events from outside", hint="boot in wall mode")
                return question(self.running.qmp)
        except MachineError:
            self.process.wait(SETTLE_S)
            raise


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def prepare(image: Bootable, machine: MachineSpec, options: BootOptions, stack: ExitStack) -> Prepared:
    """Start a QEMU that has `image`; `stack` ends it. HostError (no QEMU, no room), UserError (they do not fit)."""
    _check(image, machine, options)
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
        disk=_disk(parts.disk, options, stack) if parts.disk else None,
        disks=_disks(machine, options, stack),
        iso=parts.iso,
        firmware=_uefi(machine, options, stack) if firmware.needed(machine, parts) else None,
        cmdline=whole_cmdline(
            image.cmdline,
            machine,
            options.append,
            mode=options.mode,
            probe=options.probe,
        ),
        mode=options.mode,
        accel=choice.name,
        probe=options.probe,
        seed=options.seed,
        forwards=tuple((0, port) for port in options.forwards),
        published=options.published,
        frames=options.out / FRAMES if _has_witness(image, machine, options) else None,
    )
    by_hand = shlex.join(qemu.argv(replace(launch, frames=None), BY_HAND))
    if options.probe:
        by_hand = f"{join_by_hand(segments, joined)} && {by_hand}"
    stack.callback(sweep, options.out)
    driver = QemuDriver(launch, options, by_hand)
    stack.callback(driver.running.close)
    blank = _blank(image, machine, options, launch, choice, driver.running, version)
    facts = {"accelerator": f"{blank.accel} ({blank.accel_reason})", "qemu": blank.qemu_version}
    return Prepared(driver, blank, facts)


def _has_witness(image: Bootable, machine: MachineSpec, options: BootOptions) -> bool:
    """Say whether frames are written down: for their exact time, or because one is a milestone."""
    return emulated(machine).network and (options.mode == "exact" or any(row.packet for row in image.milestones))


def _disk(path: Path, options: BootOptions, stack: ExitStack) -> DiskSnapshot:
    """Return an OS's disk. In a wall boot what the OS writes lives as long as the System, or in the folder of disks."""
    disk = disk_of(path)
    if options.mode == "exact":
        return disk
    folder = options.disks or options.out
    overlay = folder / overlay_name(disk)
    make_overlay(disk, overlay)
    if options.disks is None:
        stack.callback(overlay.unlink, missing_ok=True)
    return replace(disk, overlay=overlay)


def _uefi(machine: MachineSpec, options: BootOptions, stack: ExitStack) -> firmware.Firmware:
    """Return a machine's UEFI. In a wall boot it remembers what it is told, likewise."""
    found = firmware.uefi(machine)
    if options.mode == "exact":
        return found
    found = firmware.keep_variables(found, options.disks or options.out)
    if options.disks is None and found.kept:
        stack.callback(found.kept.unlink, missing_ok=True)
    return found


def _disks(machine: MachineSpec, options: BootOptions, stack: ExitStack) -> tuple[Path, ...]:
    """Return the files of the machine's disks, made where they are not there; HostError when they cannot be."""
    folder, made = options.disks or options.out, []
    for number, size in enumerate(emulated(machine).disks):
        path = folder / f"disk{number}.raw"
        try:
            with path.open("ab") as file:
                if file.tell() < size << 20:
                    file.truncate(size << 20)  # takes no room until it is written to
        except OSError as error:
            raise HostError(f"cannot make the machine's disk {path}: {error.strerror}") from None
        if options.disks is None:
            stack.callback(path.unlink, missing_ok=True)
        made.append(path)
    return tuple(made)


def _check(image: Bootable, machine: MachineSpec, options: BootOptions) -> None:
    if (options.forwards or options.published) and not machine.network:
        raise UserError(f"{machine.name} has no network to forward ports into")
    for outside, _, kind in options.published:
        _bind(outside, kind)
    parts = image.parts
    if parts.kernel is None and not firmware.needed(machine, parts) and not qemu.boots_disks(machine):
        raise UserError(
            f"{machine.name} has no firmware of its own that boots a disk or CD",
            hint="`firmware: uefi` in the OS's YAML, or its kernel and initrd beside the disk",
        )
    if parts.iso and not qemu.cd_drive(machine):
        raise UserError(f"{machine.name} has no CD drive", hint="a machine with PCI or channels, such as qemu-x86_64")


def _bind(port: int, kind: str) -> None:
    """Take a port of this host and give it back, for QEMU to take: HostError where it cannot be had."""
    how = socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, how) as one:
        try:
            if kind == "tcp":
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as QEMU does
            one.bind((LOOPBACK, port))
        except OSError as error:
            hint = "publish it at another, or --forward for a free one"
            raise HostError(f"port {port}/{kind} of {LOOPBACK}: {of_error(error)}", hint=hint) from None


def _blank(
    image: Bootable,
    machine: MachineSpec,
    options: BootOptions,
    launch: Launch,
    choice: Choice,
    running: Running,
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
        argv=tuple(running.argv),
        cmdline=launch.cmdline,
        cpu=qemu.cpu(machine, choice.name),
        machine_type=emulated(machine).machine
        + (f" with UEFI {uefi.digest[:12]}" if (uefi := launch.firmware) else ""),
        qemu_version=version,
        host=host.facts(),
        expected=expected(image),
        memory=emulated(machine).memory,
        devices=tuple(value for option, value in pairwise(running.argv) if option == "-device"),
        extra_args=emulated(machine).args,
        seed=options.seed if options.mode == "exact" else None,
        inputs=inputs(launch),
    )
