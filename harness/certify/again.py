"""Boots what an evidence archive holds once more, in exact time, and compares. The image and the machine are a
stranger's: QEMU is started in a sandbox, and only as a machine that is plain."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

from harness import proc
from harness.arch import Arch, by_name
from harness.certify import contents, identity, records, sandbox, variations
from harness.certify.derive import Derived
from harness.certify.recomputed import case_of
from harness.certify.verify import CheckResult, unlike
from harness.errors import EvidenceError, HarnessError, ImageError, MachineError
from harness.launch.exact import exact_boot, moved
from harness.spec import machines
from harness.spec.models.machine import MachineSpec, Qemu
from harness.store import file_digest
from harness.system import host
from harness.system.record import BootRecord

TIMEOUT_S = 600.0
BOOT = "the boot"  # what is missing when it was not booted again
# What a stranger's machine may ask of QEMU: no file, no host device, no program.
_PLAIN = re.compile(r"[a-z0-9][a-z0-9.-]*(,(hpet|acpi|pit|pic|rtc|its|secure|virtualization|highmem)=(on|off))*")
_CPU = re.compile(r"[A-Za-z0-9][\w.-]*(,([+-][\w.-]+|[\w.-]+=(on|off)))*")
PROCESSOR = "the host's processor"
OTHER_PROCESSOR = """between processors x86_64's times were seen to differ by some µs (docs/tutorial-performance.md): \
before you call it false, verify on a host with the processor of then"""


def execute(
    made: Derived, out: Path, *, qemu_path: Path | None = None, multiplier: float = 1.0, other_version: bool = False
) -> Iterator[CheckResult]:
    """Boot the archive's image as its first exact boot was, and compare; EvidenceError when it is not the same.

    Then it is booted in variations, which say whether the figures hold in kind. Where this host's QEMU or harness is
    another one, it says so and does nothing; where QEMU does not run the machine, it says so. Of what an
    `other_version` of the harness has booted, only what the machine did is compared.
    """
    try:
        yield from _execute(made, out, qemu_path, multiplier, MACHINES if other_version else ())
    except MachineError as error:
        yield not_done(
            f"QEMU does not run its machine here: {'; '.join([error.message, *error.details.splitlines()[:1]])}"
        )


def _execute(
    made: Derived, out: Path, qemu_path: Path | None, multiplier: float, only: tuple[str, ...]
) -> Iterator[CheckResult]:
    machine, image = made.sources.machine, made.sources.image
    if not made.exact:
        yield not_done(": ".join(filter(None, ["no exact boot is in the evidence", machine.why_not_exact])))
        return
    if why := unlike(made.exact):
        yield not_done(why)
        return
    arch = by_name(image.arch.name)
    if qemu_path is not None:
        arch = replace(arch, qemu=str(qemu_path.absolute()))
    try:
        why = _why_not(made, machine, arch)
    except HarnessError as error:
        yield not_done(error.message)
        return
    if why:
        yield not_done(why)
        return
    assert machine.qemu is not None
    files = tuple(image.parts.shipped.values())
    box = sandbox.prepare(proc.resolve(arch.qemu), out, files, machine.qemu.memory << 20)
    kept = replace(image, qemu=box.program)
    try:
        record = exact_boot(kept, machine, out, timeout=TIMEOUT_S, multiplier=multiplier)
    except ImageError as error:
        raise EvidenceError("the image was booted again and did not come to ready", details=str(error)) from error
    # what was started is the sandbox, whose QEMU was found to be that of then
    record = replace(record, inputs={**record.inputs, "qemu": next(iter(made.exact.values())).inputs.get("qemu", "")})
    for boot, then in made.exact.items():
        heard = records.read_console(out / contents.CONSOLE, image)
        _same(f"{contents.BOOTS}/{boot}", then, records.archived(record, boot, image, machine, heard), only)
    where = f"; not kept from {', '.join(box.lacks)}" if box.lacks else ""
    ready = (record.ready_us or 0) / 1000
    text = (
        f"the exact boot: {len(record.milestones)} milestones and every byte of the console up to ready, {ready:.3f} ms"
    )
    yield CheckResult("re-executed", text + where)
    claimed = any(row.outcome == "passed" and case_of(row.case) == variations.ALIKE for row in made.word.cases)
    yield from variations.check(record, variations.Stranger(kept, machine, out, TIMEOUT_S, multiplier), claimed=claimed)


def not_done(why: str) -> CheckResult:
    """Return the finding that nothing was booted again, and why."""
    return CheckResult("not re-executed", f"the exact boots: {why}", BOOT)


def _why_not(made: Derived, machine: MachineSpec, arch: Arch) -> str:
    """Return why the boot cannot be made again as it was; empty when it can."""
    if machine.qemu is None:
        return "it was booted on a board"
    own = {file_digest(path) for path in machines().values()}
    if machine.digest not in own and not is_plain(machine.qemu):
        return "the machine's YAML gives QEMU arguments that could reach this host's files"
    if machine.qemu.memory > (spare := host.spare_memory()):
        return f"its machine has {machine.qemu.memory} MiB of memory, and this host has {spare} to spare"
    then = made.certificate.qemu
    now = identity.of(arch, machine, made.sources.image)
    if differ := identity.differences(then.model_dump(mode="json") if then else {}, now):
        return f"not re-executable here: {'; '.join(differ)} (--qemu PATH names another one)"
    return ""


def is_plain(machine: Qemu) -> bool:
    """Say whether a machine asks QEMU for nothing that could reach this host's files, devices or programs."""
    return bool(_PLAIN.fullmatch(machine.machine) and _CPU.fullmatch(machine.cpu)) and not machine.args


# Of a record, what may be otherwise when the boot is made again: the host's facts and times.
_HOSTS = ("host", "host_ready_s", "milestones", "accel_reason")
# Of a record, what the machine and the image did, however a version of the harness writes the rest.
MACHINES = ("console_sha256_ready", "ready_us", "power_on_us")


def _same(folder: str, then: BootRecord, now: BootRecord, only: tuple[str, ...] = ()) -> None:
    """Compare two records of one boot, both as an archive has them, but for the host's facts and what follows ready;
    where `only` some fields are to be compared, those."""
    late = ("console_sha256",)
    names = only or [one.name for one in fields(BootRecord) if one.name not in (*_HOSTS, *late)]
    differ = {name: (getattr(then, name), getattr(now, name)) for name in names}
    differ = {name: pair for name, pair in differ.items() if pair[0] != pair[1]}
    what = moved(then.milestones, now.milestones)
    if not differ and not what:
        return
    if then.host.get("cpu") != now.host.get("cpu"):
        differ[PROCESSOR] = (then.host.get("cpu"), now.host.get("cpu"))
    details = "\n".join(f"{name}: {str(a)[:300]} then, {str(b)[:300]} now" for name, (a, b) in differ.items())
    raise EvidenceError(
        f"the image was booted again, and it was not as {folder} says: {what or next(iter(differ))} differs",
        details=details,
        hint=OTHER_PROCESSOR if PROCESSOR in details else "",
    )
