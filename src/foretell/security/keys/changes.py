"""Changes to keys, each in one transaction with its entry in the audit trail. Imports SQLAlchemy: see the store."""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, select, text

from foretell.core.access.api_key import ID_CHARS, SECRET_BYTES, mint
from foretell.core.access.grant import Grant
from foretell.core.access.scopes import SCOPES
from foretell.errors import KeyFault
from foretell.security.audit import Author, note
from foretell.security.keys.record import COLUMNS, KeyRecord
from foretell.state.tables import KEYS, META

Digest = Callable[[bytes], bytes]
_SELECTED = [KEYS.c[name] for name in COLUMNS.split(", ")]


def next_revision(connection: Connection) -> int:
    """The number of this change. Whoever has it holds the lock on all other changes until the transaction ends."""
    return int(
        connection.execute(META.update().values(revision=META.c.revision + 1).returning(META.c.revision)).scalar_one()
    )


def create(
    connection: Connection, grant: Grant, digest: Digest, author: Author, now_s: float, *, closes: bool
) -> tuple[KeyRecord, str]:
    """A new key, and its text. Raises KeyFault where a key of the name is there."""
    revision = next_revision(connection)
    there = _current(connection, grant.name)
    if there is not None:
        raise KeyFault(
            f"There is a key {grant.name!r} already ({there.id}, {there.state(now_s)}).",
            hint=f"foretell keys rotate {grant.name} replaces it; foretell keys revoke {grant.name} frees the name",
            conflict=True,
        )
    record, key = _insert(connection, grant, digest, now_s, revision)
    if closes:
        connection.execute(META.update().values(closed=1))
    note(connection, author, "key.create", f"key:{grant.name}", after=record.document(now_s))
    return record, key


def rotate(
    connection: Connection,
    old: KeyRecord,
    digest: Digest,
    author: Author,
    now_s: float,
    *,
    grace_s: float,
    lifetime_s: float | None,
) -> tuple[KeyRecord, str]:
    """A new key in place of ``old``, which stays valid for ``grace_s``. Raises KeyFault where it is not current."""
    revision = next_revision(connection)
    there = _current(connection, old.name)
    if there is None or there.id != old.id:
        raise KeyFault(
            f"The key {old.id} ({old.name}) is {old.state(now_s)} and cannot be rotated.",
            hint=f"foretell keys create {old.name} makes a new one" if there is None else f"rotate {there.id}",
            conflict=True,
        )
    if lifetime_s is None and there.expires_s is not None:
        lifetime_s = there.expires_s - there.created_s
    before = there.document(now_s)
    ends_s = now_s + grace_s
    if there.expires_s is not None:
        ends_s = min(ends_s, there.expires_s)
    retired = {"current": 0, "expires_s": ends_s, "revision": revision}
    connection.execute(KEYS.update().where(KEYS.c.id == there.id).values(retired))
    grant = Grant(there.name, there.tenant, there.scopes, there.models, there.rates, lifetime_s)
    record, key = _insert(connection, grant, digest, now_s, revision)
    connection.execute(KEYS.update().where(KEYS.c.id == there.id).values(replaced_by=record.id))
    note(connection, author, "key.rotate", f"key:{old.name}", before=before, after=record.document(now_s))
    return record, key


def revoke(connection: Connection, key: str, author: Author, now_s: float, *, one: bool) -> list[KeyRecord]:
    """Ends ``one`` key, that of an id, or every key of a name, at once. Those that were revoked before stay so.

    They are looked for behind the lock: a rotation a moment ago has made one more of the name.
    """
    revision = next_revision(connection)
    meant = (KEYS.c.id if one else KEYS.c.name) == key
    left = select(*_SELECTED).where(meant, KEYS.c.revoked_s.is_(None)).order_by(KEYS.c.created_s.desc(), KEYS.c.id)
    revoked = []
    for before in [KeyRecord.of(row) for row in connection.execute(left)]:
        ended = {"revoked_s": now_s, "current": 0, "revision": revision}
        connection.execute(KEYS.update().where(KEYS.c.id == before.id).values(ended))
        after = KeyRecord.of(connection.execute(select(*_SELECTED).where(KEYS.c.id == before.id)).one())
        note(
            connection,
            author,
            "key.revoke",
            f"key:{before.name}",
            before=before.document(now_s),
            after=after.document(now_s),
        )
        revoked.append(after)
    return revoked


def has_name(connection: Connection, name: str) -> bool:
    """Whether a key of this name was ever made."""
    return connection.execute(select(KEYS.c.id).where(KEYS.c.name == name).limit(1)).first() is not None


def note_used(connection: Connection, used: dict[str, float]) -> None:
    """Writes down when keys were last used; of several workers the latest counts."""
    connection.execute(
        text("UPDATE keys SET used_s = :used_s WHERE id = :id AND (used_s IS NULL OR used_s < :used_s)"),
        [{"id": key_id, "used_s": used_s} for key_id, used_s in sorted(used.items())],
    )


def _current(connection: Connection, name: str) -> KeyRecord | None:
    row = connection.execute(select(*_SELECTED).where(KEYS.c.name == name, KEYS.c.current == 1)).first()
    return None if row is None else KeyRecord.of(row)


def _insert(connection: Connection, grant: Grant, digest: Digest, now_s: float, revision: int) -> tuple[KeyRecord, str]:
    key_id, key = mint(secrets.token_bytes(ID_CHARS + SECRET_BYTES))
    lifetime_s = math.inf if grant.lifetime_s is None else grant.lifetime_s
    row: dict[str, Any] = {
        "id": key_id,
        "name": grant.name,
        "tenant": grant.tenant,
        "scopes": json.dumps([scope for scope in SCOPES if scope in grant.scopes]),
        "models": None if grant.models is None else json.dumps(sorted(grant.models)),
        "rates": json.dumps([str(rate) for rate in grant.rates]),
        "created_s": now_s,
        "expires_s": None if lifetime_s == math.inf else now_s + lifetime_s,
        "revoked_s": None,
        "used_s": None,
        "replaced_by": None,
        "digest": digest(key.encode()).hex(),
        "revision": revision,
    }
    connection.execute(KEYS.insert().values(current=1, **row))
    return KeyRecord.of([row[name] for name in COLUMNS.split(", ")]), key
