"""Schemas: made, upgraded with what is in them, and refused when they are newer."""

from __future__ import annotations

from collections.abc import Callable

import alembic.command
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from runs import results
from sqlalchemy import Connection, column, insert, inspect, table, text

from harness.errors import UserError
from harness.history import History, place, schema
from harness.history.tables import Base


def at_revision(where: str, revision: str) -> None:
    """Make a history as an older harness left it."""
    found = place.find(where)
    if found.file:
        found.file.parent.mkdir(parents=True, exist_ok=True)
    with place.engine(found).connect().execution_options(writing=True) as connection, connection.begin():
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(schema.MIGRATIONS))
        alembic.command.upgrade(config, revision)


def test_the_migrations_make_the_tables_that_are_used(history: History) -> None:
    with history.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []


def test_all_migrations_are_known() -> None:
    found = ScriptDirectory(str(schema.MIGRATIONS)).walk_revisions()
    assert tuple(one.revision for one in found)[::-1] == schema.REVISIONS


def test_an_older_history_is_upgraded_with_what_it_holds(new_place: Callable[[], str]) -> None:
    where = new_place()
    at_revision(where, "0001")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "REVISIONS", ("0001",))
        with History.open(where) as old:
            with old.writing() as connection:  # as the harness of that time wrote
                values = {"uid": "r1", "at": 86400, "when": "1970-01-02T00:00:00Z", "harness": "0", "plan": None,
                          "commit": "c", "subject": "Change 1", "changed": False}  # fmt: skip
                columns = [column(name) for name in values]
                connection.execute(insert(table("run", *columns)).values(values))
            with old.reading() as connection:
                assert "baseline" not in inspect(connection).get_table_names()
    with History.open(where) as new:
        assert [one.subject for one in new.runs()] == ["Change 1"]
        assert new.add(results(2))
        with new.reading() as connection:
            assert "baseline" in inspect(connection).get_table_names()


@pytest.mark.parametrize("versions", [["9999"], [], ["0001", "0002"]])
def test_a_schema_that_is_not_known_is_refused(new_place: Callable[[], str], versions: list[str]) -> None:
    where = new_place()
    with History.open(where) as history, history.writing() as connection:
        connection.execute(text("DELETE FROM alembic_version"))
        for version in versions:
            connection.execute(text("INSERT INTO alembic_version VALUES (:version)"), {"version": version})
    with pytest.raises(UserError, match="this harness knows 0001 to 0005"):
        History.open(where)


def test_somebody_else_s_database_is_left_alone(new_place: Callable[[], str]) -> None:
    where = new_place()
    with History.open(where) as history, history.writing() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
    with pytest.raises(UserError, match="is not a history"):
        History.open(where)


def test_an_upgrade_that_fails_leaves_nothing(new_place: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    where, upgrade = new_place(), schema._upgrade

    def failing(connection: Connection) -> None:
        upgrade(connection)
        raise UserError("the power went out")

    monkeypatch.setattr(schema, "_upgrade", failing)
    with pytest.raises(UserError, match="the power went out"):
        History.open(where)
    engine = place.engine(place.find(where))
    with engine.connect() as connection:
        assert inspect(connection).get_table_names() == []
    engine.dispose()
    monkeypatch.setattr(schema, "_upgrade", upgrade)
    with History.open(where) as history:
        assert history.add(results(1))
