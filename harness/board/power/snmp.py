"""Power by SNMP, with net-snmp's programs (snmpcmd(1), snmp.conf(5))."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from harness.board.connection import secret
from harness.board.power.command import told
from harness.errors import MachineError, UserError
from harness.spec.models.power import PowerSnmp

PATIENCE = ("-r", "2", "-t", "3")  # asked again twice, after 3 s each
_NUMERIC = re.compile(r"[0-9.]+")


def put(spec: PowerSnmp, base: Path, on: bool) -> None:
    """Set the outlet's object; MachineError when the unit does not answer or refuses."""
    _net_snmp(spec, base, "snmpset", "i", str(spec.on if on else spec.off))


def get(spec: PowerSnmp, base: Path) -> bool | None:
    """Return whether the object has the value for on; None for a value that is neither."""
    value = _net_snmp(spec, base, "snmpget").strip()
    return {str(spec.on): True, str(spec.off): False}.get(value.decode(errors="replace"))


def _net_snmp(spec: PowerSnmp, base: Path, program: str, *words: str) -> bytes:
    host = f"udp6:[{spec.host}]:{spec.port}" if ":" in spec.host else f"{spec.host}:{spec.port}"
    with tempfile.TemporaryDirectory(prefix="harness-snmp-") as folder:  # only its owner may look into it
        (Path(folder) / "snmp.conf").write_text(config(spec))
        env = {**os.environ, "SNMPCONFPATH": folder, "SNMP_PERSISTENT_DIR": folder}
        if _NUMERIC.fullmatch(spec.oid):
            env["MIBS"] = ""  # else the names' files are read, and what they lack is complained about
        answer = told((program, "-Oqve", *PATIENCE, host, spec.oid, *words), base, env)
    if answer.startswith(b"No Such"):
        raise MachineError(f"{spec.host} has no object {spec.oid}")
    return answer


def config(spec: PowerSnmp) -> str:
    """Return net-snmp's configuration: secrets are no words of a command line, which all users can read."""
    rows: dict[str, str] = {"defVersion": spec.version}
    if spec.version != "3":
        rows["defCommunity"] = secret(spec.community_env, f"the community of {spec.host}") or "private"
    else:
        auth = secret(spec.auth_password_env, spec.user)
        privacy = secret(spec.privacy_password_env, spec.user)
        level = "authPriv" if auth and privacy else "authNoPriv" if auth else "noAuthNoPriv"
        rows |= {"defSecurityName": spec.user, "defSecurityLevel": level}
        if auth:
            rows |= {"defAuthType": spec.auth, "defAuthPassphrase": auth}
        if auth and privacy:
            rows |= {"defPrivType": spec.privacy, "defPrivPassphrase": privacy}
    if bad := [key for key, value in rows.items() if not value.isprintable() or '"' in value]:
        raise UserError(f"the secret for {spec.host} cannot be used: {bad[0]} may have no quotes or line ends")
    return "".join(f'{key} "{value}"\n' if " " in value else f"{key} {value}\n" for key, value in rows.items())
