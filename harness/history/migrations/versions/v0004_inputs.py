"""What each boot was made of, a person's words on runs, and the order of outcomes."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
WHEN = "%Y-%m-%dT%H:%M:%SZ"


def upgrade() -> None:
    """Add them; of what is there, inputs are not known, and outcomes are in the order of their clocks."""
    op.create_table(
        "input_set",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("facts", sa.Text, nullable=False),
    )
    for table, name in (("run", "project"), ("run", "note"), ("run", "ack"), ("boot", "inputs")):
        op.add_column(table, sa.Column(name, sa.Text, nullable=False, server_default=sa.text("''")))
    op.create_index("run_of_project", "run", ["project", "at", "id"])
    op.add_column("outcome", sa.Column("at", sa.BigInteger, nullable=False, server_default="0"))
    outcome = sa.table("outcome", sa.column("at", sa.BigInteger), sa.column("when", sa.Text))
    connection = op.get_bind()
    for when in connection.scalars(sa.select(outcome.c.when).distinct()).all():
        at = int(datetime.strptime(when, WHEN).replace(tzinfo=UTC).timestamp())
        connection.execute(sa.update(outcome).where(outcome.c.when == when).values(at=at))
    op.drop_index("outcome_of_cell", "outcome")
    op.create_index("outcome_of_cell", "outcome", ["image", "machine", "at"])
