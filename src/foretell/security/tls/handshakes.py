"""Handshakes under way, of which there may be so many; and those that fail, told so that a caller's wrong certificate
can be found out, and never line by line."""

from __future__ import annotations

import ssl
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import structlog

PAUSE_S = 10.0
HANDSHAKE_S = 4.0
"""How long one may take. Whoever is far away needs three round trips."""

_log = structlog.get_logger("foretell.tls")
_WAITING = (ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Handshakes:
    """Counts failures by OpenSSL's reasons, and tells of them once in ``PAUSE_S`` at most. For the loop's thread.

    ``most`` may be under way at a time: nobody else knows of a connection before its handshake is done, so that callers
    who begin one and fall silent would take all files there are.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        most: int | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self.wall = wall
        self.most = most
        self._begun: WeakKeyDictionary[Connection, float] = WeakKeyDictionary()
        self._failed: Counter[str] = Counter()
        self._quiet_until_s = -PAUSE_S

    @property
    def under_way(self) -> int:
        """How many have begun and neither ended nor been given up."""
        return len(self._begun)

    def admit(self) -> None:
        """Raises SSLError where as many are under way as may be."""
        if self.most is None or len(self._begun) < self.most:
            return
        long_ago_s = self._clock() - HANDSHAKE_S
        for connection, begun_s in list(self._begun.items()):
            if begun_s > long_ago_s:
                break
            del self._begun[connection]  # it was broken off, and is not cleared away yet
        if len(self._begun) >= self.most:
            self.tell("TOO_MANY_HANDSHAKES")
            raise ssl.SSLError("too many handshakes are under way")

    def begin(self, connection: Connection) -> None:
        """One more is under way. A connection that is cleared away ends it, too."""
        self._begun[connection] = self._clock()

    def end(self, connection: Connection) -> None:
        """It is done, or has failed."""
        self._begun.pop(connection, None)

    def failed(self, error: ssl.SSLError) -> None:
        """One more. What comes during a pause is told by the first that fails after it."""
        said = getattr(error, "verify_message", None) or getattr(error, "reason", None)  # made here, it has neither
        self.tell(said or "unknown")

    def tell(self, why: str) -> None:
        """One has failed for this reason."""
        self._failed[why] += 1
        now_s = self._clock()
        if now_s >= self._quiet_until_s:
            self._quiet_until_s = now_s + PAUSE_S
            _log.warning("tls_handshakes_failed", reasons=dict(self._failed))
            self._failed.clear()


class Connection(ssl.SSLObject):
    """One connection's TLS, which tells its context of how its handshake goes."""

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except _WAITING:
            raise
        except ssl.SSLError as error:
            if isinstance(self.context, TellingContext):
                self.context.handshakes.end(self)
                self.context.handshakes.failed(error)
            raise
        if isinstance(self.context, TellingContext):
            self.context.handshakes.end(self)
            if self.session_reused and self._outlived(self.context.handshakes.wall()):
                self.context.handshakes.tell("certificate has expired")
                raise ssl.SSLError("the certificate that the session began with has expired")

    def _outlived(self, now_s: float) -> bool:
        """Whether the time of the caller's certificate is over. Where a session is resumed OpenSSL does not ask."""
        shown: Mapping[str, Any] = self.getpeercert() or {}
        return "notAfter" in shown and ssl.cert_time_to_seconds(shown["notAfter"]) <= now_s


class TellingContext(ssl.SSLContext):
    """A context whose connections tell ``handshakes`` of theirs, and which begins none where too many are under way."""

    sslobject_class = Connection
    handshakes: Handshakes

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """As ``ssl``'s. Raises SSLError where there is no room."""
        self.handshakes.admit()
        made = super().wrap_bio(*args, **kwargs)
        if isinstance(made, Connection):
            self.handshakes.begin(made)
        return made
