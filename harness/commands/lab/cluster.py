"""`harness cluster`: the certificates of a cluster, its scheduler, its workers."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from harness.cluster import certificates as certificates_
from harness.cluster import connection
from harness.errors import UserError
from harness.spec.rules.cluster import wrong_address


def act(action: str, place: str, certificates: Path | None, *, workers: int | None, boards: Sequence[str]) -> int:
    """Do what the command line asks for; a scheduler and a worker take this process's place."""
    if action == "certificates":
        for path in certificates_.make(Path(place)):
            print(path)
        return 0
    connection.see_host()
    if said := wrong_address(place):
        raise UserError(said[0], hint=said[1])
    words = _scheduler(place) if action == "scheduler" else _worker(place, workers, boards)
    argv = [sys.executable, "-m", *words[:1], *_certificates(place, certificates), "--no-dashboard", *words[1:]]
    os.execv(sys.executable, argv)  # does not come back
    return 0


def _certificates(address: str, folder: Path | None) -> list[str]:
    words = {certificates_.AUTHORITY: "--tls-ca-file", certificates_.CERTIFICATE: "--tls-cert",
             certificates_.KEY: "--tls-key"}  # fmt: skip
    found = certificates_.needed(address, folder)
    return [word for name, path in found.items() for word in (words[name], path)]


def _scheduler(address: str) -> list[str]:
    place = urlsplit(address)
    return ["distributed.cli.dask_scheduler", "--host", f"{place.scheme}://{place.hostname}", "--port", str(place.port)]


def _worker(address: str, workers: int | None, boards: Sequence[str]) -> list[str]:
    from harness.system import limits

    places = workers or limits.guests(limits.SMALLEST)
    return ["distributed.cli.dask_worker", "--nthreads", str(places), "--memory-limit", "0", address,
            "--preload", connection.MODULE, *connection.announcing(tuple(boards), places=places)]  # fmt: skip
