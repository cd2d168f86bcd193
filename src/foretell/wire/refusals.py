"""What is said to a request that never became one (contract §4): one table of problems, and the bytes of answers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import orjson

from foretell.core.ids import Ids

TYPE_BASE = "https://foretell.dev/errors/"

_ids = Ids()


class Refusal(NamedTuple):
    """A status and why."""

    status: int
    phrase: str
    code: str
    title: str
    detail: str


def _malformed(detail: str) -> Refusal:
    return Refusal(400, "Bad Request", "malformed_http", "Not an HTTP request", detail)


MALFORMED = _malformed("What came cannot be read as an HTTP/1.1 request.")
HOST_MALFORMED = _malformed("A request names its host in exactly one Host header: a name or an address, and a port.")
CODING = _malformed("Bodies come with a length or in chunks; there is no other transfer coding here.")
TARGET = _malformed("The target of a request is a path and a query here, without a fragment.")
UPGRADE_WITH_BODY = _malformed(
    "A request with a body cannot ask for another protocol: leave out the Upgrade header, or begin with HTTP/1.1."
)
TOO_SLOW = Refusal(
    408,
    "Request Timeout",
    "request_too_slow",
    "Request too slow",
    "The head of the request did not come in the time allowed (wire.head_s).",
)
TOO_MANY_CHUNKS = Refusal(
    413,
    "Content Too Large",
    "too_many_chunks",
    "Too many chunks",
    "The body comes in more chunks than the server reads (wire.max_chunks); send it with a length.",
)
TARGET_TOO_LONG = Refusal(
    414,
    "URI Too Long",
    "target_too_long",
    "Target too long",
    "The path and query of the request are longer than the server reads (wire.max_target_bytes).",
)
MISDIRECTED = Refusal(
    421,
    "Misdirected Request",
    "misdirected_request",
    "Not a name of this server",
    "The request is for a host that this server was not told is its own (wire.hosts).",
)
HEAD_TOO_LARGE = Refusal(
    431,
    "Request Header Fields Too Large",
    "headers_too_large",
    "Headers too large",
    "The request has more headers, or larger ones, than the server reads (wire.max_headers, wire.max_header_bytes, "
    "wire.max_head_bytes).",
)
NO_ROOM = Refusal(
    503,
    "Service Unavailable",
    "too_many_connections",
    "Too many connections",
    "There are as many connections as the server holds, from this address or in all (wire.max_connections).",
)
PIPELINE_FULL = Refusal(
    503,
    "Service Unavailable",
    "too_many_pipelined",
    "Too many requests at once",
    "More requests wait on this connection than the server keeps; wait for answers before asking on.",
)
REFUSALS = (
    MALFORMED,
    TOO_SLOW,
    TOO_MANY_CHUNKS,
    TARGET_TOO_LONG,
    MISDIRECTED,
    HEAD_TOO_LARGE,
    NO_ROOM,
    PIPELINE_FULL,
)
"""One of each code, for the reference."""


def response(refusal: Refusal, defaults: Iterable[tuple[bytes, bytes]]) -> bytes:
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
    if refusal.status == 503:
        lines.append(b"retry-after: 1")
    lines += [b"content-length: %d" % len(body), b"x-request-id: " + request_id.encode()]
    return b"\r\n".join([*lines, b"", body])
