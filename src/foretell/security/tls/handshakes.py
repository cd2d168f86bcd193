"""Handshakes that fail, told so that a caller's wrong certificate can be found out, and never line by line."""

from __future__ import annotations

import ssl
import time
from collections import Counter
from collections.abc import Callable

import structlog

PAUSE_S = 10.0

_log = structlog.get_logger("foretell.tls")
_WAITING = (ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Handshakes:
    """Counts failures by OpenSSL's reasons, and tells of them once in ``PAUSE_S`` at most. For the loop's thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: Counter[str] = Counter()
        self._quiet_until_s = -PAUSE_S

    def failed(self, error: ssl.SSLError) -> None:
        """One more. What comes during a pause is told by the first that fails after it."""
        said = getattr(error, "verify_message", None) or getattr(error, "reason", None)  # made here, it has neither
        self._failed[said or "unknown"] += 1
        now_s = self._clock()
        if now_s >= self._quiet_until_s:
            self._quiet_until_s = now_s + PAUSE_S
            _log.warning("tls_handshakes_failed", reasons=dict(self._failed))
            self._failed.clear()


class Connection(ssl.SSLObject):
    """One connection's TLS, which tells its context of a handshake that fails."""

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except _WAITING:
            raise
        except ssl.SSLError as error:
            if isinstance(self.context, TellingContext):
                self.context.handshakes.failed(error)
            raise


class TellingContext(ssl.SSLContext):
    """A context whose connections tell ``handshakes`` of their failures."""

    sslobject_class = Connection
    handshakes: Handshakes
