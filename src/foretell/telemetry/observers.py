"""Several observers as one."""

from __future__ import annotations

from collections.abc import Sequence

from foretell.telemetry.observer import Observer, Outcome


class Observers:
    """Tells each of them, in order."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def request(self, outcome: Outcome) -> None:
        """See ``Observer``."""
        for observer in self._observers:
            observer.request(outcome)

    def answered(self, shared: Outcome, requests: Sequence[tuple[str, float]]) -> None:
        """See ``Observer``."""
        for observer in self._observers:
            observer.answered(shared, requests)
