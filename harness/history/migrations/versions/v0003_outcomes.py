"""Which cases failed in which run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "outcome",
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("run", "image", "machine")),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("when", "digest", "failed")),
    )
    op.create_index("outcome_of_cell", "outcome", ["image", "machine", "when"])
