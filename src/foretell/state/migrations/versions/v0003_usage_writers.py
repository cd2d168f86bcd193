"""Which writes of the usage ledger are done."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Makes its table."""
    op.create_table(
        "usage_writers",
        sa.Column("writer", sa.String(32), primary_key=True),
        sa.Column("written", sa.BigInteger, nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
    )
