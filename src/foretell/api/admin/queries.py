"""The query parameters of the admin API."""

from __future__ import annotations

from typing import NamedTuple

from foretell.api.queries import parameters_of
from foretell.core.faults import clip
from foretell.core.identity import closest
from foretell.core.moments import read_moment
from foretell.errors import Fault, MalformedRequest
from foretell.security.usage.ledger import day_of

MOST_ENTRIES = 1000
_ENTRIES = ("since", "before", "limit")
_USAGE = ("since", "until", "key", "model")


class EntriesQuery(NamedTuple):
    """Entries from ``since_s`` on, older than the entry ``before``, ``limit`` at most."""

    since_s: float = 0.0
    before: int | None = None
    limit: int = 100


def read_entries_query(query: bytes) -> EntriesQuery:
    """What of the audit trail is asked for. Raises MalformedRequest, naming every fault."""
    given = _read(query, _ENTRIES)
    faults = []
    before, limit, since_s = given.get("before"), given.get("limit", "100"), 0.0
    if before is not None and not (before.isascii() and before.isdigit() and len(before) <= 18):
        faults.append(_fault("before", "must be the id of an entry", before))
    if not (limit.isascii() and limit.isdigit() and len(limit) <= 4 and 1 <= int(limit) <= MOST_ENTRIES):
        faults.append(_fault("limit", f"must be a number from 1 to {MOST_ENTRIES}", limit))
    try:
        since_s = read_moment(given.get("since", "1970-01-01"))
    except ValueError as error:
        faults.append(_fault("since", str(error), given["since"]))
    if faults:
        raise _refused(faults)
    return EntriesQuery(since_s, None if before is None else int(before), int(limit))


class UsageQuery(NamedTuple):
    """Usage from the day ``since`` to the day ``until``, both in; of one principal or model where one is named."""

    since: str
    until: str
    key: str = ""
    model: str = ""


def read_usage_query(query: bytes, now_s: float) -> UsageQuery:
    """What of the usage is asked for; the last 30 days where nothing is said. Raises MalformedRequest."""
    given = _read(query, _USAGE)
    faults = []
    days = {"since": day_of(now_s - 29 * 86_400), "until": day_of(now_s)}
    for name in days.keys() & given.keys():
        try:
            days[name] = day_of(read_moment(given[name]))
        except ValueError as error:
            faults.append(_fault(name, str(error), given[name]))
    if faults:
        raise _refused(faults)
    return UsageQuery(**days, key=given.get("key", "")[:1024], model=given.get("model", "")[:128])


def _read(query: bytes, known: tuple[str, ...]) -> dict[str, str]:
    try:
        pairs = parameters_of(query)
    except ValueError as error:
        raise MalformedRequest(f"There are {error}.", code="invalid_parameter") from None
    faults = []
    given: dict[str, str] = {}
    for name, value in pairs:
        if name not in known:
            meant = closest(name, known)
            faults.append(_fault(name, f"is not known here; known are {', '.join(known)}", value, meant))
        elif name in given:
            faults.append(_fault(name, "is given twice", value))
        given[name] = value
    if faults:
        raise _refused(faults)
    return given


def _fault(name: str, message: str, value: str, suggestion: str | None = None) -> Fault:
    return Fault(
        "invalid_parameter", message, parameter=name[:64], value=clip(value), suggestion=suggestion, readable=False
    )


def _refused(faults: list[Fault]) -> MalformedRequest:
    first = faults[0]
    return MalformedRequest(
        f"The parameter {first.parameter!r} {first.message}.", faults=faults, code="invalid_parameter"
    )
