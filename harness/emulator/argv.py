"""All that is known of QEMU's command line, as a pure function."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.arch import ARCHES
from harness.emulator.disk import DiskSnapshot
from harness.emulator.firmware import Firmware, Flash
from harness.spec.models.machine import MachineSpec, Qemu
from harness.system.milestones import RTC_BASE
from harness.system.options import PublishedPort
from harness.system.record import Mode

Accel = Literal["tcg", "kvm"]

PROBE_PORT = "harness.probe"

# What pins everything that could vary: one instruction is one nanosecond of the guest's time.
EXACT = (
    *("-accel", "tcg,thread=single"),
    *("-icount", "shift=0,sleep=off"),
    *("-rtc", f"base={RTC_BASE},clock=vm"),
)
ACCEL = {"tcg": ("-accel", "tcg"), "kvm": ("-accel", "kvm")}


@dataclass(frozen=True)
class VirtioTransport:
    """How virtio devices of one transport are spelled: options of each, and of the transport when exact."""

    suffix: str
    exact: str = ""  # option of every device in exact mode: no event that the host's scheduler times
    exact_global: tuple[str, ...] = ()
    nic: str = ""  # option of network cards
    cd: tuple[str, ...] = ()  # a CD drive, and what it hangs on, as devices; () where there is none


TRANSPORTS = {
    "pci": VirtioTransport("pci", exact="ioeventfd=off", nic="romfile=", cd=("virtio-scsi-pci", "scsi-cd")),
    "ccw": VirtioTransport("ccw", exact="ioeventfd=off", cd=("virtio-scsi-ccw", "scsi-cd")),
    "device": VirtioTransport("device", exact_global=("-global", "virtio-mmio.ioeventfd=off")),
}


# How an image's disk is attached, as devices: what it hangs on, and the drive. {} is the transport's suffix.
MEDIA: dict[str, tuple[str, ...]] = {
    "virtio": ("virtio-blk-{}",),
    "nvme": ("nvme,serial=disk",),
    "scsi": ("virtio-scsi-{}", "scsi-hd"),
    "sata": ("ich9-ahci,id=sata", "ide-hd,bus=sata.0"),
    "usb": ("qemu-xhci", "usb-storage"),
}


@dataclass(frozen=True)
class Channels:
    """QEMU's character devices, each as the part of ``-chardev`` before ``,id=``; empty: the machine has none."""

    console: str
    probe: str = ""
    qmp: str = ""


@dataclass(frozen=True)
class Launch:
    """One start of QEMU. ``forwards`` pairs a port of 127.0.0.1 (0: a free one) with the guest's TCP port.

    ``published`` are such pairs that were asked for, with their protocol.
    """

    program: str
    machine: MachineSpec
    kernel: Path | None  # without one the firmware boots the CD or the disk
    cmdline: str
    initrd: Path | None = None
    disk: DiskSnapshot | None = None
    disks: tuple[Path, ...] = ()  # of the machine, raw: what is written to them stays
    iso: Path | None = None
    firmware: Firmware | None = None  # None: the machine's own
    mode: Mode = "wall"
    accel: Accel = "tcg"
    probe: bool = False
    seed: int = 1
    forwards: tuple[tuple[int, int], ...] = ()
    published: tuple[PublishedPort, ...] = ()
    frames: Path | None = None  # where QEMU writes down what the guest sends, by its own clock; None: nowhere
    screen: str = ""  # the device that gives it a screen


# How a person repeats a boot by hand: the console on the terminal, nobody at the other ends.
BY_HAND = Channels(console="stdio", probe="null", qmp="null")


def escape(value: str | Path) -> str:
    """Return `value` as QEMU wants it inside an option: commas doubled."""
    return str(value).replace(",", ",,")


def emulated(machine: MachineSpec) -> Qemu:
    """Return how QEMU makes a machine, which is not a board."""
    assert machine.qemu is not None
    return machine.qemu


def cpu(machine: MachineSpec, accel: Accel) -> str:
    """Return the CPU model to ask for: the machine's own, or the host's under KVM."""
    return "host" if accel == "kvm" else emulated(machine).cpu


def boots_disks(machine: MachineSpec) -> bool:
    """Say whether the machine has a firmware of its own that boots a disk or CD without a kernel from outside."""
    return any(one.boots_disks and is_type(machine, one.name) for one in ARCHES[machine.arch].machine_types)


def cd_drive(machine: MachineSpec) -> tuple[str, ...]:
    """Return the devices that a CD needs on a machine; () when it can have none."""
    kinds = ARCHES[machine.arch].machine_types
    own = (one.cd for one in kinds if one.cd and is_type(machine, one.name))
    return next(own, TRANSPORTS[emulated(machine).virtio].cd)


def is_type(machine: MachineSpec, name: str) -> bool:
    """Say whether a machine is of a type of QEMU's, in any of its versions."""
    kind = emulated(machine).machine.partition(",")[0]
    return kind == name or kind.startswith((f"{name}-", f"pc-{name}-"))


