"""Streams of predictions: rows are answered while they come, at constant memory, for as long as they move.

Nothing is buffered beyond a few chunks: a server that is slower than its caller stops reading, a caller that does not
read makes the server stop too. What was answered before something goes wrong is sent; then the connection is broken
off, so that no caller takes a part for the whole.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing

from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from foretell.api.answers import Answer, Header
from foretell.api.middleware.context import Disconnected, Exchange, exchange_of
from foretell.api.native.parameters import allowed_seconds, invalid_options
from foretell.api.native.stream_options import StreamOptions, read_stream_options
from foretell.api.native.stream_thread import StreamThread
from foretell.codecs.negotiate import answer_codec, request_codec
from foretell.codecs.stream.base import Chunk, Reader, StreamLimits, Summary, Writer
from foretell.codecs.stream.columns import refuse_taken
from foretell.errors import DeadlineExceeded, Draining, InvalidInput, RequestError
from foretell.lifecycle.servable import Servable
from foretell.settings import Limits

TICK_S = 0.25
"""How long rows wait for more to fill their chunk, and how often a stream that waits looks whether it may go on."""
SLICE_BYTES = 64 * 1024
LINGER_S = 1.0
"""How long bytes are still taken, and thrown away, after the last answer: to close at once could destroy it."""


async def predict_stream(request: Request) -> StreamAnswer:
    """Rows in, rows out, for as long as they come."""
    exchange, path = exchange_of(request.scope), request.scope["path_params"]
    services = exchange.services
    formats = services.streams
    servable = exchange.catalog.resolve(path.get("model"), path.get("version"))
    exchange.model, exchange.version = servable.ref.model, servable.ref.version
    content_type, encoding = exchange.header(b"content-type"), exchange.header(b"content-encoding")
    read_as, parameters = request_codec(content_type, encoding, formats)
    write_as = answer_codec(exchange.header(b"accept"), [read_as, *(each for each in formats if each is not read_as)])
    allowed_s = allowed_seconds(exchange.header(b"x-request-timeout"), math.inf)
    options, faults = read_stream_options(request.scope["query_string"])
    if faults:
        raise invalid_options(faults)
    refuse_taken(servable.signature, str(servable.ref))
    settings = services.settings
    reader = read_as.reader(
        servable.signature, str(servable.ref), _limits(settings.limits, settings.errors.show_values), parameters
    )
    writer = write_as.writer(servable.signature.output, options.on_error, summary=options.summary)
    async with AsyncExitStack() as opened:
        caller = None if exchange.admission is None else exchange.admission.caller
        opened.enter_context(services.service.stream_lease(servable, caller))
        thread = StreamThread(off_loop=reader.off_loop or writer.off_loop)
        opened.callback(thread.close, reader.close)
        rows = _Rows(request.receive, exchange, reader, thread, deadline_s=exchange.arrived_s + allowed_s)
        opened.callback(rows.close)
        stream = _Stream(exchange, servable, rows, writer, options)
        pieces = await opened.enter_async_context(aclosing(stream.pieces()))
        # what is wrong with the stream as a whole shows before its first answer, and gets a status of its own
        first = await anext(pieces, None)
        return StreamAnswer(stream, first, pieces, opened.pop_all(), _headers(write_as.media_type, servable, exchange))
    raise AssertionError("an exit stack swallows nothing")


def _limits(limits: Limits, show_values: bool) -> StreamLimits:
    return StreamLimits(
        limits.body,
        limits.max_row_bytes,
        limits.max_record_batch_bytes,
        limits.max_spool_bytes,
        show_values=show_values,
    )


def _headers(media_type: str, servable: Servable, exchange: Exchange) -> list[Header]:
    kind = "text/csv; charset=utf-8; header=present" if media_type == "text/csv" else media_type
    return [
        (b"content-type", kind.encode("latin-1")),
        (b"cache-control", b"no-store"),
        (b"x-model", servable.ref.model.encode("latin-1")),
        (b"x-model-version", servable.ref.version.encode("latin-1")),
        (b"x-prediction-id", exchange.services.ids.next().encode("latin-1")),
    ]


class _Rows:
    """The request's body as chunks of rows."""

    def __init__(
        self, receive: Receive, exchange: Exchange, reader: Reader, thread: StreamThread, *, deadline_s: float
    ) -> None:
        self._receive = receive
        self._service = exchange.services.service
        self._idle_s = exchange.services.settings.limits.stream_idle_s
        self._deadline_s = deadline_s
        self._admission = exchange.admission
        self._receiving: asyncio.Task[Message] | None = None
        self._moved_s = time.monotonic()
        self.reader = reader
        self.thread = thread
        self.ended = False

    async def chunks(self) -> AsyncGenerator[Chunk, None]:
        """The rows as they come. Raises a RequestError, or Disconnected."""
        while not self.ended:
            body = await self._bytes()
            if body is None:
                if (chunk := await self._chunk(flush=True)) is not None:
                    yield chunk  # nothing came for a moment: rows do not wait for others without need
                continue
            for start in range(0, len(body), SLICE_BYTES):
                await self.thread.run(self.reader.feed, body[start : start + SLICE_BYTES])
                while (chunk := await self._chunk(flush=False)) is not None:
                    yield chunk
        await self.thread.run(self.reader.end)
        while (chunk := await self._chunk(flush=True)) is not None:
            yield chunk
            if self.reader.off_loop:  # there may be any number of rows still to come
                self._go_on()

    async def _chunk(self, *, flush: bool) -> Chunk | None:
        if self.reader.off_loop:
            chunk = await self.thread.run(self._read_chunk, flush)
        else:
            raw = self.reader.take(flush=flush)
            if raw is None:
                return None
            chunk = self.reader.read(raw) or await asyncio.to_thread(self.reader.explain, raw)
        if chunk is not None and self._admission is not None:
            await self._admission.recheck()
            await self._admission.charge_rows(chunk.count)
        return chunk

    def _read_chunk(self, flush: bool) -> Chunk | None:
        raw = self.reader.take(flush=flush)
        return None if raw is None else self.reader.read(raw) or self.reader.explain(raw)

    def _go_on(self) -> None:
        """Raises what ends a stream between two chunks, its body being there already."""
        self._check_time(time.monotonic())
        self._check_draining()
        self._receiving = self._receiving or asyncio.ensure_future(self._receive())
        if self._receiving.done():
            raise Disconnected  # nothing else can come behind the body

    def _check_time(self, now_s: float) -> None:
        if now_s > self._deadline_s:
            raise DeadlineExceeded("The time allowed for this stream by X-Request-Timeout passed.")

    def _check_draining(self) -> None:
        if self._service.draining:
            raise Draining("The server is stopping. The rows answered so far are all that it read.")

    async def _bytes(self) -> bytes | None:
        """The next bytes; None where none have come for a moment."""
        if self._receiving is None:
            self._receiving = asyncio.ensure_future(self._receive())
            self._moved_s = time.monotonic()
        done, _ = await asyncio.wait([self._receiving], timeout=TICK_S)
        now_s = time.monotonic()
        self._check_time(now_s)
        if not done:
            self._check_draining()
            if self._admission is not None:
                await self._admission.recheck()
            if now_s - self._moved_s > self._idle_s:
                raise DeadlineExceeded(f"No row came for {self._idle_s:g} seconds (limits.stream_idle_s).")
            return None
        message, self._receiving = self._receiving.result(), None
        if message["type"] == "http.disconnect":
            raise Disconnected
        self._check_draining()
        self.ended = not message.get("more_body", False)
        body: bytes = message.get("body", b"")
        return body

    async def linger(self) -> None:
        """Takes what still comes, for a moment, and throws it away."""
        until_s = time.monotonic() + LINGER_S
        while not self.ended and (left_s := until_s - time.monotonic()) > 0:
            self._receiving = self._receiving or asyncio.ensure_future(self._receive())
            done, _ = await asyncio.wait([self._receiving], timeout=left_s)
            if done:
                message, self._receiving = self._receiving.result(), None
                self.ended = message["type"] == "http.disconnect" or not message.get("more_body", False)

    def close(self) -> None:
        """Waits for nothing any more."""
        if self._receiving is not None:
            self._receiving.cancel()
            self._receiving = None


