"""Boots what an evidence archive holds once more, in exact time, and compares. The image and the machine are a
stranger's: QEMU is started without a network of the host's, and only as a machine that is plain."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import proc
from harness.arch import Arch, by_name
from harness.certify import evidence, identity
from harness.certify.verify import CheckResult, Unpacked, exact_records, unlike
from harness.errors import EvidenceError, HarnessError, ImageError
from harness.image import ForeignImage, Image
from harness.launch.exact import compare, exact_boot
from harness.spec import machines
from harness.spec.load import check_machine
from harness.spec.models.machine import MachineSpec, Qemu
from harness.spec.text.reader import read
from harness.store import file_digest
from harness.system.cmdline import cmdline as whole_cmdline
from harness.system.record import BootRecord

TIMEOUT_S = 600.0
# What a stranger's machine may ask of QEMU: no file, no host device, no program.
_PLAIN = re.compile(r"[a-z0-9][a-z0-9.-]*(,(hpet|acpi|pit|pic|rtc|its|secure|virtualization|highmem)=(on|off))*")
_CPU = re.compile(r"[A-Za-z0-9][\w.-]*(,([+-][\w.-]+|[\w.-]+=(on|off)))*")
# Keeps the guest from this host's network, and QEMU from outliving its starter, which such a change makes it forget.
ALONE = ("unshare", "--user", "--map-current-user", "--net", "--")
PROCESSOR = "the host's processor"
OTHER_PROCESSOR = """between processors x86_64's times were seen to differ by some µs (docs/tutorial-performance.md): \
before you call it false, verify on a host with the processor of then"""


@dataclass(frozen=True)
class Kept(Image):
    """The image of an archive, booted by a QEMU that was named."""

    program: str = ""

    @property
    def arch(self) -> Arch:
        """Its architecture, with that QEMU."""
        return replace(by_name(self.manifest["arch"]), qemu=self.program)


@dataclass(frozen=True)
class KeptForeign(ForeignImage):
    """The foreign OS of an archive, likewise."""

    program: str = ""

    @property
    def arch(self) -> Arch:
        """Its architecture, with that QEMU."""
        return replace(by_name(self.spec.os.arch), qemu=self.program)


@dataclass(frozen=True)
class Again:
    """What came of booting again: what to say, and whether it was done."""

    finding: CheckResult
    done: bool


def execute(found: Unpacked, out: Path, *, qemu_path: Path | None = None, multiplier: float = 1.0) -> Again:
    """Boot the archive's image as its first exact boot was, and compare; EvidenceError when it is not the same.

    Where this host's QEMU or harness is another one, it says so and does nothing.
    """
    records, machine = exact_records(found), _machine(found)
    if not records:
        return _not(": ".join(filter(None, ["no exact boot is in the evidence", machine.why_not_exact])))
    if why := unlike(records):
        return _not(why)
    arch = by_name(found.certificate["machine"]["arch"])
    if qemu_path is not None:
        arch = replace(arch, qemu=str(qemu_path.absolute()))
    try:
        why = _why_not(found, machine, arch, next(iter(records.values())))
    except HarnessError as error:
        return _not(error.message)
    if why:
        return _not(why)
    program, is_alone = alone(proc.resolve(arch.qemu), out)
    whole = evidence.image_of(found.folder, found.certificate["image"])
    image = KeptForeign(whole.spec, program) if isinstance(whole, ForeignImage) else Kept(whole.folder, program)
    try:
        record = exact_boot(image, machine, out, timeout=TIMEOUT_S, multiplier=multiplier)
    except ImageError as error:
        raise EvidenceError("the image was booted again and did not come to ready", details=str(error)) from error
    for folder, then in records.items():
        _same(folder, then, record)
    where = "" if is_alone else "; not kept from this host's network, for unshare cannot do that here"
    ready = (record.ready_us or 0) / 1000
    text = (
        f"the exact boot: {len(record.milestones)} milestones and every byte of the console up to ready, {ready:.3f} ms"
    )
    return Again(CheckResult("re-executed", text + where), done=True)


def _not(why: str) -> Again:
    return Again(CheckResult("not re-executed", f"the exact boots: not re-executable here: {why}"), done=False)


def _machine(found: Unpacked) -> MachineSpec:
    made, complaints = check_machine(read(found.folder / evidence.MACHINE))
    if made is None:
        raise EvidenceError(f"{evidence.MACHINE} is none for this harness", details="\n".join(map(str, complaints)))
    return made.model_copy(update={"name": str(found.certificate["machine"]["name"])})


def _why_not(found: Unpacked, machine: MachineSpec, arch: Arch, then: BootRecord) -> str:
    """Return why the boot cannot be made again as it was; empty when it can."""
    if machine.qemu is None:
        return "it was booted on a board"
    own = {file_digest(path) for path in machines().values()}
    if machine.digest not in own and not is_plain(machine.qemu):
        return f"{evidence.MACHINE} gives QEMU arguments that could reach this host's files"
    image = evidence.image_of(found.folder, found.certificate["image"])
    if differ := identity.differences(_mapping(found.certificate["qemu"]), identity.of(arch, machine, image)):
        return f"{'; '.join(differ)} (--qemu PATH names another one)"
    if whole_cmdline(image.cmdline, machine, image.off_words, mode="exact", probe=False) != then.cmdline:
        return "this harness gives the kernel another command line"
    return ""


def is_plain(machine: Qemu) -> bool:
    """Say whether a machine asks QEMU for nothing that could reach this host's files, devices or programs."""
    return bool(_PLAIN.fullmatch(machine.machine) and _CPU.fullmatch(machine.cpu)) and not machine.args


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def alone(program: str, out: Path) -> tuple[str, bool]:
    """Return a program that runs QEMU without the host's network, and whether that could be had."""
    try:
        proc.run([*ALONE, "true"], timeout=20)
    except HarnessError:
        return program, False
    out.mkdir(parents=True, exist_ok=True)
    script = out / "qemu"
    words = [*ALONE, proc.resolve("setpriv"), "--pdeathsig", "KILL", "--", program]
    script.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    script.chmod(0o755)
    return str(script), True


def _same(folder: str, then: BootRecord, now: BootRecord) -> None:
    pair = compare(then, now)
    if pair.repeats and then.power_on_us == now.power_on_us:
        return
    rows: Mapping[str, tuple[object, object]] = {
        "ready (µs)": (then.ready_us, now.ready_us),
        "power-on to the kernel's clock zero (µs)": (then.power_on_us, now.power_on_us),
        "console up to ready (sha256)": (then.console_sha256_ready, now.console_sha256_ready),
        "QEMU's arguments": (_arguments(then), _arguments(now)),
        PROCESSOR: (then.host.get("cpu"), now.host.get("cpu")),
    }
    details = "\n".join(f"{name}: {a} then, {b} now" for name, (a, b) in rows.items() if a != b)
    raise EvidenceError(
        f"the image was booted again, and it was not as {folder} says: {pair.moved or 'the console'} differs",
        details=details,
        hint=OTHER_PROCESSOR if PROCESSOR in details else "",
    )


def _arguments(record: BootRecord) -> str:
    """Return QEMU's arguments without the paths of a host."""
    return " ".join(re.sub(r"(?<=path=|file=)[^ ]*|^/[^ ]*", "PATH", word) for word in record.argv[1:])
