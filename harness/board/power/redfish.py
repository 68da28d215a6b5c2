"""Power by Redfish (DMTF DSP0266): the system's resource, and its action ComputerSystem.Reset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.board.connection import secret
from harness.board.power.http import ask, trusted
from harness.errors import MachineError
from harness.spec.models.power import PowerRedfish

SYSTEMS = "/redfish/v1/Systems"
RESET = "#ComputerSystem.Reset"
STATES = {"On": True, "PoweringOn": True, "Off": False, "PoweringOff": True}


def put(spec: PowerRedfish, base: Path, on: bool) -> None:
    """Reset the system so that it is on or off, if it is not; MachineError when the controller refuses."""
    system = _system(spec, base)
    if system.get("PowerState") == ("On" if on else "Off"):
        return  # some controllers refuse what is so already
    target = system.get("Actions", {}).get(RESET, {}).get("target")
    if not isinstance(target, str) or not target.startswith("/"):
        raise MachineError(f"{spec.url} offers no action {RESET[1:]}")
    _ask(spec, base, "POST", target, {"ResetType": "On" if on else "ForceOff"})


def get(spec: PowerRedfish, base: Path) -> bool | None:
    """Return whether the system is on; None where the controller does not say."""
    return STATES.get(str(_system(spec, base).get("PowerState")))


def _system(spec: PowerRedfish, base: Path) -> dict[str, Any]:
    if spec.system:
        return _ask(spec, base, "GET", f"{SYSTEMS}/{spec.system}")
    members = _ask(spec, base, "GET", SYSTEMS).get("Members")
    paths = [one.get("@odata.id") for one in members if isinstance(one, dict)] if isinstance(members, list) else []
    if len(paths) != 1 or not str(paths[0]).startswith("/"):
        names = ", ".join(str(path).rpartition("/")[2] for path in paths[:20])
        raise MachineError(f"{spec.url} has {len(paths)} systems", hint=f"name one as `system`: {names}")
    return _ask(spec, base, "GET", str(paths[0]))


def _ask(spec: PowerRedfish, base: Path, method: str, path: str, body: dict[str, str] | None = None) -> dict[str, Any]:
    response = ask(
        method,
        spec.url.rstrip("/") + path,
        login=(spec.user, secret(spec.password_env, spec.user)),
        headers={"Accept": "application/json", **({"Content-Type": "application/json"} if body else {})},
        body=json.dumps(body).encode() if body else None,
        ca=trusted(spec.ca, base),
    )
    try:
        said = response.json() if response.content else {}
    except ValueError as error:
        raise MachineError(f"{spec.url} answers no JSON") from error
    return said if isinstance(said, dict) else {}