class _Stream:
    """One stream: its rows answered and written."""

    def __init__(
        self, exchange: Exchange, servable: Servable, rows: _Rows, writer: Writer, options: StreamOptions
    ) -> None:
        self.exchange = exchange
        self.rows = rows
        self.idle_s = exchange.services.settings.limits.stream_idle_s
        self._servable = servable
        self._writer = writer
        self._options = options
        self._summary = Summary()

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The answer's bytes, its last ones aside. Raises a RequestError, or Disconnected."""
        service, limits = self.exchange.services.service, self.exchange.services.settings.limits
        run = self.rows.thread.run
        async with (
            aclosing(self.rows.chunks()) as chunks,
            aclosing(service.predict_stream(self._servable, chunks, limits.timeout_s)) as answers,
        ):
            async for answered in answers:
                self._count(answered.chunk.count, len(answered.faults))
                if answered.faults and self._options.on_error == "fail":
                    position, text = min(answered.faults.items())
                    raise _bad_row(answered.chunk.start + position, text)
                layout = self.rows.reader.layout
                if layout is not None and (piece := await run(self._writer.write, answered, layout)):
                    yield piece

    def _count(self, rows: int, faulty: int) -> None:
        self._summary.rows += rows
        self._summary.faulty += faulty
        self.exchange.rows = self._summary.rows

    async def end(self, error: RequestError | None = None) -> bytes:
        """The last bytes."""
        self._summary.complete = error is None
        self._summary.reason = None if error is None else f"{error.instance_code}: {error.detail}"
        return await self.rows.thread.run(self._writer.end, self._summary, self.rows.reader.layout)


