"""The sliding window: a ring of parts, each the sum of what was counted in it. Pure.

A window of ``period_s`` is cut into ``whole`` parts; a ring keeps one more, the one that is still being filled. A part
is left out only once the whole of it is older than the period. So in no ``period_s`` seconds is more spent than counted
at any one time, which is the limit at most; and what was spent is free again after ``period_s`` and at most one part.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    """Parts of ``part_s`` seconds, numbered from the beginning of time; ``whole`` of them cover the period."""

    whole: int
    part_s: float

    @classmethod
    def of(cls, period_s: float, held_s: float, whole: int) -> Window:
        """``held_s``: what was counted may be spent up to that much later."""
        return cls(whole, (period_s + held_s) / whole)

    def part(self, now_s: float) -> int:
        """The number of the part being filled."""
        return int(now_s / self.part_s)

    def leaves_s(self, part: int) -> float:
        """When a part is left out."""
        return (part + self.whole + 1) * self.part_s

    def wait_s(self, counted: Sequence[tuple[int, int]], short: int, now_s: float) -> float:
        """Seconds until ``short`` of what was ``counted``, as (part, amount), the oldest first, is left out."""
        for part, amount in counted:
            short -= amount
            if short <= 0:
                return max(0.0, self.leaves_s(part) - now_s)
        return math.inf
