"""Whether KVM can be trusted here. /dev/kvm can lie: only a Linux that boots under it proves it."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from harness import arch as arches
from harness import files, paths, proc
from harness.arch import Arch
from harness.child import QemuProcess
from harness.emulator import argv as qemu
from harness.emulator.argv import Accel, Channels, Launch
from harness.errors import HostError
from harness.spec.models.machine import MachineSpec, Qemu
from harness.system import host
from harness.system.channels import FileSource
from harness.system.record import Mode
from harness.text import of_error

KVM = Path("/dev/kvm")
TRIAL_S = 8.0  # a Linux that KVM really runs says its last word within one
LAST_WORDS = (b"Unable to mount root fs", b"No working init found", b" harness: ")


@dataclass(frozen=True)
class Choice:
    """An accelerator and why it was taken."""

    name: Accel
    reason: str


def choose(arch: Arch, machine: MachineSpec, kernel: Path | None, mode: Mode) -> Choice:
    """Return the accelerator of a boot: what the machine's YAML demands, or under ``auto`` what is proven.

    `kernel` is one that is known to boot, with which KVM can be tried; None when there is none.
    """
    if mode == "exact":
        return Choice("tcg", "exact boots count instructions")
    wanted = qemu.emulated(machine).accel
    if wanted == "auto":
        return verdict(arch, kernel)
    if wanted == "kvm" and (reason := unusable(arch)):
        raise HostError(f"{machine.name} demands KVM: {reason}", hint="`accel: auto` takes KVM where it works")
    return Choice(wanted, "the machine's YAML demands it")


def unusable(arch: Arch, device: Path | None = None) -> str:
    """Return why KVM cannot even be tried for `arch`; empty when it can. `device` in the place of /dev/kvm."""
    device = device or KVM
    if platform.machine() != arch.kvm_host:
        return f"this host is {platform.machine()}"
    if not device.exists():
        return f"there is no {device}"
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except PermissionError:
        return f"no permission to use {device}: add yourself to its group ({device.group()})"
    except OSError as error:
        return f"{device} cannot be opened: {error.strerror}"
    return ""


def verdict(arch: Arch, kernel: Path | None, device: Path | None = None, *, trial_s: float = TRIAL_S) -> Choice:
    """Return KVM when `kernel` boots under it, else TCG, with the reason.

    Tried once per boot of the host, QEMU version and architecture; remembered in the cache folder.
    """
    reason = unusable(arch, device)
    if reason:
        return Choice("tcg", f"no KVM: {reason}")
    from filelock import FileLock

    folder = paths.cache_dir()
    key = f"{arch.name} {host.boot_id()} {host.qemu_version(arch)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "accel.lock"):
            known = _load(folder / "accel.json")
            if key not in known:
                if kernel is None:
                    return Choice("tcg", "KVM has not been proven here yet: harness doctor tries it")
                known[key] = _try(arch, kernel, trial_s)
                _save(folder / "accel.json", known)
            return known[key]
    except OSError as error:
        raise HostError(
            f"cannot keep the verdict on KVM: {of_error(error)}", hint="set HARNESS_CACHE to a writable folder"
        ) from error


def _load(path: Path) -> dict[str, Choice]:
    try:
        rows = files.read_json(path, HostError)
        return {key: Choice(**row) for key, row in rows.items()}
    except (HostError, TypeError, AttributeError):
        return {}  # no verdict, or not ours: it is made anew


def _save(path: Path, known: dict[str, Choice]) -> None:
    current = {key: row for key, row in known.items() if f" {host.boot_id()} " in key}
    files.write_json(path, {key: asdict(row) for key, row in current.items()})


def _try(arch: Arch, kernel: Path, trial_s: float) -> Choice:
    with tempfile.TemporaryDirectory(prefix="harness-kvm-") as folder:
        raw = Path(folder, "console")
        launch = Launch(
            program=proc.resolve(arch.qemu),
            machine=_plain(arch),
            kernel=kernel,
            cmdline=f"console={arch.console} panic=-1",
            accel="kvm",
        )
        began = time.monotonic()
        argv = qemu.argv(launch, Channels(console=f"file,path={qemu.escape(raw)}"))
        process = QemuProcess(argv, Path(folder, "log"))
        source = FileSource(raw, lambda: process.poll() is None)
        heard = b""
        try:
            while (left := began + trial_s - time.monotonic()) > 0:
                data = source.read(min(left, 0.2))
                if data is None:
                    break
                heard = (heard + data)[-(1 << 20) :]
                if any(words in heard for words in LAST_WORDS):
                    return Choice("kvm", f"a Linux booted under it in {time.monotonic() - began:.1f} s")
        finally:
            ended = process.poll()
            process.kill()
            source.close()
        if ended is None:
            return Choice("tcg", f"KVM opens, but a Linux did not come up under it within {trial_s:g} s")
        words = process.words().splitlines()
        return Choice("tcg", f"KVM opens, but QEMU ended under it ({words[-1] if words else f'exit code {ended}'})")


def _plain(arch: Arch) -> MachineSpec:
    made = Qemu(
        machine=arch.qemu_machine,
        cpu=arch.cpu,
        virtio="pci",  # it has no such device
        network=False,
        rng=False,
    )
    return MachineSpec(
        name="trial", path=Path(), digest="", arch=arches.by_name(arch.name).name, console=arch.console, drive=made
    )
