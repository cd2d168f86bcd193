"""The usage ledger."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Makes its table."""
    op.create_table(
        "usage",
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("principal", sa.String(1024), primary_key=True),
        sa.Column("tenant", sa.String(512), primary_key=True),
        sa.Column("model", sa.String(128), primary_key=True),
        sa.Column("unit", sa.String(16), primary_key=True),
        sa.Column("amount", sa.BigInteger, nullable=False),
    )
