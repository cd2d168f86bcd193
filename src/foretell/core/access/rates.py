"""How much of something in how long: ``100/m``, ``1M/month``, ``5000 rows/h``. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

Unit = Literal["requests", "rows"]
UNITS: tuple[Unit, ...] = get_args(Unit)

_MULTIPLES = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
MOST = 10**15 - 1
PERIODS_S = {"s": 1, "m": 60, "h": 3600, "day": 86_400, "week": 604_800, "month": 30 * 86_400}
_PERIOD_NAMES = {
    "s": "s", "sec": "s", "second": "s", "m": "m", "min": "m", "minute": "m", "h": "h", "hour": "h",
    "d": "day", "day": "day", "w": "week", "week": "week", "month": "month",
}  # fmt: skip
_GRAMMAR = re.compile(r"\s*+(\d{1,15})\s*+([kmg]?)\s*+([a-z]*)\s*+/\s*+([a-z]+)\s*+", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``count`` of ``unit`` in any ``period_s`` seconds. A month is 30 days."""

    count: int
    period_s: int
    unit: Unit = "requests"

    @classmethod
    def parse(cls, text: str) -> Rate:
        """Reads ``100/m``, ``1M/month``, ``5k rows/h``. Raises ValueError, which says what is taken."""
        match = _GRAMMAR.fullmatch(text)
        period = match and _PERIOD_NAMES.get(match[4].lower())
        unit = match and (match[3].lower() or "requests")
        count = 0 if match is None else int(match[1]) * _MULTIPLES[match[2].lower()]
        if match is None or period is None or unit not in UNITS or not 0 < count <= MOST:
            raise ValueError("must be a rate such as 100/m, 1M/month or 5k rows/h (s, m, h, day, week, month; k, M, G)")
        return cls(count, PERIODS_S[period], unit)

    def __str__(self) -> str:
        period = next((name for name, seconds in PERIODS_S.items() if seconds == self.period_s), f"{self.period_s}s")
        unit = "" if self.unit == "requests" else f" {self.unit}"
        return f"{self.count}{unit}/{period}"
