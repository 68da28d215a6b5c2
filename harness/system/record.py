"""What one boot was and how it went, as figures are made of it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from harness.errors import UserError
from harness.secrets import redact
from harness.system.frames import WitnessFrame
from harness.system.milestones import Clock, Milestone, power_on_us

SCHEMA = 1
READY = "ready"
Mode = Literal["wall", "exact"]


@dataclass(frozen=True)
class BootRecord:
    """One boot. Times: ``_us`` microseconds of the guest's time, ``_s`` seconds of the host's since power-on.

    ``ready_us`` counts from the kernel's clock zero, ``power_on_us`` is what came before it; both None when not known.
    Where ready is a packet, ``ready_us`` is the emulator's time since power-on, and ``power_on_us`` 0.
    ``ready_clock`` is whose clock tells when ready was: ``emulator`` (it left as a frame, and no guest can write to
    that clock), ``guest`` (the stamp is its own word) or ``host``; empty without ready. ``ready_emulator_us`` is when
    that frame left, since power-on, and ``witness`` are all marks that left as frames.
    ``host_ready_s`` leaves out what a board's serial line took of it, as far as that is known.
    ``console_sha256`` is of every byte of the console, ``console_sha256_ready`` up to the end of the ready line; it is
    empty where ready is a packet.
    ``foreign``: the milestones are those of a foreign OS's YAML, not boot marks; those without a stamp of the kernel's
    have no guest's time, and where ready has none the second digest ends before its line.
    ``expected`` are the names of ``onboot``, ``services`` and ``onshutdown`` that an image with the harness's own init
    declares; empty of any other.

    What it was made with: ``memory`` in MiB, ``devices`` and ``extra_args`` as QEMU was given them, ``seed`` of its
    random numbers in exact mode, and ``inputs``, the SHA-256 of every file that decides what happens: ``kernel``,
    ``initrd``, ``disk``, ``iso``, ``qemu`` (its program), ``firmware/NAME`` for each file of firmware that it loads,
    and ``args/NAME`` for what a machine's further arguments name.
    """

    image: str
    arch: str
    machine: str
    mode: Mode
    probed: bool
    accel: str
    accel_reason: str
    argv: tuple[str, ...]
    cmdline: str
    cpu: str
    machine_type: str
    qemu_version: str
    host: dict[str, str | int | float] = field(default_factory=dict)
    milestones: tuple[Milestone, ...] = ()
    ready_us: int | None = None
    power_on_us: int | None = None
    host_ready_s: float | None = None
    console_sha256: str = ""
    console_sha256_ready: str = ""
    foreign: bool = False
    ready_clock: Clock | Literal[""] = ""
    ready_emulator_us: int | None = None
    witness: tuple[WitnessFrame, ...] = ()
    expected: dict[str, tuple[str, ...]] = field(default_factory=dict)
    memory: int = 0
    devices: tuple[str, ...] = ()
    extra_args: tuple[str, ...] = ()
    seed: int | None = None
    inputs: dict[str, str] = field(default_factory=dict)

    @property
    def medium(self) -> str:
        """What ran it, in words."""
        return f"QEMU {self.qemu_version}, {self.accel}" if self.qemu_version else self.accel_reason

    @property
    def key(self) -> dict[str, str]:
        """What two records must share for their figures to be compared."""
        shared = {
            "arch": self.arch,
            "machine": self.machine_type,
            "cpu": self.cpu,
            "memory": f"{self.memory}M" if self.memory else "",
            "accel": self.accel,
            "mode": self.mode,
            "qemu": self.qemu_version,
            "cmdline": self.cmdline,
        }
        return shared | ({"args": " ".join(self.extra_args)} if self.extra_args else {})

    def to_json(self) -> dict[str, Any]:
        """Return the record as what JSON can hold."""
        made = {"schema": SCHEMA, **asdict(self)}
        for row in made["milestones"]:
            # as ever but on boards, of what left as a frame, and where the host tells
            for name in ("line_s", "emulator_us", "higher_us", "waited_s"):
                if row[name] is None:
                    del row[name]
        return made

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> BootRecord:
        """Return the record that `to_json` wrote; UserError when it is none."""
        try:
            if data["schema"] != SCHEMA:
                raise UserError(f"a boot record of schema {data['schema']!r}, not {SCHEMA}")
            fields = {key: value for key, value in data.items() if key != "schema"}
            fields["milestones"] = tuple(Milestone(**row) for row in fields["milestones"])
            fields["witness"] = tuple(WitnessFrame(**row) for row in fields.get("witness", ()))
            fields["expected"] = {key: tuple(names) for key, names in fields.get("expected", {}).items()}
            for name in ("argv", "devices", "extra_args"):
                fields[name] = tuple(fields.get(name, ()))
            if "memory" not in fields:  # an older record has it in QEMU's command line alone
                fields["memory"] = _memory(fields["argv"])
            return cls(**fields)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise UserError(f"not a boot record: {error}") from None

    def dumps(self) -> str:
        """Return the record as JSON text."""
        return redact(json.dumps(self.to_json(), indent=1)) + "\n"


def completed(blank: BootRecord, marks: Sequence[Milestone], witness: Sequence[WitnessFrame]) -> BootRecord:
    """Return a record with its milestones, and all that follows from them and from the marks that left as frames."""
    exact = blank.mode == "exact"
    found = list(marks) if exact else [replace(mark, higher_us=None) for mark in marks]  # a machine may start again
    if exact and not blank.foreign:
        found = [_witnessed(mark, witness) for mark in found]
    ready = next((mark for mark in found if mark.name == READY), None)
    ready_us = ready.guest_us if ready else None
    before_us = power_on_us(blank.arch, ready) if ready and exact else None
    if ready and blank.foreign and ready.emulator_us is not None:
        ready_us, before_us = ready.emulator_us, 0
    return replace(
        blank,
        milestones=tuple(found),
        ready_us=ready_us,
        power_on_us=before_us,
        host_ready_s=ready.said_s if ready else None,
        ready_clock=ready.clock if ready else "",
        ready_emulator_us=ready.emulator_us if ready else None,
        witness=tuple(witness) if exact and not blank.foreign else (),
    )


def _witnessed(mark: Milestone, witness: Sequence[WitnessFrame]) -> Milestone:
    """Return a mark with the emulator's time of the frame as which it left; without where there is not just one."""
    times = [frame.emulator_us for frame in witness if frame.name == mark.name]
    return replace(mark, emulator_us=times[0]) if len(times) == 1 else replace(mark, emulator_us=None)


