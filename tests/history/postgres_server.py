"""A PostgreSQL server that a test starts for itself."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psycopg

PASSWORD = "wry-otter-17"
NUMBERS = count(1)


@dataclass(frozen=True)
class Server:
    """A PostgreSQL server on a socket in `folder`; its user harness has PASSWORD."""

    folder: Path

    def url(self, database: str, password: str = PASSWORD) -> str:
        return f"postgresql://harness:{password}@/{database}?host={self.folder}"

    def database(self) -> str:
        """Make an empty database and return its URL."""
        name = f"history{next(NUMBERS)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)


def postgres_programs() -> Path | None:
    """Debian keeps the server's programs out of PATH, in a folder for each version."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    found = shutil.which("initdb")
    return folders[-1] if folders else Path(found).resolve().parent if found else None


@contextmanager
def running(programs: Path) -> Iterator[Server]:
    """Start a server, as another user where this one is root: PostgreSQL refuses to be root's."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # short, for a socket's path is; and not below a folder of root's own
    other = ["setpriv", "--pdeathsig=INT"]
    if os.geteuid() == 0:
        shutil.chown(folder, "nobody", "nogroup")
        other += ["--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    secret = folder / "secret"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    data = str(folder / "data")
    initdb = [programs / "initdb", "-D", data, "-U", "harness", "-A", "scram-sha-256", f"--pwfile={secret}",
              "--no-sync", "--encoding=UTF8", "--locale=C"]  # fmt: skip
    subprocess.run([*other, *initdb], cwd=folder, check=True, capture_output=True)
    server = subprocess.Popen(
        [*other, programs / "postgres", "-D", data, "-k", str(folder), "-h", "", "-F"],
        cwd=folder, stderr=subprocess.PIPE, text=True, env={**os.environ, "LC_ALL": "C"},
    )  # fmt: skip
    try:
        said = []
        for line in server.stderr or ():
            said.append(line)
            if "ready to accept connections" in line:
                break
        else:
            raise AssertionError("".join(said))
        yield Server(folder)
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate()
        shutil.rmtree(folder)
