"""Power by a pdudaemon, over its HTTP listener (github.com/pdudaemon/pdudaemon: /power/control/{on,off})."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlencode

from harness.board.power.http import ask
from harness.spec.models.power import PowerPdudaemon


def put(spec: PowerPdudaemon, base: Path, on: bool) -> None:
    """Ask the daemon; it has queued the request when this returns. MachineError when it refuses."""
    words = urlencode({"hostname": spec.pdu, "port": spec.outlet})
    ask("GET", f"{spec.url.rstrip('/')}/power/control/{'on' if on else 'off'}?{words}")


def get(spec: PowerPdudaemon, base: Path) -> bool | None:
    """The daemon cannot be asked."""
    return None
