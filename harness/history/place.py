"""Where a history is: a file of SQLite's, or a database of a PostgreSQL server. Passwords stay out of every text."""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from harness import paths
from harness.errors import HarnessError, HostError, UserError
from harness.hostfaults import full, full_disk

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.engine.interfaces import DBAPIConnection

ENV = "HARNESS_HISTORY"
FILE = "history.db"
PATIENCE_S = 60  # for another process that is writing
CONNECT_S = 10
# as PostgreSQL's own programs call it, and by its older name; SQLAlchemy wants the driver's name too
DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
SECRETS = re.compile(r"password|secret|token", re.IGNORECASE)
HINT = f"--history or {ENV}: a file, or postgresql://USER@HOST/DATABASE"


@dataclass(frozen=True)
class DatabaseAddress:
    """A database. ``text`` is how it is called in messages: without a password."""

    url: URL

    @property
    def file(self) -> Path | None:
        """The file, when it is one of SQLite's."""
        return Path(self.url.database or "") if self.url.drivername == "sqlite" else None

    @property
    def text(self) -> str:
        """What people may see of it."""
        if self.file is not None:
            return str(self.file)
        query = {name: value for name, value in self.url.query.items() if not SECRETS.search(name)}
        shown = self.url.set(drivername=self.url.get_backend_name(), query=query)
        return shown.render_as_string(hide_password=True)

    def secrets(self) -> list[str]:
        """Return what must never be seen."""
        query = [value for name, value in self.url.query.items() if SECRETS.search(name)]
        flat = [one for value in query for one in ([value] if isinstance(value, str) else value)]
        return [one for one in (self.url.password or "", *flat) if one]

    def explained(self, error: Exception, doing: str) -> HarnessError:
        """Return a database's error as one of ours, in the database's own first words."""
        cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        words = next(iter(str(cause).strip().splitlines()), "") or type(cause).__name__
        for secret in self.secrets():
            words = words.replace(secret, "***")
        kind = HostError if isinstance(error, (OperationalError, sqlite3.OperationalError)) else UserError
        if kind is HostError and self.file is not None and (places := full([self.file.parent])):
            words = full_disk(places).message  # SQLite says "disk I/O error" of that, too
        return kind(f"cannot {doing} the history {self.text}: {words}", hint=HINT)


def find(wanted: str | None = None) -> DatabaseAddress:
    """Return the place that is `wanted` (a path or an URL), else that of HARNESS_HISTORY, else the user's own file.

    Raises UserError for an URL that is none of a known database.
    """
    text = wanted or os.environ.get(ENV) or str(paths.data_dir() / FILE)
    if "://" not in text:
        return DatabaseAddress(URL.create("sqlite", database=str(Path(text).absolute())))
    scheme = text.partition("://")[0]
    if scheme.partition("+")[0] not in DRIVERS:
        raise UserError(f"the history cannot be at a {scheme}:// URL", hint=HINT)
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        url = None
    if url is None or "@" in (url.host or ""):  # a password with an @ would be taken for a host, and shown
        raise UserError(
            f"the {scheme}:// URL of the history is not a well-formed one",
            hint=f"{HINT}; in a password @ is %40, / is %2F, : is %3A",
        )
    url = url.set(drivername=DRIVERS[scheme.partition("+")[0]])
    if url.drivername == "sqlite":
        if not url.database or url.database == ":memory:":
            raise UserError("the sqlite:// URL of the history names no file", hint=HINT)
        url = URL.create("sqlite", database=str(Path(url.database).absolute()))
    return DatabaseAddress(url)


def engine(place: DatabaseAddress) -> Engine:
    """Return an engine whose transactions are real ones in SQLite too; HostError where the driver is missing."""
    options: dict[str, Any] = {"timeout": PATIENCE_S} if place.file is not None else {"connect_timeout": CONNECT_S}
    try:
        made = create_engine(place.url, connect_args=options)
    except ImportError as error:
        raise HostError(
            f"the driver for {place.text} is not installed: {error.name or error}",
            hint="pip install 'bootharness[postgresql]' in the harness's virtual environment",
        ) from None
    if place.file is not None:
        event.listen(made, "connect", _sqlite)
        event.listen(made, "begin", _sqlite_begin)
    return made


def _sqlite(connection: DBAPIConnection, _: object) -> None:
    # SQLAlchemy begins, so that making tables is inside of a transaction too
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode")
    if cursor.fetchone() != ("wal",):
        with suppress(sqlite3.OperationalError):  # somebody is writing at this moment: the next one to open it will do
            cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _sqlite_begin(connection: Connection) -> None:
    # a reader that turned writer could not wait for another one: SQLite would refuse it at once
    writing = connection.get_execution_options().get("writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
