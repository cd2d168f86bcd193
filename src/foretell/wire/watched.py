"""The life of one connection: its place among the others, and how long it may wait for what.

It reaches into uvicorn's protocol class, whose inner workings are no public interface: see ``wire.tested``. Once a
second each connection has a turn to look how things stand; requests only leave the times it looks at.
"""

from __future__ import annotations

import asyncio
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from foretell.core.access.address import network_of
from foretell.core.hosts import is_loopback
from foretell.core.proxies import Caller
from foretell.wire.defence import Defence
from foretell.wire.ordinary import is_reset
from foretell.wire.refusals import NO_ROOM, TOO_SLOW, Refusal, response
from foretell.wire.turns import Turn

_Header = tuple[bytes, bytes]

LINGER_S = 1.0
"""How long bytes are still taken, and thrown away, after the last answer: to close at once could destroy it."""
LINGER_BYTES = 64 * 1024
LEAST_RATE = 1024
"""Bytes a second that whoever reads an answer has to take, once the server has to wait for it."""
PROBE = b"HTTP/1.1 102 Processing\r\n\r\n"
PROBES_S = (0.002, 0.05)
TLS_AHEAD_BYTES = 16 * 1024
"""What is decrypted of a connection that nobody reads from at the moment, beside the read that it came with."""


class WatchedProtocol(HttpToolsProtocol, ABC):
    """Holds every connection to the limits in the lifespan state's ``wire``, a ``Defence``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.defence: Defence = self.app_state["wire"]
        self.made_s = self.arrived_s = 0.0
        self.place: str | None = None
        self.cycle: Any = None  # uvicorn's kind, or one that stands in for it
        self.caller = Caller(None, "http")
        self._peer: str | None = None
        self._hosts = self.defence.hosts
        self._proxied = False
        self._surplus = False
        self._unproven = True
        self._in_head = False
        self._watch: Turn | None = None
        self._idle_since: float | None = None
        self._stalled: tuple[float, int] | None = None
        self._linger_until: float | None = None
        self._thrown_bytes = 0
        self._deaf = False
        self._heeds = False
        self._first = b""
        self._half_closed = False
        self._version = "1.1"

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.made_s = time.perf_counter()
        self._peer = address = None if self.client is None else self.client[0]
        defence = self.defence
        self._proxied = bool(defence.proxies) and defence.proxies.trusts(address)
        # settings that name a loopback address say nothing where another server has bound the socket
        own = self.server is None or is_loopback(self.server[0])
        self._hosts = defence.hosts if own and not self._proxied else defence.hosts_of_others
        self.place = None if self._proxied or address is None else network_of(address)
        self.caller = Caller(address, self.scheme or "http")
        self._watch = defence.turns.later(defence.tick_s, self._look)
        self._surplus = not defence.admit(self, self.made_s)
        if self.scheme == "https":
            transport.set_read_buffer_limits(high=TLS_AHEAD_BYTES)  # type: ignore[attr-defined]  # asyncio's, uvloop's

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
            for seconds in PROBES_S:  # of who went away for good, the first look tells; of who is far, the second
                self.defence.turns.later(seconds, self._notice_reset)
        return True

    def _notice_reset(self) -> None:
        """Nothing is read any more, so nobody would tell that the caller has gone."""
        if not self.transport.is_closing() and is_reset(self.transport):
            self.transport.abort()

    # -- ending --

    def answer_headers(self) -> list[_Header]:
        """What every answer carries, whichever way it takes."""
        return [*self.server_state.default_headers, *self.defence.safety[self.caller.scheme]]

    @abstractmethod
    def _refuse(self, refusal: Refusal) -> None:
        """Answers what did not become a request, in its turn, and ends the connection."""

    def _say(self, refusal: Refusal) -> None:
        self.transport.write(response(refusal, self.answer_headers()))
        self._linger()

    def _linger(self) -> None:
        """Ends the connection, but not before its last answer has had time to arrive."""
        self.deafen()
        self._linger_until = time.perf_counter() + LINGER_S
        self.flow.resume_reading()
        self._throw_away(len(self.cycle.body) if self.cycle is not None and self.cycle.more_body else 0)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._watch_for(LINGER_S)

    def _throw_away(self, count: int) -> None:
        self._thrown_bytes += count
        if self._thrown_bytes > LINGER_BYTES:
            self.flow.pause_reading()

    def deafen(self) -> None:
        """What comes from here on is thrown away."""
        self._deaf, self._heeds = True, False

    # -- what is not read at once --

    def _put_off(self, data: bytes) -> bool:
        """Whether bytes are not to be read now: they are thrown away, or are the first of one of many connections.

        To hear somebody out for the first time takes longer than to go on, so that those who are known would wait for
        a thousand that come at once.
        """
        if self._deaf:
            self._throw_away(len(data))
            return True
        if self._first:
            self._first += data
            return True
        if self.scheme == "https" or self.defence.turns.spare():  # a handshake takes longer than the head behind it
            self._heeds = True
            return False
        self._first = data
        self.flow.pause_reading()
        self.defence.turns.later(0.0, self._hear)
        return True

    def _hear(self) -> None:
        """Reads what was put off."""
        data, self._first = self._first, b""
        if not (self._deaf or self.transport.is_closing()):
            self._heeds = True
            self.flow.resume_reading()
            self.data_received(data)

    def _end(self) -> None:
        """Ends a connection whose last answer has had its time."""
        if self._thrown_bytes > LINGER_BYTES:
            self.transport.abort()  # to close TLS in good order is to read whatever still comes
        else:
            self.transport.close()

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
        self._watch = self.defence.turns.later(max(0.001, min(seconds, self.defence.tick_s)), self._look)

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
            return self._linger_until, self._end
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
