"""`harness cluster`: the certificates of a cluster, its scheduler, its workers."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from harness.cluster import certificates as certificates_
from harness.cluster import connection
from harness.errors import HostError, UserError
from harness.spec.rules.cluster import wrong_address


def act(action: str, place: str, certificates: Path | None, *, workers: int | None, boards: Sequence[str]) -> int:
    """Do what the command line asks for; a scheduler and a worker take this process's place."""
    if action == "certificates":
        for path in certificates_.make(Path(place)):
            print(path)
        return 0
    if find_spec("distributed") is None:
        raise HostError("clusters need the Python package `distributed`, which is not installed", hint=connection.EXTRA)
    connection.see_proc()
    if said := wrong_address(place):
        raise UserError(said[0], hint=said[1])
    words = _scheduler(place) if action == "scheduler" else _worker(place, workers, boards)
    argv = [sys.executable, "-m", *words[:1], *_certificates(place, certificates), "--no-dashboard", *words[1:]]
    os.execv(sys.executable, argv)  # does not come back
    return 0


def _certificates(address: str, folder: Path | None) -> list[str]:
    if not address.startswith("tls://"):
        return []
    if folder is None:
        hint = "--certificates FOLDER, which harness cluster certificates has written"
        raise UserError(f"{address} wants certificates", hint=hint)
    found = certificates_.found(folder)
    return ["--tls-ca-file", found[certificates_.AUTHORITY], "--tls-cert", found[certificates_.CERTIFICATE],
            "--tls-key", found[certificates_.KEY]]  # fmt: skip


def _scheduler(address: str) -> list[str]:
    place = urlsplit(address)
    return ["distributed.cli.dask_scheduler", "--host", f"{place.scheme}://{place.hostname}", "--port", str(place.port)]


def _worker(address: str, workers: int | None, boards: Sequence[str]) -> list[str]:
    from harness.system import limits

    places = workers or limits.guests(256)
    return ["distributed.cli.dask_worker", "--nthreads", str(places), "--memory-limit", "0", address,
            "--preload", connection.MODULE, *connection.announcing(tuple(boards), places=places)]  # fmt: skip
