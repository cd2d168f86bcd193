"""The audit trail: who changed what, when, and what it was before and is now. It is only ever added to."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from foretell.core.moments import timestamp

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from foretell.state.database import Database

MOST_ENTRIES = 1000
_COLUMNS = 'id, at_s, actor, action, target, "before", "after", request_id, address'


@dataclass(frozen=True, slots=True)
class Author:
    """Who makes a change: a principal's id, or ``cli:USER`` on the command line; and by which request from where."""

    actor: str
    request_id: str | None = None
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One change. ``before`` and ``after`` hold no secret; None where there was nothing, or is nothing any more."""

    id: int
    at_s: float
    author: Author
    action: str
    target: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None

    def document(self) -> dict[str, Any]:
        """For people and programs, as JSON."""
        return {
            "id": self.id,
            "at": timestamp(self.at_s),
            "actor": self.author.actor,
            "action": self.action,
            "target": self.target,
            "before": self.before,
            "after": self.after,
            "request_id": self.author.request_id,
            "address": self.author.address,
        }


class Trail:
    """The entries of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(self, *, since_s: float = 0.0, before_id: int | None = None, limit: int = 100) -> list[Entry]:
        """The newest entries first, ``limit`` at most, from ``since_s`` on and older than ``before_id``."""
        rows = self._database.read(
            f"SELECT {_COLUMNS} FROM audit"  # noqa: S608  # columns of our own
            " WHERE at_s >= :since_s AND id < :before_id ORDER BY id DESC LIMIT :limit",
            since_s=since_s,
            before_id=2**62 if before_id is None else before_id,
            limit=max(1, min(limit, MOST_ENTRIES)),
        )
        return [
            Entry(id, at_s, Author(actor, request_id, address), action, target, _read(before), _read(after))
            for id, at_s, actor, action, target, before, after, request_id, address in rows
        ]


def note(
    connection: Connection,
    author: Author,
    action: str,
    target: str,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Adds an entry in the transaction of the change itself: there is no change without it."""
    from foretell.state.tables import AUDIT

    connection.execute(
        AUDIT.insert().values(
            at_s=time.time(),
            actor=author.actor[:512],
            action=action,
            target=target[:512],
            before=_written(before),
            after=_written(after),
            request_id=author.request_id and author.request_id[:128],
            address=author.address and author.address[:64],
        )
    )


def _written(document: dict[str, Any] | None) -> str | None:
    return None if document is None else json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def _read(text: str | None) -> dict[str, Any] | None:
    return None if text is None else json.loads(text)
