"""Boots of a stranger's image that vary what it could tell a measured boot by: do its figures hold in kind?

One is counted with another seed of QEMU's random numbers. The other is as the image is booted in use: not counted, with
no word on the kernel command line that only a counted boot has, and the machine's clock starts today.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.certify.verify import CheckResult
from harness.errors import EvidenceError, ImageError
from harness.image import Bootable
from harness.launch.exact import exact_boot
from harness.launch.start import boot
from harness.measure.fit import misfits
from harness.spec.models.machine import MachineSpec
from harness.system.options import BootOptions
from harness.system.record import BootRecord

SEED = 2
SHARE = 0.2  # of the time to ready, by which another seed may move it
TRIES = 2  # of the boot in wall time: a host may be busy for a moment
KIND = "whether the figures hold in kind"
ALIKE = "certify/alike.py::test_wall_time_fits_exact_time"


@dataclass(frozen=True)
class Stranger:
    """What is booted, on what, where its boots leave what they leave, and how patiently (seconds, and a factor)."""

    image: Bootable
    machine: MachineSpec
    out: Path
    timeout: float
    multiplier: float


def check(then: BootRecord, one: Stranger, *, claimed: bool) -> Iterator[CheckResult]:
    """Boot an image in two variations of its exact boot `then`, and say whether its figures hold.

    EvidenceError: the evidence has `claimed` that a boot in wall time fits, and none does.
    """
    image, machine, out, timeout, multiplier = one.image, one.machine, one.out, one.timeout, one.multiplier
    try:
        seeded = exact_boot(image, machine, out / "seed", timeout=timeout, multiplier=multiplier, seed=SEED)
        yield _seeded(then, seeded)
    except ImageError as error:
        yield _not(f"with another seed it does not come to ready: {error.message}")
    faults: tuple[str, ...] = ()
    for number in range(TRIES):
        try:
            uncounted = _wall(one, out / f"wall{number}")
        except ImageError as error:
            yield _not(f"in wall time it does not come to ready: {error.message}")
            return
        if not (faults := misfits(then, uncounted)):
            yield _fits(uncounted)
            return
    if claimed:
        raise EvidenceError(
            "the image was booted without counting its instructions, and it does not do the same",
            details="\n".join(faults),
        )
    yield _not(f"in wall time it does not do the same: {faults[0]}")


def _not(why: str) -> CheckResult:
    return CheckResult("not re-executed", f"its figures do not hold in kind: {why}", KIND)


def _seeded(then: BootRecord, now: BootRecord) -> CheckResult:
    if then.ready_us is None or now.ready_us is None:
        return _not("it has no exact time")
    moved = now.ready_us - then.ready_us
    text = f"with another seed of random numbers it is ready {moved / 1000:+.3f} ms later"
    if abs(moved) > SHARE * then.ready_us:
        return _not(text)
    return CheckResult("re-executed", f"a variation: {text}")


def _fits(record: BootRecord) -> CheckResult:
    """Return the finding of a boot in wall time that nothing speaks against."""
    host_ms = (record.host_ready_s or 0.0) * 1000
    text = f"as in use, not counted and with today's clock, {host_ms:.0f} ms to ready by this host's"
    return CheckResult("re-executed", f"a variation: {text}, which fits")


def _wall(one: Stranger, out: Path) -> BootRecord:
    """Boot in wall time as in use: nothing on the command line tells the guest that it is measured."""
    plain = one.machine.driven(accel="tcg")  # a stranger's guest gets no accelerator of the host's
    options = BootOptions(
        mode="wall", out=out, timeout=one.timeout, timeout_multiplier=one.multiplier,
    )  # fmt: skip
    with boot(one.image, plain, options) as system:
        system.wait_ready()
        return system.record
