"""Answers as cheap as they can be: bytes and a few headers, sent as two messages."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

Header = tuple[bytes, bytes]

_JSON: Header = (b"content-type", b"application/json")
_NO_STORE: Header = (b"cache-control", b"no-store")


class Answer(Response):
    """A response whose headers are ready-made; Starlette's own would encode and sort through them once more."""

    def __init__(self, body: bytes, headers: list[Header], status_code: int = 200) -> None:
        self.status_code = status_code
        self.background = None
        self.body = body
        self.raw_headers = [*headers, (b"content-length", b"%d" % len(body))]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's shape
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body})


def json_answer(body: bytes) -> Answer:
    """A prediction in JSON."""
    return Answer(body, [_JSON])


def document_answer(document: dict[str, Any], status_code: int = 200, headers: list[Header] | None = None) -> Answer:
    """A document in JSON that holds for this moment only. What JSON has no value for is written as text."""
    body = orjson.dumps(document, default=str, option=orjson.OPT_NON_STR_KEYS)
    return Answer(body, [_JSON, _NO_STORE, *(headers or [])], status_code)
