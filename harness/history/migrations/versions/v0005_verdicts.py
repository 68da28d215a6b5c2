"""What the gate of each run has said of its cells."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "verdict",
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("run", "image", "machine")),
        sa.Column("when", sa.Text, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("base", "answer", "by", "said")),
        *(sa.Column(name, sa.BigInteger, nullable=True) for name in ("us", "low", "high", "pairs")),
    )
    op.create_index("verdict_of_cell", "verdict", ["image", "machine"])
