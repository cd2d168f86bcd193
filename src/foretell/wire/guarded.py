"""Our HTTP protocol class without its lane: uvicorn's httptools protocol, which waits for nobody without an end.

It reaches into uvicorn's protocol class, whose inner workings are no public interface: see ``wire.tested``. One timer
for each connection goes off a few times in ten seconds and looks how things stand; requests only leave the times it
looks at.
"""

from __future__ import annotations

import asyncio
import math
import time
import urllib.parse
from collections.abc import Callable, Sequence
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from foretell.core.proxies import PROXIED, Caller
from foretell.wire.defence import Defence, place_of
from foretell.wire.heads import judge
from foretell.wire.ordinary import OrdinaryCycle, is_reset
from foretell.wire.refusals import HEAD_TOO_LARGE, MALFORMED, NO_ROOM, TOO_MANY_CHUNKS, TOO_SLOW, Refusal, response

_Header = tuple[bytes, bytes]

LINGER_S = 1.0
"""How long bytes are still taken, and thrown away, after the last answer: to close at once could destroy it."""
LINGER_BYTES = 64 * 1024
LEAST_RATE = 1024
"""Bytes a second that whoever reads an answer has to take, once the server has to wait for it."""
PROBE = b"HTTP/1.1 102 Processing\r\n\r\n"
PROBE_S = 0.05
STREAM = "/predict/stream"
CHUNK_BYTES = 64
"""What a chunk may take beside its bytes, on average: its size in digits, line ends, an extension."""


