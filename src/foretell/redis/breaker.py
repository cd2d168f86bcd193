"""A circuit breaker: whether a store is asked at all, and when it is tried again. Pure."""

from __future__ import annotations

QUIET_S = 10.0
"""A failure this long after the one before is taken for an accident, and the store is tried again at once."""

MOST_RETRIES = 8
"""The longest pause, in pauses."""


class Breaker:
    """Open until the first success and after every failure: no caller ever waits for a store that has just failed.

    What failed once is tried again in the background, never by a caller. A store that answers the try and fails the
    callers right after it, as a slow one does, is tried half as often each time. Times are on one monotonic clock.
    """

    def __init__(self, retry_s: float) -> None:
        self.closed = False
        self._retry_s = retry_s
        self._pause_s = retry_s
        self._succeeded_s = float("-inf")
        self._failed_s = float("-inf")

    def succeeded(self, now_s: float) -> None:
        """A try was answered: callers may ask."""
        self.closed = True
        self._succeeded_s = now_s

    def failed(self, now_s: float) -> float:
        """Something was not answered. Seconds until the next try."""
        accident, closed = now_s - self._failed_s > QUIET_S, self.closed
        self.closed, self._failed_s = False, now_s
        if accident or (closed and now_s - self._succeeded_s > self._retry_s):
            self._pause_s = self._retry_s
        elif closed:
            self._pause_s = min(2 * self._pause_s, MOST_RETRIES * self._retry_s)
        if accident:
            return 0.0
        return self._pause_s if closed else self._retry_s
