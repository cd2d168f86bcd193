"""Which requests are plain enough for the lane, judged by their headers alone. Pure.

Refused is what changes the meaning of the message or of the answer; unknown headers are never a reason. A refusal costs
nothing but speed: the request goes the ordinary way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from foretell.core.access.credentials import Credential, presented
from foretell.core.ids import sane_request_id
from foretell.errors import Unauthenticated

Headers = Sequence[tuple[bytes, bytes]]

MAX_HEADERS = 64
_MEANINGFUL = frozenset(
    {
        b"expect",
        b"transfer-encoding",
        b"content-encoding",
        b"te",
        b"trailer",
        b"upgrade",
        b"range",
        b"if-match",
        b"if-none-match",
        b"if-modified-since",
        b"if-unmodified-since",
        b"if-range",
        b"x-request-timeout",
        b"http2-settings",
    }
)
_JSON_TYPES = frozenset({b"application/json", b"application/json;charset=utf-8"})
_JSON_RANGES = frozenset({b"*/*", b"application/*", b"application/json"})


class Plain(NamedTuple):
    """What the lane needs to know of a plain request."""

    content_length: int
    request_id: str | None
    credential: Credential | None = None


def examine(headers: Headers, *, any_origin: bool = True) -> Plain | None:
    """What a request with these headers says, or None where it must go the ordinary way.

    ``any_origin``: which page asks makes no difference to the answer.
    """
    seen = _seen(headers)
    if seen is None or not (any_origin or b"origin" not in seen):
        return None
    length = seen.get(b"content-length", b"")
    plain = (
        length.isdigit()
        and len(length) <= 9
        and b"host" in seen
        and _json_body(seen.get(b"content-type"))
        and _json_answer(seen.get(b"accept"))
        and seen.get(b"connection", b"keep-alive").lower() == b"keep-alive"
    )
    request_id = seen[b"x-request-id"].decode("latin-1") if b"x-request-id" in seen else None
    if not plain or not (request_id is None or sane_request_id(request_id)):
        return None
    try:
        return Plain(int(length), request_id, presented(seen.items()))
    except Unauthenticated:
        return None


def _seen(headers: Headers) -> dict[bytes, bytes] | None:
    """The headers the lane looks at; None where one changes the meaning of the message, or comes twice."""
    if len(headers) > MAX_HEADERS:
        return None
    seen: dict[bytes, bytes] = {}
    for name, value in headers:
        lower = name.lower()
        if lower in _MEANINGFUL or lower in seen:
            return None
        if lower in _SINGLE:
            seen[lower] = value
    return seen


# headers of which a plain request has at most one
_SINGLE = frozenset(
    {
        b"content-length",
        b"content-type",
        b"accept",
        b"connection",
        b"host",
        b"x-request-id",
        b"authorization",
        b"x-api-key",
        b"origin",
    }
)


def _json_body(content_type: bytes | None) -> bool:
    return content_type is None or content_type.lower().replace(b" ", b"") in _JSON_TYPES


def _json_answer(accept: bytes | None) -> bool:
    """Whether JSON is what the caller would like best. With weights given, the ordinary way does the sum."""
    if accept is None:
        return True
    first, _, _ = accept.lower().partition(b",")
    return first.strip() in _JSON_RANGES and b";" not in accept
