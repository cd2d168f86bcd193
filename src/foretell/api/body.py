"""Request bodies within their bound.

This is a function the routes call, and not a class in front of them: contract §4 wants 404 and 405 before 413, and only
the route knows the former. Nothing else in the application reads a body, so none can be read without a bound.
"""

from __future__ import annotations

import asyncio
import io
import time

from starlette.types import Message, Receive

from foretell.api.middleware.context import Disconnected, Exchange
from foretell.core.inflation import compression, inflate
from foretell.errors import BodyTooLarge, DeadlineExceeded, RequestError, RequestTooSlow
from foretell.settings import Wire

INFLATED_HERE_BYTES = 16 * 1024
"""Larger bodies are inflated on a thread: a megabyte takes milliseconds."""

MAX_LENGTH_DIGITS = 18
"""No body is longer; a number of thousands of digits takes long to read, and Python refuses it."""


async def read_body(receive: Receive, exchange: Exchange, max_bytes: int, deadline_s: float) -> bytes:
    """The whole body, at most ``max_bytes`` of it, inflated where the settings let it come compressed.

    A declared length over the bound is refused before anything is read; a body without a length is counted while it
    comes. Raises BodyTooLarge, DeadlineExceeded where it is not there by ``deadline_s`` (``time.monotonic``),
    RequestTooSlow where it comes too slowly, MalformedRequest where it cannot be inflated, and Disconnected where the
    caller left.
    """
    body = await _read(receive, exchange, max_bytes, deadline_s)
    wire = exchange.services.settings.wire
    if not wire.compressed or (encoding := compression(exchange.header(b"content-encoding"))) is None:
        return body
    del exchange.headers[b"content-encoding"]  # from here on the body is what it says it is
    if len(body) <= INFLATED_HERE_BYTES:
        return inflate(body, encoding, max_bytes, wire.max_ratio)
    return await asyncio.to_thread(inflate, body, encoding, max_bytes, wire.max_ratio)


async def _read(receive: Receive, exchange: Exchange, max_bytes: int, deadline_s: float) -> bytes:
    declared = exchange.headers.get(b"content-length", b"")
    if declared.isdigit() and (len(declared) > MAX_LENGTH_DIGITS or int(declared) > max_bytes):
        raise _too_large(max_bytes)
    message = await receive()
    body = _bytes_of(message)
    if not message.get("more_body", False):
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
        return body
    services = exchange.services
    try:
        return await _rest(receive, body, max_bytes, Pace(services.settings.wire, deadline_s))
    except (RequestTooSlow, DeadlineExceeded):
        await services.wire.turns.mine()  # thousands that began together end together
        raise


class Pace:
    """How long one body may take: until the request's own deadline, and as ``wire.*`` says."""

    def __init__(self, wire: Wire, deadline_s: float) -> None:
        self._wire = wire
        self._deadline_s = deadline_s
        self._began_s = time.monotonic()

    def left_s(self, count: int) -> float:
        """How long the next bytes may take where ``count`` have come."""
        return max(0.0, min(self._deadline_s, self._late_s(count)) - time.monotonic())

    def error(self, count: int) -> RequestError:
        """What to say once they have not come."""
        if self._deadline_s <= self._late_s(count):
            return DeadlineExceeded("The time allowed for this request passed before its body had arrived.")
        return RequestTooSlow("The body comes more slowly than the server waits for (wire.body_s, wire.min_body_rate).")

    def _late_s(self, count: int) -> float:
        wire = self._wire
        late_s = self._began_s + wire.body_s + count / 1e6
        if wire.min_body_rate:
            late_s = min(late_s, self._began_s + wire.body_grace_s + count / wire.min_body_rate)
        return late_s


async def _rest(receive: Receive, begun: bytes, max_bytes: int, pace: Pace) -> bytes:
    # it gives its bytes away without a copy, which for megabytes is most of what reading them costs
    body = io.BytesIO()
    body.write(begun)
    while True:
        try:
            # looked at again when it is over, not for each byte of thousands of callers
            async with asyncio.timeout(pace.left_s(body.tell())):
                await _gather(receive, body, max_bytes)
                return body.getvalue()
        except TimeoutError:
            if not pace.left_s(body.tell()):
                raise pace.error(body.tell()) from None


async def _gather(receive: Receive, body: io.BytesIO, max_bytes: int) -> None:
    """Writes what comes to the end of ``body``. May be cancelled, and called again: nothing is lost."""
    more = True
    while more:
        if body.tell() > max_bytes:
            raise _too_large(max_bytes)
        message = await receive()
        body.write(_bytes_of(message))
        more = message.get("more_body", False)
    if body.tell() > max_bytes:
        raise _too_large(max_bytes)


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
