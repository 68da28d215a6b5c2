"""Brings a database to the schema that this harness knows, by Alembic's migrations."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from harness.errors import UserError

# oldest first; a test asks Alembic whether these are all
REVISIONS = ("0001", "0002", "0003", "0004", "0005")
MIGRATIONS = Path(__file__).parent / "migrations"
LOCK = 0x6861726E  # of PostgreSQL's advisory locks: whoever writes holds it until the end of his transaction
VERSIONS = "alembic_version"


def lock(connection: Connection) -> None:
    """Wait until no other process writes. SQLite has done so at BEGIN IMMEDIATE."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})


def bring_up(engine: Engine, called: str) -> None:
    """Make the tables, or upgrade them; UserError when they are newer than this harness, or are not ours."""
    with engine.connect() as connection:
        if _revision(connection, called) == REVISIONS[-1]:
            return
    with engine.connect().execution_options(writing=True) as connection, connection.begin():
        lock(connection)
        if _revision(connection, called) != REVISIONS[-1]:  # nobody was quicker
            _upgrade(connection)


def _revision(connection: Connection, called: str) -> str:
    """Return the schema's version, empty for an empty database."""
    names = inspect(connection).get_table_names()
    if VERSIONS not in names:
        if names:
            raise UserError(f"{called} is not a history: it has tables of something else", hint="name another database")
        return ""
    found = connection.execute(text(f"SELECT version_num FROM {VERSIONS}")).scalars().all()
    if len(found) == 1 and found[0] in REVISIONS:
        return str(found[0])
    raise UserError(
        f"the history {called} has schema {', '.join(map(str, found)) or 'none'}, this harness knows "
        f"{REVISIONS[0]} to {REVISIONS[-1]}",
        hint="a newer harness wrote it: use that one, or name another history with --history",
    )


def _upgrade(connection: Connection) -> None:
    import alembic.command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    # a configuration file's %(name)s is not meant by what a path may hold
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    alembic.command.upgrade(config, REVISIONS[-1])