class GuardedProtocol(HttpToolsProtocol):
    """Holds every connection to the limits in the lifespan state's ``wire``, a ``Defence``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.defence: Defence = self.app_state["wire"]
        self.made_s = self.arrived_s = 0.0
        self.place: str | None = None
        self.cycle: Any = None  # uvicorn's kind, or one that stands in for it
        self.caller = Caller(None, "http")
        self._peer: str | None = None
        self._proxied = False
        self._surplus = False
        self._unproven = True
        self._in_head = False
        self._head_bytes = 0
        self._chunked = False
        self._chunks = 0
        self._beside_bytes = 0
        self._refusal = MALFORMED
        self._parting: Refusal | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._idle_since: float | None = None
        self._stalled: tuple[float, int] | None = None
        self._linger_until: float | None = None
        self._thrown_bytes = 0
        self._deaf = False
        self._half_closed = False
        self._version = "1.1"

    # -- the life of a connection --

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.made_s = time.perf_counter()
        self._peer = address = None if self.client is None else self.client[0]
        defence = self.defence
        self._proxied = bool(defence.proxies) and defence.proxies.trusts(address)
        self.place = None if self._proxied else place_of(address)
        self.caller = Caller(address, self.scheme or "http")
        self._watch = self.loop.call_later(defence.tick_s, self._look)
        self._surplus = not defence.admit(self, self.made_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self.defence.leave(self)
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        super().connection_lost(exc)

    def turn_away(self) -> None:
        """Says that there is no room, and closes the connection now."""
        if not self.transport.is_closing():
            self.transport.write(response(NO_ROOM, self.answer_headers()))
            self.transport.close()

    def eof_received(self) -> bool:  # type: ignore[override]
        """A caller may close its side once it has asked, and read on. Whether it did, or went away, the next byte
        sent will tell: an interim answer, which says nothing, where there is none yet."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or self._in_head or cycle.more_body or self.scheme == "https":
            return False  # nothing is owed, or nothing can be: TLS has no half of a connection
        self._half_closed = True
        cycle.keep_alive = False
        if not (self.pipeline or getattr(cycle, "response_started", False) or self._version == "1.0"):
            self.transport.write(PROBE)
            self.loop.call_later(PROBE_S, self._notice_reset)
        return True

    def _notice_reset(self) -> None:
        """Nothing is read any more, so nobody would tell that the caller has gone."""
        if not self.transport.is_closing() and is_reset(self.transport):
            self.transport.abort()

    # -- reading --

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            self._throw_away(len(data))
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._deaf = True  # it is answered as the HTTP it is, and what came behind it is nobody's
            return
        except httptools.HttpParserError as error:
            cause = error.__context__
            if not isinstance(cause, httptools.HttpParserError | ValueError | None):
                self.logger.error("refused for a fault of the server's own", exc_info=cause)
            self._refuse(self._refusal)
            return
        limits = self.defence.limits
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > limits.max_head_bytes + limits.max_target_bytes:
                self._refuse(HEAD_TOO_LARGE)
        elif self._chunked:
            self._beside_bytes += len(data)
            if self._beside_bytes > limits.max_head_bytes + limits.max_target_bytes + CHUNK_BYTES * self._chunks:
                self._refuse(HEAD_TOO_LARGE)  # extensions or trailers, which nobody here reads

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
        if refusal is not None:
            self._refusal = refusal
            raise ValueError(refusal.code)  # the parser stops here, and ``data_received`` refuses
        if self._unproven:
            self.prove()
        self._version = version
        headers = [(name.lower(), value) for name, value in self.headers]
        self.scope = self.scope_of(parser.get_method(), url, headers, version, self.caller)
        self._chunked = any(name == b"transfer-encoding" for name, _ in headers)
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
        hosts = defence.hosts_of_proxies if self._proxied else defence.hosts
        refusal = judge(self.url, self.headers, version, hosts, defence.limits, upgrade=upgrade)
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
        scope = {
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
        self._chunked = False
        super().on_message_complete()

    # -- refusing --

    def answer_headers(self) -> list[_Header]:
        """What every answer carries, whichever way it takes."""
        return [*self.server_state.default_headers, *self.defence.safety[self.caller.scheme]]

    def _refuse(self, refusal: Refusal) -> None:
        """Answers what did not become a request, in its turn, and ends the connection."""
        if self._deaf or self.transport.is_closing():
            return
        self._deaf = True
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

    def _say(self, refusal: Refusal) -> None:
        self.transport.write(response(refusal, self.answer_headers()))
        self._linger()

    def _linger(self) -> None:
        """Ends the connection, but not before its last answer has had time to arrive."""
        self._deaf = True
        self._linger_until = time.perf_counter() + LINGER_S
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._watch_for(LINGER_S)

    def _throw_away(self, count: int) -> None:
        self._thrown_bytes += count
        if self._thrown_bytes > LINGER_BYTES:
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

    def pause_writing(self) -> None:
        """The caller does not read as fast as it is answered."""
        self._stalled = time.perf_counter(), self.transport.get_write_buffer_size()
        super().pause_writing()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._stalled = None
        super().resume_writing()

    # -- watching --

    def _watch_for(self, seconds: float) -> None:
        if self._watch is not None:
            self._watch.cancel()
        self._watch = self.loop.call_later(max(0.001, min(seconds, self.defence.tick_s)), self._look)

    def _look(self) -> None:
        """Ends what has taken too long, and looks again when something else could have."""
        self._watch_for(self._left_s(time.perf_counter()))

    def _left_s(self, now_s: float) -> float:
        """How long the connection may stay as it is; what may not any longer is ended."""
        if self.transport.is_closing() or self.flow.write_paused:
            return self._stall_left_s(now_s)
        until_s, end = self._bound()
        if now_s + 0.001 < until_s:
            return until_s - now_s
        end()
        return math.inf

    def _bound(self) -> tuple[float, Callable[[], None]]:
        """Until when the connection may stay as it is, and what to do then."""
        limits, close = self.defence.limits, self.transport.close
        if self._linger_until is not None:
            return self._linger_until, close
        if self._in_head:
            return self.arrived_s + limits.head_s, self._head_late
        if self._idle_since is not None:
            return self._idle_since + self.timeout_keep_alive, self.timeout_keep_alive_handler
        if not self.arrived_s:
            return self.made_s + limits.head_s, close
        if self._half_closed:
            return 0.0, self._notice_reset
        rest_of_small = self.cycle is not None and self.cycle.response_complete
        return (self.arrived_s + limits.body_s if rest_of_small else math.inf), close

    def _head_late(self) -> None:
        if self.cycle is None or self.cycle.response_complete:  # else what is to be said has to wait for its turn
            self._refuse(TOO_SLOW)

    def _stall_left_s(self, now_s: float) -> float:
        """How long a caller that is waited for has left to take some of what is for it."""
        size, allowed_s = self.transport.get_write_buffer_size(), self.defence.limits.write_stall_s
        since_s, before = self._stalled or (now_s, size)
        left_s = since_s + allowed_s - now_s
        if left_s <= 0:
            if before - size < LEAST_RATE * allowed_s:
                self.transport.abort()
            since_s, before, left_s = now_s, size, allowed_s
        self._stalled = since_s, before
        return left_s


def _length(headers: Sequence[_Header]) -> int:
    return next((int(value) for name, value in headers if name == b"content-length"), 0)
