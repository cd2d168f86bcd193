"""The paths of the admin API, and what stands behind each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TypeVar
from urllib.parse import quote

import structlog
from starlette.requests import Request

from foretell.api.admin import bodies
from foretell.api.admin.queries import read_entries_query, read_usage_query
from foretell.api.answers import Answer, document_answer
from foretell.api.body import read_body
from foretell.api.middleware.context import Exchange, exchange_of
from foretell.api.native.router import Path
from foretell.errors import (
    Conflict,
    KeyFault,
    MalformedRequest,
    NotFound,
    RequestError,
    StateError,
    StateFull,
    StorageFull,
    Unavailable,
)
from foretell.security.audit import Author
from foretell.security.keys.store import KeyStore
from foretell.security.usage.ledger import Entry, Ledger
from foretell.security.usage.table import csv_lines

MAX_BODY_BYTES = 256 * 1024
MAX_USAGE = 20_000
RETRY_S = 2

_log = structlog.get_logger("foretell.admin")
_Found = TypeVar("_Found")


def admin_paths(prefix: str) -> Iterator[Path]:
    """Every path of the admin API; each asks for the scope ``admin``."""
    base = f"{prefix}/admin"
    yield Path("GET", f"{base}/keys", list_keys, "admin_keys")
    yield Path("POST", f"{base}/keys", create_key, "admin_key_create")
    yield Path("GET", f"{base}/keys/{{id}}", show_key, "admin_key")
    yield Path("DELETE", f"{base}/keys/{{id}}", revoke_key, "admin_key_revoke")
    yield Path("POST", f"{base}/keys/{{id}}/rotate", rotate_key, "admin_key_rotate")
    yield Path("GET", f"{base}/audit", audit, "admin_audit")
    yield Path("GET", f"{base}/usage", usage, "admin_usage")


async def list_keys(request: Request) -> Answer:
    """Every key there ever was, without its secret."""
    exchange = exchange_of(request.scope)
    found = await _asked(exchange, lambda store: store.all())
    now_s = time.time()
    return document_answer({"keys": [record.document(now_s) for record in found]})


async def show_key(request: Request) -> Answer:
    """One key by its id, or the newest of a name."""
    exchange = exchange_of(request.scope)
    found = await _asked(exchange, lambda store: store.get(request.path_params["id"]))
    return document_answer(found[0].document(time.time()))


async def create_key(request: Request) -> Answer:
    """A new key; its text stands in this answer and nowhere else."""
    exchange = exchange_of(request.scope)
    grant = bodies.read_grant_body(await _body(request, exchange))
    author = _author(request, exchange)
    record, key = await _asked(exchange, lambda store: store.create(grant, author))
    place = quote(f"{exchange.services.settings.prefix}/admin/keys/{record.id}").encode()
    return document_answer({**record.document(time.time()), "key": key}, 201, [(b"location", place)])


async def rotate_key(request: Request) -> Answer:
    """A new key in place of one that stays valid for a grace time."""
    exchange = exchange_of(request.scope)
    grace_s, lifetime_s = bodies.read_rotation_body(await _body(request, exchange))
    name, author = request.path_params["id"], _author(request, exchange)
    record, key = await _asked(
        exchange, lambda store: store.rotate(name, author, grace_s=grace_s, lifetime_s=lifetime_s)
    )
    return document_answer({**record.document(time.time()), "key": key}, 201)


async def revoke_key(request: Request) -> Answer:
    """Ends a key, or every key of a name. It is refused everywhere within two seconds."""
    exchange = exchange_of(request.scope)
    name, author = request.path_params["id"], _author(request, exchange)
    revoked = await _asked(exchange, lambda store: store.revoke(name, author))
    now_s = time.time()
    return document_answer({"revoked": [record.document(now_s) for record in revoked]})


async def audit(request: Request) -> Answer:
    """The newest entries of the audit trail first, a page at a time."""
    exchange = exchange_of(request.scope)
    query = read_entries_query(request.scope["query_string"])
    entries = await _asked(
        exchange,
        lambda store: store.trail.page(since_s=query.since_s, before_id=query.before, limit=query.limit + 1),
    )
    more = len(entries) > query.limit
    entries = entries[: query.limit]
    return document_answer(
        {"entries": [entry.document() for entry in entries], "next_before": entries[-1].id if more else None}
    )


async def usage(request: Request) -> Answer:
    """What was used per day, principal and model, as JSON or, where ``Accept`` asks for it, as CSV."""
    exchange = exchange_of(request.scope)
    query = read_usage_query(request.scope["query_string"], time.time())
    as_csv = "text/csv" in (exchange.header(b"accept") or "")

    def read(store: KeyStore) -> list[Entry]:
        return list(islice(Ledger(store.database).entries(*query), MAX_USAGE + 1))

    entries = await _asked(exchange, read)
    if len(entries) > MAX_USAGE:
        raise MalformedRequest(
            f"That is more than {MAX_USAGE:,} lines.",
            code="too_many_entries",
            hint="ask for fewer days by since and until, or for one key or model; foretell usage gives any number",
        )
    if as_csv:
        text = await asyncio.to_thread(lambda: "".join(csv_lines(entries)))
        return Answer(text.encode(), [(b"content-type", b"text/csv; charset=utf-8"), (b"cache-control", b"no-store")])
    return document_answer({"usage": [entry.document() for entry in entries]})


async def _body(request: Request, exchange: Exchange) -> bytes:
    settings = exchange.services.settings
    largest = min(MAX_BODY_BYTES, settings.limits.max_body_bytes)
    return await read_body(request.receive, exchange, largest, exchange.arrived_s + settings.limits.timeout_s)


def _author(request: Request, exchange: Exchange) -> Author:
    principal = exchange.principal
    actor = "anonymous" if principal is None else principal.id
    client = request.scope.get("client")
    return Author(actor, exchange.request_id, None if client is None else client[0])


async def _asked(exchange: Exchange, ask: Callable[[KeyStore], _Found]) -> _Found:
    """Asks the store on a thread, and has this worker know at once of what changed."""
    keys = exchange.services.keys

    def asked() -> _Found:
        found = ask(keys.store)
        keys.following.catch_up()
        return found

    try:
        return await asyncio.to_thread(asked)
    except KeyFault as error:
        raise Conflict(error.detail) if error.conflict else NotFound(error.detail) from error
    except StateError as error:
        raise _unavailable(error, exchange) from error


def _unavailable(error: StateError, exchange: Exchange) -> RequestError:
    # what the error says of places and databases is for the log alone
    _log.error("state_not_usable", request_id=exchange.request_id, detail=error.detail, hint=error.hint)
    if isinstance(error, StateFull):
        return StorageFull("The server's disk is full, so nothing was changed.")
    return Unavailable(
        "What the server remembers cannot be reached now. The change may not have been made.",
        retry_after_s=RETRY_S,
        code="state_unavailable",
    )
