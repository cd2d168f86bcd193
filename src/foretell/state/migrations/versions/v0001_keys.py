"""Keys, the one row of meta, and the audit trail."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None

_SQLITE_GUARD = """
CREATE TRIGGER audit_keeps_{event} BEFORE {event} ON audit
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END
"""
# REPLACE INTO deletes without asking the trigger for deletes
_SQLITE_REPLACE_GUARD = """
CREATE TRIGGER audit_keeps_place BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END
"""
_POSTGRES_GUARD = (
    """
    CREATE FUNCTION audit_refuses() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'the audit trail is append-only'; END $$
    """,
    "CREATE TRIGGER audit_keeps_rows BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_refuses()",
    "CREATE TRIGGER audit_keeps_all BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_refuses()",
)


def upgrade() -> None:
    """Makes the tables, and the one row of meta."""
    meta = op.create_table(
        "meta",
        sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1"), primary_key=True),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("closed", sa.Integer, nullable=False),
        sa.Column("pepper_check", sa.String(64)),
    )
    op.bulk_insert(meta, [{"id": 1, "revision": 0, "closed": 0, "pepper_check": None}])
    op.create_table(
        "keys",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("tenant", sa.String(128), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False, unique=True),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("models", sa.Text),
        sa.Column("rates", sa.Text, nullable=False),
        sa.Column("created_s", sa.Float(53), nullable=False),
        sa.Column("expires_s", sa.Float(53)),
        sa.Column("revoked_s", sa.Float(53)),
        sa.Column("used_s", sa.Float(53)),
        sa.Column("replaced_by", sa.String(16)),
        sa.Column("current", sa.Integer, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    current = sa.text("current = 1")
    op.create_index("keys_one_current", "keys", ["name"], unique=True, sqlite_where=current, postgresql_where=current)
    op.create_index("keys_by_revision", "keys", ["revision"])
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("at_s", sa.Float(53), nullable=False),
        sa.Column("actor", sa.String(512), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("target", sa.String(512), nullable=False),
        sa.Column("before", sa.Text),
        sa.Column("after", sa.Text),
        sa.Column("request_id", sa.String(128)),
        sa.Column("address", sa.String(64)),
    )
    op.create_index("audit_by_time", "audit", ["at_s"])
    _guard_audit()


def _guard_audit() -> None:
    if op.get_context().dialect.name == "sqlite":
        for event in ("UPDATE", "DELETE"):
            op.execute(_SQLITE_GUARD.format(event=event))
        op.execute(_SQLITE_REPLACE_GUARD)
    else:
        for statement in _POSTGRES_GUARD:
            op.execute(statement)