def _chardev(name: str, spec: str) -> list[str]:
    backend, _, options = spec.partition(",")
    return ["-chardev", ",".join(filter(None, [backend, f"id={name}", options]))]


def _device(*parts: str) -> list[str]:
    return ["-device", ",".join(filter(None, parts))]


def _devices(launch: Launch, probe: str) -> list[str]:
    qemu, exact = emulated(launch.machine), launch.mode == "exact"
    transport = TRANSPORTS[qemu.virtio]
    still = transport.exact if exact else ""
    argv: list[str] = [*transport.exact_global] if exact else []
    # its answers come whenever QEMU's main loop gets to them: it moved exact boots by up to 10 µs
    if qemu.rng and not exact:
        argv += ["-object", "rng-builtin,id=rng", *_device(f"virtio-rng-{transport.suffix}", "rng=rng")]
    if qemu.network:
        forwards = [f"hostfwd=tcp:127.0.0.1:{outside}-:{inside}" for outside, inside in launch.forwards]
        published = [f"hostfwd={kind}:127.0.0.1:{outside}-:{inside}" for outside, inside, kind in launch.published]
        argv += ["-netdev", ",".join(["user", "id=net", *forwards, *published])]
        argv += _device(
            f"virtio-net-{transport.suffix}", "netdev=net", transport.nic, still, "tx=timer" if exact else ""
        )
        if launch.frames:  # of what goes into the queue to the host: what comes from there is nobody's witness
            argv += ["-object", f"filter-dump,id=frames,netdev=net,queue=rx,file={escape(launch.frames)}"]
    if launch.disk:
        drive = f"if=none,id=disk,format={launch.disk.format},snapshot=on,file={escape(launch.disk.path)}"
        if launch.disk.overlay:
            drive = f"if=none,id=disk,format=qcow2,file={escape(launch.disk.overlay)}"
        argv += ["-drive", drive, *_medium(launch, qemu.medium, "disk", "bootindex=2")]
    for number, path in enumerate(launch.disks):
        argv += ["-drive", f"if=none,id=disk{number},format=raw,discard=unmap,file={escape(path)}"]
        argv += _device(f"virtio-blk-{transport.suffix}", f"drive=disk{number}", f"serial=disk{number}", still)
    if launch.iso:
        stick = qemu.medium == "usb"
        kind = "media=disk,snapshot=on" if stick else "media=cdrom,readonly=on"
        argv += ["-drive", f"if=none,id=cd,{kind},format=raw,file={escape(launch.iso)}"]
        argv += _medium(launch, "usb" if stick else "cd", "cd", "bootindex=1")
    if launch.probe:
        argv += [*_chardev("probe", probe), *_device(f"virtio-serial-{transport.suffix}", still)]
        argv += _device("virtserialport", "chardev=probe", f"name={PROBE_PORT}")
    return argv


def _medium(launch: Launch, medium: str, drive: str, first: str) -> list[str]:
    """Return the devices of a disk, or of a CD's drive; the firmware boots it `first` where no kernel is given."""
    transport = TRANSPORTS[emulated(launch.machine).virtio]
    still = transport.exact if launch.mode == "exact" else ""
    *parents, device = (one.format(transport.suffix) for one in MEDIA.get(medium) or cd_drive(launch.machine))
    words = [word for one in parents for word in _device(one, still if one.startswith("virtio") else "")]
    own = still if device.startswith("virtio") else ""
    return [*words, *_device(device, f"drive={drive}", own, "" if launch.kernel else first)]


def _flash(firmware: Firmware) -> list[str]:
    chips = [(firmware.code, "readonly=on,"), (firmware.variables, "snapshot=on,")]
    if firmware.kept:
        chips[1] = (Flash(firmware.kept, firmware.variables.format), "")
    return [
        word
        for unit, (flash, how) in enumerate(chips)
        for word in ("-drive", f"if=pflash,unit={unit},format={flash.format},{how}file={escape(flash.path)}")
    ]


def argv(launch: Launch, channels: Channels) -> list[str]:
    """Return QEMU's whole command line."""
    qemu = emulated(launch.machine)
    words = [launch.program, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
    words += ["-machine", qemu.machine, "-cpu", cpu(launch.machine, launch.accel)]
    words += ["-smp", str(qemu.cpus), "-m", f"{qemu.memory}M"]
    words += [*EXACT, "-seed", str(launch.seed)] if launch.mode == "exact" else ACCEL[launch.accel]
    words += [*_chardev("console", channels.console), "-serial", "chardev:console"]
    words += [*_chardev("qmp", channels.qmp), "-mon", "chardev=qmp,mode=control"] if channels.qmp else []
    words += _flash(launch.firmware) if launch.firmware else []
    words += _devices(launch, channels.probe)
    words += _device(launch.screen) if launch.screen else []
    words += ["-kernel", str(launch.kernel)] if launch.kernel else []
    words += ["-initrd", str(launch.initrd)] if launch.initrd else []
    words += ["-append", launch.cmdline] if launch.kernel else []
    return [*words, *qemu.args]
