"""A circuit breaker: whether a store is asked at all, and when it is tried again. Pure."""

from __future__ import annotations

QUIET_S = 10.0
"""A failure this long after the one before is taken for an accident, and the store is tried again at once."""


class Breaker:
    """Open until the first success and after every failure: no caller ever waits for a store that has just failed.

    What failed once is tried again in the background, never by a caller. Times are on one monotonic clock.
    """

    def __init__(self, retry_s: float) -> None:
        self.closed = False
        self._retry_s = retry_s
        self._failed_s = float("-inf")

    def succeeded(self) -> None:
        """A try was answered: callers may ask."""
        self.closed = True

    def failed(self, now_s: float) -> float:
        """Something was not answered. Seconds until the next try."""
        self.closed = False
        accident = now_s - self._failed_s > QUIET_S
        self._failed_s = now_s
        return 0.0 if accident else self._retry_s
