"""What the connections of one process have in common: the limits they are held to, and the table of them all."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

import structlog

from foretell.core.headers import safety_headers
from foretell.core.hosts import Hosts
from foretell.core.proxies import Proxies
from foretell.settings import Settings
from foretell.wire import files
from foretell.wire.refusals import NO_ROOM, Refusal
from foretell.wire.turns import Turn, Turns

HANDSHAKING = 4
"""TLS has one handshake under way for so many connections at most."""
RESERVE = 64
"""Connections beyond the limit that are heard out, so that whoever asks for the server's health is answered."""
SETTLED_S = 1.0
"""How old a connection without a request has to be before it makes room for a new one."""
TELL_S = 1.0
_HEALTH = ("/health", "/health/live", "/health/ready")

_log = structlog.get_logger("foretell.wire")


class Connection(Protocol):
    """A connection as the table sees it. ``made_s`` is on ``time.perf_counter``'s clock."""

    made_s: float
    place: str | None

    def turn_away(self) -> None:
        """Says that there is no room, and closes the connection now."""


class Defence:
    """Limits and connections of one process. ``free_files`` are the files it may still open; None: as it stands."""

    def __init__(self, settings: Settings, free_files: int | None = None) -> None:
        self.limits = settings.wire
        self.hosts = Hosts.of(settings.wire.hosts, settings.host)
        self.hosts_of_others = Hosts.of(settings.wire.hosts, "")
        self.home = Hosts.home(settings.wire.hosts)
        self.proxies = Proxies(settings.proxy.trusted, settings.proxy.header)
        self.cors = bool(settings.cors.origins)
        self.safety = {scheme: safety_headers(scheme, settings.wire.hsts_s) for scheme in ("http", "https")}
        self.health = frozenset((prefix + path).encode() for prefix in {"", settings.prefix} for path in _HEALTH)
        room = _room(files.free() if free_files is None else free_files)
        if settings.tls.enabled:
            room = room * HANDSHAKING // (HANDSHAKING + 1)  # a handshake holds a file, too
        self.most = max(1, min(settings.wire.max_connections, room))
        self.most_handshakes = max(1, self.most // HANDSHAKING)
        limits = self.limits
        self.tick_s = min(1.0, limits.head_s / 2, limits.write_stall_s / 2, settings.keep_alive_s / 2)
        self.turns = Turns()
        self._each = settings.wire.max_connections_per_address
        self._by_place: Counter[str] = Counter()
        self._admitted: dict[Connection, str | None] = {}
        self._unproven: dict[Connection, None] = {}
        self._surplus: dict[Connection, None] = {}
        self._refused: Counter[str] = Counter()
        self._telling: Turn | None = None

    @property
    def admitted(self) -> int:
        """How many connections have a place."""
        return len(self._admitted)

    def admit(self, connection: Connection, now_s: float) -> bool:
        """Whether there is a place for a new connection, which then has it.

        Where all are taken, the oldest connection that has not asked for anything makes room. One that finds no place
        is surplus: it is heard out, for the server's health alone, until ``RESERVE`` younger ones have come.
        """
        place = connection.place
        crowded = place is not None and 0 < self._each <= self._by_place[place]
        if not crowded and len(self._admitted) >= self.most:
            self._make_room(now_s)
        if crowded or len(self._admitted) >= self.most:
            self._surplus[connection] = None
            if len(self._surplus) > RESERVE:
                self._turn_away(next(iter(self._surplus)))
            return False
        self._admitted[connection] = place
        self._unproven[connection] = None
        if place is not None:
            self._by_place[place] += 1
        return True

    def _make_room(self, now_s: float) -> None:
        oldest = next(iter(self._unproven), None)
        if oldest is not None and now_s - oldest.made_s > SETTLED_S:
            self._turn_away(oldest)

    def _turn_away(self, connection: Connection) -> None:
        self.leave(connection)
        self.note(NO_ROOM)
        connection.turn_away()

    def prove(self, connection: Connection) -> None:
        """The connection has asked for something: it makes no room for others any more."""
        self._unproven.pop(connection, None)

    def note(self, refusal: Refusal) -> None:
        """Counts a refusal; the log tells once a second what there were."""
        self._refused[refusal.code] += 1
        if self._telling is None:
            self.tell()

    def tell(self) -> None:
        """Tells the log what was refused since it was told last, where anything was; and again in a second."""
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        if self._refused:
            _log.warning("refused_below_http", **self._refused)
            self._refused.clear()
            self._telling = self.turns.later(TELL_S, self.tell)

    def look_at_files(self, count: int = 1) -> bool:
        """Whether so many files are left to open; the log tells where they are not. To be called once a second.

        The system, or the loop, closes new connections then, and this is the only place that can say so.
        """
        left = files.left(count)
        if not left:
            _log.error(
                "out_of_files",
                limit=files.limit(),
                connections=len(self._admitted),
                hint="new connections are closed until files are; allow more (ulimit -n) or fewer connections "
                "(wire.max_connections)",
            )
        return left

    def leave(self, connection: Connection) -> None:
        """The connection has ended. To say so twice is as good as once."""
        self._surplus.pop(connection, None)
        self._unproven.pop(connection, None)
        if connection not in self._admitted:
            return
        place = self._admitted.pop(connection)
        if place is not None:
            self._by_place[place] -= 1
            if not self._by_place[place]:
                del self._by_place[place]


def _room(free_files: int) -> int:
    """How many connections can be held: a fifth of the files stays free for models, logs and what is beyond."""
    return int(free_files * 0.8) - RESERVE