def _bad_row(row: int, text: str) -> InvalidInput:
    return InvalidInput(
        f"Row {row} is wrong, and on_error=fail ends the stream there: {text}.",
        code="bad_row",
        title="A row of the stream is wrong",
    )


class StreamAnswer(Answer):
    """The answer to a stream: sent while it is made."""

    def __init__(
        self,
        stream: _Stream,
        first: bytes | None,
        pieces: AsyncGenerator[bytes, None],
        opened: AsyncExitStack,
        headers: list[Header],
    ) -> None:
        super().__init__(b"", [])
        self._stream, self._first, self._pieces, self._opened = stream, first, pieces, opened
        self.raw_headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's shape
        stream, rows = self._stream, self._stream.rows
        try:
            async with self._opened:
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                failure = await self._send_pieces(send)
                last = await stream.end(failure)
            if failure is None:
                await self._send(send, last, more=False)
                return
            stream.exchange.code = failure.instance_code
            if last:
                await self._send(send, last)
            await rows.linger()
        except TimeoutError:
            stream.exchange.code = "client_too_slow"
        finally:
            rows.close()

    async def _send_pieces(self, send: Send) -> RequestError | None:
        """Sends all there is; gives why there is no more where that is not the end."""
        try:
            if self._first is not None:
                await self._send(send, self._first)
            async for piece in self._pieces:
                await self._send(send, piece)
        except RequestError as error:
            return error
        return None

    async def _send(self, send: Send, body: bytes, *, more: bool = True) -> None:
        """Sends bytes. Raises TimeoutError where the caller does not take them."""
        async with asyncio.timeout(self._stream.idle_s):
            await send({"type": "http.response.body", "body": body, "more_body": more})
