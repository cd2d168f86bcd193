"""Our HTTP protocol class without its lane: what is no request is refused, and what is goes to the application."""

from __future__ import annotations

import asyncio
import time
import urllib.parse
from collections.abc import Sequence
from typing import Any

import httptools

from foretell.core.proxies import PROXIED, Caller
from foretell.wire.heads import judge
from foretell.wire.ordinary import OrdinaryCycle
from foretell.wire.refusals import HEAD_TOO_LARGE, MALFORMED, NO_ROOM, PIPELINE_FULL, TOO_MANY_CHUNKS, Refusal
from foretell.wire.watched import LINGER_BYTES, WatchedProtocol

_Header = tuple[bytes, bytes]

MOST_PIPELINED = 128
"""Requests of one connection that wait for the one before: a kilobyte of them each, and no more."""
STREAM = "/predict/stream"
CHUNK_BYTES = 64
"""What a chunk may take beside its bytes, on average: its size in digits, line ends, an extension."""


class GuardedProtocol(WatchedProtocol):
    """Holds every connection to the limits in the lifespan state's ``wire``, a ``Defence``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._chunked = False
        self._chunks = 0
        self._beside_bytes = 0
        self._ended = False
        self._chunks_begun = False
        self._refusal = MALFORMED
        self._parting: Refusal | None = None

    # -- reading --

    def data_received(self, data: bytes) -> None:
        if not self._heeds and self._put_off(data):
            return
        self._ended = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.deafen()  # it is answered as the HTTP it is, and what came behind it is nobody's
            return
        except httptools.HttpParserError as error:
            cause = error.__context__
            if not isinstance(cause, httptools.HttpParserError | ValueError | None):
                self.logger.error("refused for a fault of the server's own", exc_info=cause)
            self._refuse_read(self._refusal, data)
            return
        if self._in_head:
            self._count_head(data)
        elif self._chunked:
            self._count_beside(data)

    def _count_head(self, data: bytes) -> None:
        """Counts what a read held of a head that is not whole yet."""
        limits = self.defence.limits
        if self._ended:  # the read began with another request, so that all of this one that came is in it
            self._head_bytes = len(self.url) + sum([len(name) + len(value) for name, value in self.headers])
        else:
            self._head_bytes += len(data)
        if self._head_bytes > limits.max_head_bytes + limits.max_target_bytes:
            self._refuse_read(HEAD_TOO_LARGE, data)

    def _count_beside(self, data: bytes) -> None:
        """Counts what a read held beside the bytes of a body in chunks; those were taken off already."""
        limits = self.defence.limits
        if self._chunks_begun and self._ended:  # behind other requests: nobody knows where those ended
            self._beside_bytes = 0
        elif self._chunks_begun:
            self._beside_bytes += len(data) - (data.find(b"\r\n\r\n") + 4)  # without its head
        else:
            self._beside_bytes += len(data)
        self._chunks_begun = False
        if self._beside_bytes > limits.max_head_bytes + limits.max_target_bytes + CHUNK_BYTES * self._chunks:
            self._refuse_read(HEAD_TOO_LARGE, data)  # extensions or trailers, which nobody here reads

    def on_message_begin(self) -> None:
        self._idle_since = None  # not once for all that comes: a request may be answered before the next one begins
        self._in_head = True
        self.url = b""
        self.headers = []
        self.arrived_s = time.perf_counter()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # else it is a trailer, which came too late to be heeded
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_bytes = 0
        self.begin()

    def begin(self) -> None:
        """Starts the request whose head is whole, or lets the parser fail where it is refused."""
        parser, url = self.parser, self.url
        version, upgrade = parser.get_http_version(), parser.should_upgrade()
        refusal = self.judged(version, upgrade=upgrade)
        if refusal is None and self._surplus and url not in self.defence.health:
            refusal = NO_ROOM
        if refusal is None and len(self.pipeline) >= MOST_PIPELINED:
            refusal = PIPELINE_FULL
        if refusal is not None:
            self._refusal = refusal
            raise ValueError(refusal.code)  # the parser stops here, and ``data_received`` refuses
        if self._unproven:
            self.prove()
        self._version = version
        headers = [(name.lower(), value) for name, value in self.headers]
        self.scope = self.scope_of(parser.get_method(), url, headers, version, self.caller)
        self._chunked = any(name == b"transfer-encoding" for name, _ in headers)
        self._chunks_begun = self._chunked
        self._chunks = self._beside_bytes = 0
        cycle = self.cycle_of(
            self.scope,
            keep_alive=version == "1.1" and parser.should_keep_alive() and not (upgrade or self._surplus),
            expect_100_continue=(b"expect", b"100-continue") in ((name, value.lower()) for name, value in headers),
        )
        cycle.small = not self._chunked and _length(headers) <= LINGER_BYTES
        earlier, self.cycle = self.cycle, cycle
        if earlier is None or earlier.response_complete:
            self._start_asgi_task(cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def judged(self, version: str, *, upgrade: bool) -> Refusal | None:
        """Why the request whose head is whole is refused; where it is not, ``caller`` says from here who sent it."""
        defence = self.defence
        refusal = judge(self.url, self.headers, version, self._hosts, defence.limits, upgrade=upgrade)
        if refusal is None and self._proxied:
            self.caller = self.caller_of(self.headers)
        return refusal

    def caller_of(self, headers: Sequence[_Header]) -> Caller:
        """Who sent a request with these headers over this connection."""
        return self.defence.proxies.caller(self._peer, self.scheme or "http", headers)

    def prove(self) -> None:
        """The connection has asked for something."""
        self._unproven = False
        self.defence.prove(self)

    def scope_of(self, method: bytes, url: bytes, headers: list[_Header], version: str, caller: Caller) -> Any:
        """The ASGI scope of a request. Raises what makes the parser fail where the target is none."""
        if url.startswith(b"/") or url == b"*":
            raw_path, _, query = url.partition(b"?")
        else:
            parsed = httptools.parse_url(url)
            raw_path, query = parsed.path or b"/", parsed.query or b""
        path = raw_path.decode("ascii")
        address, scheme = caller
        client = self.client
        if client is None or client[0] != address:
            client = None if address is None else (address, 0)
        scope: Any = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": version,
            "server": self.server,
            "client": client,
            "scheme": scheme,
            "root_path": self.root_path,
            "headers": headers,
            "state": self.app_state.copy(),
            "method": method.decode("ascii"),
            "path": self.root_path + (urllib.parse.unquote(path) if "%" in path else path),
            "raw_path": self.root_path.encode("ascii") + raw_path,
            "query_string": query,
        }
        if self._proxied:
            scope[PROXIED] = True
        return scope

    def cycle_of(self, scope: Any, *, keep_alive: bool, expect_100_continue: bool = False) -> OrdinaryCycle:
        """A request for the application."""
        cycle = OrdinaryCycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=expect_100_continue,
            keep_alive=keep_alive,
            on_response=self.on_response_complete,
        )
        cycle.duplex = scope["path"].endswith(STREAM)
        return cycle

    def on_chunk_header(self) -> None:
        """One more chunk begins."""
        self._chunks += 1
        if self._chunks > self.defence.limits.max_chunks and not self.cycle.duplex:
            self._refusal = TOO_MANY_CHUNKS
            raise ValueError(TOO_MANY_CHUNKS.code)

    def on_body(self, body: bytes) -> None:
        if self._chunked:
            self._beside_bytes -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._ended = True
        self._chunked = False
        super().on_message_complete()

    # -- refusing --

    def _refuse_read(self, refusal: Refusal, data: bytes) -> None:
        """Refuses what was just read, all of which counts as thrown away."""
        self._thrown_bytes = len(data)
        self._refuse(refusal)

    def _refuse(self, refusal: Refusal) -> None:
        """Answers what did not become a request, in its turn, and ends the connection."""
        if self._deaf or self.transport.is_closing():
            return
        self.deafen()
        self.defence.note(refusal)
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            self._say(refusal)
        elif cycle.more_body and not self.pipeline:  # it is the body of the request in hand that is wrong
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.close()  # to say more would be taken for a part of the answer
            else:
                self._say(refusal)
        else:
            if cycle.more_body:
                self.pipeline.popleft()
            self._parting = refusal
            self.flow.pause_reading()

    # -- answering --

    def on_response_complete(self) -> None:
        """As uvicorn's, but one timer serves all the times of a connection: to set and cancel one for each request
        costs more than to let it find, when it goes off, that the connection was used since."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if not self._deaf:
            self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._parting is not None:
            self._say(self._parting)
        elif self.cycle.last or (self.cycle.more_body and not self.cycle.small):
            self._linger()  # what is left of the body would be read for nobody
        elif not (self._in_head or self.cycle.more_body):
            self._idle_since = time.perf_counter()


def _length(headers: Sequence[_Header]) -> int:
    return next((int(value) for name, value in headers if name == b"content-length"), 0)
