"""Our HTTP protocol class: the guarded one with the lane in front of it."""

from __future__ import annotations

import asyncio
from typing import Any

from foretell.core.access.address import counted_as, on_this_machine
from foretell.core.access.credentials import Credential
from foretell.core.access.decision import decide
from foretell.core.access.principal import Principal
from foretell.core.proxies import Caller
from foretell.security.gate import Gate
from foretell.wire.cycle import Arrival, LaneCycle
from foretell.wire.door import Door
from foretell.wire.guarded import GuardedProtocol
from foretell.wire.lane import Lane
from foretell.wire.peer import extensions_of, peer_of
from foretell.wire.plain import Plain, examine

_Header = tuple[bytes, bytes]

HAND_OVER_S = 1.0
"""How long the lane waits for the rest of a body; the ordinary way waits on, and says when it was too long."""


class LaneProtocol(GuardedProtocol):
    """Serves lane requests itself and hands everything else to uvicorn, on the same connection, in order.

    The lane comes out of the lifespan state under ``lane``; without one everything goes the ordinary way.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lane: Lane | None = self.app_state.get("lane")
        self._collecting: LaneCycle | None = None
        self._known_headers: list[_Header] | None = None
        self._known: Plain | None = None
        self._known_caller = self.caller
        self._parts: list[bytes] = []
        self._head_of: tuple[object, str] | None = None
        self._head = b""
        self.address = ""
        self.certificate: Credential | None = None
        self._extensions: dict[str, dict[Any, Any]] = {}
        self._loopback = self._by_name = False
        self._asked: tuple[Plain, Door, int] | None = None
        self._allowed: Principal | None = None

    # -- reading --

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.certificate = peer_of(transport)
        self._extensions = extensions_of(self.certificate)
        self._loopback = not self._proxied and on_this_machine(self.client, self.server)
        # where only some names are answered, these are known to be our own
        self._by_name = self._loopback and self.client is not None and self._hosts.every
        self.address = counted_as(self.caller.address, here=self._loopback)
        if self._surplus:
            self._lane = None

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
                if self._unproven:
                    self.prove()
                self._collecting = door.cycle(self, door, plain.request_id, principal)
                self.cycle = self._collecting
                self._parts = []
                return
        self.begin()

    def _examined(self) -> Plain | None:
        # a connection mostly sends the same headers again; comparing is cheaper than judging
        if self.headers == self._known_headers:
            self.caller = self._known_caller
        else:
            self._known = None
            if self.judged("1.1", upgrade=False) is None:
                self._known = examine(self.headers, any_origin=not self.defence.cors)
            self._known_headers, self._known_caller = self.headers, self.caller
            if self._by_name:
                self._hear_name()
            self.address = counted_as(self.caller.address, here=self._loopback)
        return self._known

    def _hear_name(self) -> None:
        """Whoever asks for a name that is not this machine's may be a page that made its own name point here: it is
        not taken for this machine."""
        host = next((value for name, value in self.headers if name.lower() == b"host"), None)
        loopback = host is None or self.defence.home.own(host)
        if loopback != self._loopback:
            self._loopback = loopback
            self._asked = None

    def _caller(self, gate: Gate, door: Door, plain: Plain) -> Principal | None:
        """Who asks, where memory knows it and it may use the door; asked again only where something has changed."""
        asked = plain, door, gate.generation
        if asked != self._asked:
            principal = gate.recognise(plain.credential or self.certificate, loopback=self._loopback)
            self._allowed = None if principal is None or not decide(principal, door.action).allowed else principal
            self._asked = asked
        return self._allowed

    def scope_of(self, method: bytes, url: bytes, headers: list[_Header], version: str, caller: Caller) -> Any:
        scope = super().scope_of(method, url, headers, version, caller)
        if self._extensions:
            scope["extensions"] = self._extensions
        return scope

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
        self._ended = True
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
        head_of = self._head_of
        if head_of is None or defaults is not head_of[0] or self.caller.scheme != head_of[1]:
            self._head_of = defaults, self.caller.scheme
            lines = b"".join([name + b": " + value + b"\r\n" for name, value in self.answer_headers()])
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
        headers = [(name.lower(), value) for name, value in cycle.headers]
        scope = self.scope_of(b"POST", cycle.url, headers, "1.1", self.caller_of(headers))
        request_id = cycle.request_id or cycle.door.ids.next()
        scope["foretell"] = Arrival(request_id, cycle.started_s, cycle.admission, whole=not more_body)
        ordinary = self.cycle_of(scope, keep_alive=cycle.keep_alive)
        ordinary.body += cycle.body
        ordinary.more_body = more_body
        ordinary.message_event.set()
        if self.cycle is cycle:
            self.cycle = ordinary
        self._start_asgi_task(ordinary, self.app)

    # -- the life of the connection --

    def eof_received(self) -> bool:  # type: ignore[override]
        return self._collecting is None and super().eof_received()

    def _left_s(self, now_s: float) -> float:
        if self._collecting is None or self.transport.is_closing():
            return super()._left_s(now_s)
        left_s = self.arrived_s + HAND_OVER_S - now_s
        if left_s <= 0:
            self.give_up_collecting(self._collecting)
        return max(left_s, 0.001)