def _memory(argv: tuple[str, ...]) -> int:
    return int(argv[argv.index("-m") + 1].removesuffix("M")) if "-m" in argv else 0


_DIGEST = re.compile(r"^([0-9a-f]{12})[0-9a-f]{52}$")


@dataclass(frozen=True)
class Difference:
    """An input in which two boots differ, and what each of them had."""

    name: str
    first: str
    second: str

    def __str__(self) -> str:
        one, other = (_DIGEST.sub(r"\1", text) or "none" for text in (self.first, self.second))
        return f"{self.name}: {one} and {other}"


def first_difference(first: BootRecord, second: BootRecord) -> Difference | None:
    """Return the first input in which two boots differ, from the machine to the files; None when none is known to.

    A digest that only one of two records has counts as no difference where the other's record has none at all.
    """
    one, other = _inputs(first), _inputs(second)
    known = bool(first.inputs) and bool(second.inputs)
    for name in [*one, *(name for name in other if name not in one)]:
        if one.get(name, "") != other.get(name, "") and (known or name in FACTS):
            return Difference(name, one.get(name, ""), other.get(name, ""))
    return None


FACTS = ("arch", "mode", "accelerator", "QEMU's version", "machine type", "CPU model", "memory", "seed", "devices",
         "further arguments", "command line")  # fmt: skip


def _inputs(record: BootRecord) -> dict[str, str]:
    facts = (record.arch, record.mode, record.accel, record.qemu_version, record.machine_type, record.cpu,
             f"{record.memory} MiB", "" if record.seed is None else str(record.seed), " ".join(record.devices),
             " ".join(record.extra_args), record.cmdline)  # fmt: skip
    order = sorted(record.inputs, key=lambda name: (name != "qemu", not name.startswith("firmware/"), name))
    return dict(zip(FACTS, facts, strict=True)) | {name: record.inputs[name] for name in order}
