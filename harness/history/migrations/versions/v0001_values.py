"""Runs, and the values of their boots."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NUMBER = sa.BigInteger()


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "run",
        sa.Column("id", ID, primary_key=True),
        sa.Column("uid", sa.Text, nullable=False, unique=True),
        sa.Column("at", NUMBER, nullable=False),
        sa.Column("when", sa.Text, nullable=False),
        sa.Column("harness", sa.Text, nullable=False),
        sa.Column("plan", sa.Text),
        sa.Column("commit", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("changed", sa.Boolean, nullable=False),
    )
    op.create_index("run_in_order", "run", ["at", "id"])
    op.create_table(
        "boot",
        sa.Column("id", ID, primary_key=True),
        sa.Column("run_id", ID, sa.ForeignKey("run.id"), nullable=False),
        sa.Column("image", sa.Text, nullable=False),
        sa.Column("machine", sa.Text, nullable=False),
        sa.Column("arch", sa.Text, nullable=False),
        sa.Column("spec", sa.Text, nullable=False),
    )
    op.create_index("ix_boot_run_id", "boot", ["run_id"])
    op.create_table(
        "series",
        sa.Column("id", ID, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("image", "machine", "arch", "mode", "figure", "key")),
        sa.Column("facts", sa.Text, nullable=False),
        sa.UniqueConstraint("image", "machine", "arch", "mode", "figure", "key", name="series_once"),
    )
    op.create_table(
        "value",
        sa.Column("series_id", ID, sa.ForeignKey("series.id"), primary_key=True),
        sa.Column("at", NUMBER, primary_key=True),
        sa.Column("boot_id", ID, sa.ForeignKey("boot.id"), primary_key=True),
        sa.Column("value", NUMBER, nullable=False),
        sqlite_with_rowid=False,
    )
