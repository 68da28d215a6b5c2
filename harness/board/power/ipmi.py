"""Power by IPMI, with ipmitool."""

from __future__ import annotations

import os
from pathlib import Path

from harness.board.connection import secret
from harness.board.power.command import told
from harness.spec.models.power import PowerIpmi


def put(spec: PowerIpmi, base: Path, on: bool) -> None:
    """Switch the chassis; MachineError when the controller does not answer or refuses."""
    _ipmitool(spec, base, "chassis", "power", "on" if on else "off")


def get(spec: PowerIpmi, base: Path) -> bool | None:
    """Return whether the chassis is on."""
    said = _ipmitool(spec, base, "chassis", "power", "status").lower()
    return True if b"is on" in said else False if b"is off" in said else None


def _ipmitool(spec: PowerIpmi, base: Path, *words: str) -> bytes:
    argv = ["ipmitool", "-I", spec.interface, "-H", spec.host, "-p", str(spec.port)]
    argv += ["-U", spec.user] if spec.user else []
    argv += ["-C", str(spec.cipher)] if spec.cipher is not None else []
    env = dict(os.environ)
    if password := secret(spec.password_env, spec.user or spec.host):
        argv.append("-E")  # it is read from IPMI_PASSWORD: all users can read a command line
        env["IPMI_PASSWORD"] = password
    return told((*argv, *words), base, env)
