"""Baselines, and the floors below which a difference means nothing."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "baseline",
        sa.Column("id", ID, primary_key=True),
        sa.Column("run_id", ID, sa.ForeignKey("run.id"), nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("image", "machine", "reason", "who", "when")),
    )
    op.create_table(
        "floor",
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("image", "machine", "figure", "key")),
        sa.Column("us", sa.BigInteger, nullable=False),
        sa.Column("how", sa.Text, nullable=False),
        sa.Column("when", sa.Text, nullable=False),
    )
