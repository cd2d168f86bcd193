"""Our HTTP protocol class: uvicorn's httptools protocol with the lane in front of it.

It reaches into uvicorn's protocol class, whose inner workings are no public interface: see ``wire.tested``.
"""

from __future__ import annotations

import asyncio
import time
import urllib.parse
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from foretell.core.access.address import on_this_machine
from foretell.core.access.credentials import Credential
from foretell.core.access.decision import decide
from foretell.core.access.principal import Principal
from foretell.security.gate import Gate
from foretell.wire.cycle import Arrival, LaneCycle
from foretell.wire.door import Door
from foretell.wire.lane import Lane
from foretell.wire.peer import extensions_of, peer_of
from foretell.wire.plain import Plain, examine
from foretell.wire.refusals import HEAD_S, HEAD_TOO_LARGE, MALFORMED, MAX_HEAD_BYTES, TOO_SLOW, Refusal, judge, response

_Header = tuple[bytes, bytes]


class LaneProtocol(HttpToolsProtocol):
    """Serves lane requests itself and hands everything else to uvicorn, on the same connection, in order.

    The lane comes out of the lifespan state under ``lane``; without one everything goes the ordinary way.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lane: Lane | None = self.app_state.get("lane")
        self._collecting: LaneCycle | None = None
        self._known_headers: list[_Header] | None = None
        self._known: Plain | None = None
        self._parts: list[bytes] = []
        self._head_of: object = None
        self._head = b""
        self._idle_timer: asyncio.TimerHandle | None = None
        self._idle_since: float | None = None
        self.arrived_s = 0.0
        self._in_head = False
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._refusal = MALFORMED
        self.address = ""
        self.certificate: Credential | None = None
        self._extensions: dict[str, dict[Any, Any]] = {}
        self._loopback = False
        self._asked: tuple[Plain, Door, int] | None = None
        self._allowed: Principal | None = None

    # -- reading --

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.address = "" if self.client is None else self.client[0]
        self._loopback = on_this_machine(self.client, self.server)
        self.certificate = peer_of(transport)
        self._extensions = extensions_of(self.certificate)
        self._head_timer = self.loop.call_later(HEAD_S, self._head_late)

    def data_received(self, data: bytes) -> None:
        self._idle_since = None
        super().data_received(data)
        if self._in_head:
            self._await_head(len(data))
        elif self._collecting is not None:
            self._collecting.await_body()

    def _await_head(self, count: int) -> None:
        """A head is not whole yet: bounds how large it may grow and how long it may take."""
        self._head_bytes += count
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(HEAD_TOO_LARGE)
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_S, self._head_late)

    def _head_late(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        if not self.arrived_s:
            self.transport.close()
        elif self._in_head:
            remaining_s = self.arrived_s + HEAD_S - time.perf_counter()
            busy = self.cycle is not None and not self.cycle.response_complete
            if remaining_s > 0.001 or busy:  # what is to be said to a pipelined request has to wait for its turn
                self._head_timer = self.loop.call_later(max(remaining_s, 0.1), self._head_late)
            else:
                self._refuse(TOO_SLOW)

    def _refuse(self, refusal: Refusal) -> None:
        """Answers what did not become a request, and closes the connection."""
        if self.transport.is_closing():
            return
        self.transport.write(response(refusal, self.server_state.default_headers))
        self.transport.close()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's words; ours say the same as a problem
        self._refuse(self._refusal)

    def on_message_begin(self) -> None:
        self._idle_since = None  # in data that held a whole request before, which may be answered by now
        self._in_head = True
        self.url = b""
        self.headers = []
        self.arrived_s = time.perf_counter()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_bytes = 0
        lane = self._lane
        door = None if lane is None else lane.doors.get(self.url)
        if (
            lane is not None
            and door is not None
            and (self.cycle is None or self.cycle.response_complete)
            and not self.flow.write_paused
        ):
            plain = self._examined()
            principal = None if plain is None else self._caller(lane.gate, door, plain)
            if (
                plain is not None
                and principal is not None
                and plain.content_length <= lane.max_body_bytes
                and self.parser.get_method() == b"POST"
                and self.parser.get_http_version() == "1.1"
                and self.parser.should_keep_alive()
                and not self.parser.should_upgrade()
            ):
                self._collecting = door.cycle(self, door, plain.request_id, principal)
                self.cycle = self._collecting  # type: ignore[assignment]  # stands in for uvicorn's cycle: see LaneCycle
                self._parts = []
                return
        self._ordinary_headers_complete()

    def _examined(self) -> Plain | None:
        # a connection mostly sends the same headers again; comparing is cheaper than judging
        if self.headers != self._known_headers:
            self._known = examine(self.headers)
            self._known_headers = self.headers
        return self._known

    def _caller(self, gate: Gate, door: Door, plain: Plain) -> Principal | None:
        """Who asks, where memory knows it and it may use the door; asked again only where something has changed."""
        asked = plain, door, gate.generation
        if asked != self._asked:
            principal = gate.recognise(plain.credential or self.certificate, loopback=self._loopback)
            self._allowed = None if principal is None or not decide(principal, door.action).allowed else principal
            self._asked = asked
        return self._allowed

    def _ordinary_headers_complete(self) -> None:
        url, headers = self.url, self.headers
        refusal = judge(url, headers)
        if refusal is not None:
            self._refusal = refusal
            raise ValueError(refusal.code)  # the parser stops here, and uvicorn calls send_400_response
        super().on_message_begin()
        if self._extensions:
            self.scope["extensions"] = self._extensions
        self.url = url
        for name, value in headers:
            super().on_header(name, value)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._collecting is not None:
            self._parts.append(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        cycle = self._collecting
        if cycle is None:
            super().on_message_complete()
            return
        self._collecting = None
        parts = self._parts
        cycle.body = parts[0] if len(parts) == 1 else b"".join(parts)
        if not cycle.abandoned and not cycle.start():
            self.fall_back(cycle)

    # -- answering --

    def answer(self, cycle: LaneCycle, request_id: bytes, body: bytes, more: bytes = b"") -> None:
        """Writes the answer of a lane request and ends its cycle. ``more`` are header lines of its own."""
        cycle.response_complete = True
        if self.transport.is_closing():
            return
        defaults = self.server_state.default_headers
        if defaults is not self._head_of:
            self._head_of = defaults
            lines = b"".join([name + b": " + value + b"\r\n" for name, value in defaults])
            self._head = b"HTTP/1.1 200 OK\r\n" + lines + b"content-type: application/json\r\nx-request-id: "
        if not cycle.keep_alive:
            more += b"connection: close\r\n"
        self.transport.write(
            b"%b%b\r\ncontent-length: %d\r\n%b\r\n%b" % (self._head, request_id, len(body), more, body)
        )
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def give_up_collecting(self, cycle: LaneCycle) -> None:
        """Hands a request whose body does not come to the ordinary way, which keeps the time and says so."""
        self._collecting = None
        cycle.body = b"".join(self._parts)
        self.fall_back(cycle, more_body=True)

    def fall_back(self, cycle: LaneCycle, *, more_body: bool = False) -> None:
        """Starts a lane request anew the ordinary way, with the bytes, the arrival time and the id it came with."""
        cycle.response_complete = True
        if self.transport.is_closing():
            cycle.door.left(cycle)
            return
        path, _, query = cycle.url.partition(b"?")
        headers = [(name.lower(), value) for name, value in cycle.headers]
        scope: Any = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": self.root_path,
            "headers": headers,
            "state": self.app_state.copy(),
            "method": "POST",
            "path": self.root_path + urllib.parse.unquote(path.decode("ascii")),
            "raw_path": self.root_path.encode("ascii") + path,
            "query_string": query,
            "foretell": Arrival(cycle.request_id or cycle.door.ids.next(), cycle.started_s, cycle.admission),
        }
        if self._extensions:
            scope["extensions"] = self._extensions
        ordinary = RequestResponseCycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=cycle.keep_alive,
            on_response=self.on_response_complete,
        )
        ordinary.body += cycle.body
        ordinary.more_body = more_body
        ordinary.message_event.set()
        if self.cycle is cycle:  # type: ignore[comparison-overlap]  # see on_headers_complete
            self.cycle = ordinary
        self._start_asgi_task(ordinary, self.app)

    # -- the life of the connection --

    def on_response_complete(self) -> None:
        """As uvicorn's, but one timer serves all the idle times of a connection: to set and cancel one for each request
        costs more than to let it find, when it goes off, that the connection was used since."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_since = self.loop.time()
        if self._idle_timer is None:
            self._idle_timer = self.loop.call_later(self.timeout_keep_alive, self._close_if_idle)

    def _close_if_idle(self) -> None:
        self._idle_timer = None
        if self._idle_since is None or self.transport.is_closing():
            return
        remaining_s = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if remaining_s > 0.001:
            self._idle_timer = self.loop.call_later(remaining_s, self._close_if_idle)
        else:
            self.timeout_keep_alive_handler()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
        super().connection_lost(exc)
