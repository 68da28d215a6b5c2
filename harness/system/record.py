"""What one boot was and how it went, as figures are made of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from harness.errors import UserError
from harness.secrets import redact
from harness.system.milestones import Milestone

SCHEMA = 1
Mode = Literal["wall", "exact"]


@dataclass(frozen=True)
class BootRecord:
    """One boot. Times: ``_us`` microseconds of the guest's time, ``_s`` seconds of the host's since power-on.

    ``ready_us`` counts from the kernel's clock zero, ``power_on_us`` is what came before it; both None when not known.
    ``host_ready_s`` leaves out what a board's serial line took of it, as far as that is known.
    ``console_sha256`` is of every byte of the console, ``console_sha256_ready`` up to the end of the ready line.
    ``foreign``: the milestones are those of a foreign OS's YAML, not boot marks; those without a stamp of the kernel's
    have no guest's time, and where ready has none the second digest ends before its line.
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

    @property
    def medium(self) -> str:
        """What ran it, in words."""
        return f"QEMU {self.qemu_version}, {self.accel}" if self.qemu_version else self.accel_reason

    @property
    def key(self) -> dict[str, str]:
        """What two records must share for their figures to be compared."""
        return {
            "arch": self.arch,
            "machine": self.machine_type,
            "cpu": self.cpu,
            "memory": self.argv[self.argv.index("-m") + 1] if "-m" in self.argv else "",
            "accel": self.accel,
            "mode": self.mode,
            "qemu": self.qemu_version,
            "cmdline": self.cmdline,
        }

    def to_json(self) -> dict[str, Any]:
        """Return the record as what JSON can hold."""
        made = {"schema": SCHEMA, **asdict(self)}
        for row in made["milestones"]:
            if row["line_s"] is None:  # as ever but on boards
                del row["line_s"]
        return made

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> BootRecord:
        """Return the record that `to_json` wrote; UserError when it is none."""
        try:
            if data["schema"] != SCHEMA:
                raise UserError(f"a boot record of schema {data['schema']!r}, not {SCHEMA}")
            fields = {key: value for key, value in data.items() if key != "schema"}
            fields["milestones"] = tuple(Milestone(**row) for row in fields["milestones"])
            fields["argv"] = tuple(fields["argv"])
            return cls(**fields)
        except (KeyError, TypeError) as error:
            raise UserError(f"not a boot record: {error}") from None

    def dumps(self) -> str:
        """Return the record as JSON text."""
        return redact(json.dumps(self.to_json(), indent=1)) + "\n"
