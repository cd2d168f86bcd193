"""Errors on the wire: one table from error classes to statuses, and RFC 9457 bodies of 4 KB at most (contract §4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from starlette.responses import Response

from foretell.core.faults import clip
from foretell.errors import (
    BodyTooLarge,
    Conflict,
    DeadlineExceeded,
    Draining,
    Fault,
    Forbidden,
    InvalidInput,
    MalformedRequest,
    MethodNotAllowed,
    Misdirected,
    ModelFailed,
    NotAcceptable,
    NotFound,
    NotReady,
    QueueFull,
    RateLimited,
    RequestError,
    RequestTooSlow,
    StorageFull,
    Unauthenticated,
    Unavailable,
    UnknownModel,
    UnknownVersion,
    UnsupportedMediaType,
)

MEDIA_TYPE = "application/problem+json"
TYPE_BASE = "https://foretell.dev/errors/"
MAX_BYTES = 4096
MAX_NAMES = 12

STATUSES: Mapping[type[RequestError], int] = {
    RequestError: 400,
    MalformedRequest: 400,
    InvalidInput: 422,
    Unauthenticated: 401,
    Forbidden: 403,
    RateLimited: 429,
    NotFound: 404,
    UnknownModel: 404,
    UnknownVersion: 404,
    Conflict: 409,
    MethodNotAllowed: 405,
    NotAcceptable: 406,
    UnsupportedMediaType: 415,
    BodyTooLarge: 413,
    RequestTooSlow: 408,
    Misdirected: 421,
    ModelFailed: 500,
    Unavailable: 503,
    NotReady: 503,
    QueueFull: 503,
    Draining: 503,
    DeadlineExceeded: 504,
    StorageFull: 507,
}


class InternalError(RequestError):
    """Stands in the answer for any exception nobody expected; what it was is in the log under the request's id."""

    code = "internal_error"
    title = "Internal error"

    def __init__(self) -> None:
        super().__init__("Something failed inside the server. Its log holds the cause under this request's id.")


def status_of(error: RequestError) -> int:
    """The status of an error: that of its own class, else of the nearest one above it in the tree."""
    if isinstance(error, InternalError):
        return 500
    return next(STATUSES[cls] for cls in type(error).__mro__ if cls in STATUSES)


def headers_of(error: RequestError) -> dict[str, str]:
    """The headers that belong to the error itself."""
    headers = {"cache-control": "no-store"}
    if isinstance(error, Unavailable):
        headers["retry-after"] = str(max(1, error.retry_after_s))
    elif isinstance(error, Unauthenticated):
        headers["www-authenticate"] = 'Bearer realm="foretell"'
    elif isinstance(error, RateLimited):
        if not error.never:
            headers["retry-after"] = str(max(1, error.reset_s))
        headers |= rate_headers(error.limit, error.remaining, error.reset_s)
    return headers


def rate_headers(limit: int, remaining: int, reset_s: int) -> dict[str, str]:
    """Where the caller stands with its limit; ``reset_s`` seconds from now there is more."""
    return {"ratelimit-limit": str(limit), "ratelimit-remaining": str(remaining), "ratelimit-reset": str(reset_s)}


def problem_response(
    error: RequestError, request_id: str, *, show_values: bool, headers: Mapping[str, str] | None = None
) -> Response:
    """The answer to a request that ended in ``error``."""
    return Response(
        encode(error, request_id, show_values=show_values),
        status_of(error),
        {**headers_of(error), **(headers or {})},
        MEDIA_TYPE,
    )


def encode(error: RequestError, request_id: str, *, show_values: bool) -> bytes:
    """The body: as many faults as fit into 4 KB, never more, and ``errors_total`` counting them all."""
    document: dict[str, Any] = {
        "type": TYPE_BASE + error.instance_code.replace("_", "-"),
        "title": _fit(error.instance_title, 160),
        "status": status_of(error),
        "detail": _fit(error.detail, 1000),
        "code": error.instance_code,
        "request_id": request_id,
    }
    if error.hint:
        document["hint"] = _fit(error.hint, 400)
    if error.faults:
        document["errors"] = []
        document["errors_total"] = error.faults_total
        room = MAX_BYTES - len(orjson.dumps(document))
        document["errors"] = list(_first(error.faults, room, show_values))
    return orjson.dumps(document)


def _first(faults: tuple[Fault, ...], room: int, show_values: bool) -> Iterator[dict[str, Any]]:
    for fault in faults:
        entry = _entry(fault, show_values)
        room -= len(orjson.dumps(entry)) + 1
        if room < 0:
            return
        yield entry


def _entry(fault: Fault, show_values: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"message": _fit(fault.message, 300), "code": _fit(fault.code, 64)}
    if fault.parameter is None:
        entry = {"pointer": _fit(fault.pointer, 200), **entry}
    else:
        entry = {"parameter": _fit(fault.parameter, 200), **entry}
    if fault.row is not None:
        entry["row"] = fault.row
    for name in ("expected", "got"):
        if (value := getattr(fault, name)) is not None:
            entry[name] = _plain(value)
    if fault.value is not None and show_values:
        entry["value"] = _fit(clip(fault.value), 300)
    if fault.suggestion is not None:
        entry["suggestion"] = _fit(fault.suggestion, 120)
    return entry


def _plain(value: Any) -> Any:
    """``value`` as small JSON: scalars as they are, lists of names clipped, anything else as clipped text."""
    if isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 1 << 53):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        names = [_fit(clip(str(item)), 80) for item in list(value)[:MAX_NAMES]]
        while len(orjson.dumps(names)) > 480:
            names.pop()
        more = len(value) - len(names)
        return [*names, f"… and {more} more"] if more else names
    return _fit(str(value), 300)


def _fit(text: str, max_bytes: int) -> str:
    """``text`` shortened until it takes at most ``max_bytes`` as JSON, escapes counted; lone surrogates replaced."""
    text = text[:max_bytes].encode("utf-8", "replace").decode()
    shown = text
    while len(orjson.dumps(shown)) > max_bytes:
        text = text[: len(text) * 4 // 5]
        shown = text + "…"
    return shown
