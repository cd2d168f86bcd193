"""Request bodies within their bound.

This is a function the routes call, and not a class in front of them: contract §4 wants 404 and 405 before 413, and only
the route knows the former. Nothing else in the application reads a body, so none can be read without a bound.
"""

from __future__ import annotations

import asyncio
import time

from starlette.types import Message, Receive

from foretell.api.middleware.context import Disconnected, Exchange
from foretell.errors import BodyTooLarge, DeadlineExceeded


async def read_body(receive: Receive, exchange: Exchange, max_bytes: int, deadline_s: float) -> bytes:
    """The whole body, at most ``max_bytes`` of it.

    A declared length over the bound is refused before anything is read; a body without a length is counted while it
    comes. Raises BodyTooLarge, DeadlineExceeded where it is not there by ``deadline_s`` (``time.monotonic``), and
    Disconnected where the caller left.
    """
    declared = exchange.headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared) > max_bytes:
        raise _too_large(max_bytes)
    message = await receive()
    body = _bytes_of(message)
    if not message.get("more_body", False):
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
        return body
    try:
        async with asyncio.timeout(max(0.0, deadline_s - time.monotonic())):
            return await _rest(receive, bytearray(body), max_bytes)
    except TimeoutError:
        raise DeadlineExceeded("The time allowed for this request passed before its body had arrived.") from None


async def _rest(receive: Receive, body: bytearray, max_bytes: int) -> bytes:
    more = True
    while more:
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
        message = await receive()
        body += _bytes_of(message)
        more = message.get("more_body", False)
    if len(body) > max_bytes:
        raise _too_large(max_bytes)
    return bytes(body)


def _bytes_of(message: Message) -> bytes:
    if message["type"] == "http.disconnect":
        raise Disconnected
    body: bytes = message.get("body", b"")
    return body


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"The body is larger than the {max_bytes} bytes this server reads (limits.max_body_bytes).",
        hint="send the rows in several batches",
    )
