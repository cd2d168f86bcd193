"""What is said to a request that never became one (contract §4): one table of problems, and the bytes of answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import orjson

from foretell.core.ids import Ids

TYPE_BASE = "https://foretell.dev/errors/"
MAX_TARGET_BYTES = 8 * 1024
MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 128
HEAD_S = 30.0
"""How long the head of a request may take to come, and a new connection to begin with one."""

_ids = Ids()


class Refusal(NamedTuple):
    """A status and why."""

    status: int
    phrase: str
    code: str
    title: str
    detail: str


MALFORMED = Refusal(
    400, "Bad Request", "malformed_http", "Not an HTTP request", "What came cannot be read as an HTTP/1.1 request."
)
TOO_SLOW = Refusal(
    408,
    "Request Timeout",
    "request_too_slow",
    "Request too slow",
    f"The head of the request did not come within {HEAD_S:g} seconds.",
)
TARGET_TOO_LONG = Refusal(
    414,
    "URI Too Long",
    "target_too_long",
    "Target too long",
    f"The path and query of the request are longer than {MAX_TARGET_BYTES} bytes.",
)
HEAD_TOO_LARGE = Refusal(
    431,
    "Request Header Fields Too Large",
    "headers_too_large",
    "Headers too large",
    f"A request may have {MAX_HEADERS} headers, and {MAX_HEAD_BYTES} bytes of them.",
)


def judge(url: bytes, headers: Sequence[tuple[bytes, bytes]]) -> Refusal | None:
    """Why a request with this target and these headers is refused before it is looked at; None where it is not."""
    if len(url) > MAX_TARGET_BYTES:
        return TARGET_TOO_LONG
    if len(headers) > MAX_HEADERS or sum(len(name) + len(value) for name, value in headers) > MAX_HEAD_BYTES:
        return HEAD_TOO_LARGE
    return None


def response(refusal: Refusal, defaults: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The whole answer, after which the connection is closed. ``defaults`` are headers that every answer carries."""
    request_id = _ids.next()
    problem = {
        "type": TYPE_BASE + refusal.code.replace("_", "-"),
        "title": refusal.title,
        "status": refusal.status,
        "detail": refusal.detail,
        "code": refusal.code,
        "request_id": request_id,
    }
    body = orjson.dumps(problem)
    lines = [f"HTTP/1.1 {refusal.status} {refusal.phrase}".encode(), *(b"%b: %b" % pair for pair in defaults)]
    lines += [b"content-type: application/problem+json", b"cache-control: no-store", b"connection: close"]
    lines += [b"content-length: %d" % len(body), b"x-request-id: " + request_id.encode()]
    return b"\r\n".join([*lines, b"", body])
