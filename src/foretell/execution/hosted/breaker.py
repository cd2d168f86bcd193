"""When a host that died is started again: a pure policy."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

Cause = Literal["crashed", "time_limit", "memory_limit", "garbage", "killed", "failed_to_load"]
"""Why a host died. ``killed``: by a signal from outside, which is nobody's fault here."""

WINDOW_S = 60.0
MOST_DEATHS = 5
PAUSES_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
SHORT_LIFE_S = 1.0
SPARED = 5
"""How often in a row a host may be killed from outside as soon as it runs and be started again at once."""


@dataclass(slots=True)
class Breaker:
    """Counts deaths. A model that dies of its own making ``MOST_DEATHS`` times within ``WINDOW_S`` is left down until
    the window has passed; one that fails to load, or is killed as soon as it runs, is tried again with growing pauses.
    """

    deaths: deque[float] = field(default_factory=deque)
    short: int = 0

    def died(self, cause: Cause, lived_s: float, now_s: float) -> float:
        """Notes a death and gives the seconds until the next start; 0: at once."""
        if cause in ("failed_to_load", "killed"):
            lasted = cause == "killed" and lived_s >= SHORT_LIFE_S
            self.short = 0 if lasted else self.short + 1
            tries = self.short - (SPARED if cause == "killed" else 0)
            return PAUSES_S[min(tries, len(PAUSES_S)) - 1] if tries > 0 else 0.0
        self.short = 0
        self.deaths.append(now_s)
        while self.deaths[0] <= now_s - WINDOW_S:
            self.deaths.popleft()
        if len(self.deaths) < MOST_DEATHS:
            return 0.0
        return self.deaths[-MOST_DEATHS] + WINDOW_S - now_s
