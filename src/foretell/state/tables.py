"""The tables as SQLAlchemy has them. Migrations make them; a test holds that both say the same."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Index, Integer, MetaData, String, Table, Text

METADATA = MetaData()

# One row. ``revision`` grows with every change of keys; ``closed`` is 1 once anybody has to show who they are;
# ``pepper_check`` tells whether a pepper is the one that the digests were made with.
META = Table(
    "meta",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("closed", Integer, nullable=False),
    Column("pepper_check", String(64)),
)

# Rows are never deleted. Times are seconds since the epoch; ``scopes``, ``models`` and ``rates`` are JSON lists.
# ``current`` is 1 for the one key of a name that is neither revoked nor replaced by a rotation.
KEYS = Table(
    "keys",
    METADATA,
    Column("id", String(16), primary_key=True),
    Column("name", String(128), nullable=False),
    Column("tenant", String(128), nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
    Column("scopes", Text, nullable=False),
    Column("models", Text),
    Column("rates", Text, nullable=False),
    Column("created_s", Float(53), nullable=False),
    Column("expires_s", Float(53)),
    Column("revoked_s", Float(53)),
    Column("used_s", Float(53)),
    Column("replaced_by", String(16)),
    Column("current", Integer, nullable=False),
    Column("revision", BigInteger, nullable=False),
)
_CURRENT = KEYS.c.current == 1
Index("keys_one_current", KEYS.c.name, unique=True, sqlite_where=_CURRENT, postgresql_where=_CURRENT)
Index("keys_by_revision", KEYS.c.revision)

# Append-only: triggers refuse every UPDATE and DELETE. ``before`` and ``after`` are JSON without secrets.
AUDIT = Table(
    "audit",
    METADATA,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("at_s", Float(53), nullable=False),
    Column("actor", String(512), nullable=False),
    Column("action", String(64), nullable=False),
    Column("target", String(512), nullable=False),
    Column("before", Text),
    Column("after", Text),
    Column("request_id", String(128)),
    Column("address", String(64)),
)
Index("audit_by_time", AUDIT.c.at_s)

# What was used: ``amount`` of ``unit`` (requests, rows ...), added up by every worker. ``day`` is a date in UTC.
USAGE = Table(
    "usage",
    METADATA,
    Column("day", String(10), primary_key=True),
    Column("principal", String(1024), primary_key=True),
    Column("tenant", String(512), primary_key=True),
    Column("model", String(128), primary_key=True),
    Column("unit", String(16), primary_key=True),
    Column("amount", BigInteger, nullable=False),
)

# Who adds to ``usage``, a worker from its start to its end: the number of the last batch that it has added, and when.
USAGE_WRITERS = Table(
    "usage_writers",
    METADATA,
    Column("writer", String(32), primary_key=True),
    Column("written", BigInteger, nullable=False),
    Column("day", String(10), nullable=False),
)
