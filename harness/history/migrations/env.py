"""Alembic's entry: runs the migrations on the connection that harness.history.schema hands over, in its transaction."""

from __future__ import annotations

from alembic import context

from harness.history.tables import Base

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, transaction_per_migration=False
)
context.run_migrations()
