"""A purse: what was counted ahead for one caller, to be spent from memory. Pure.

Counting takes several microseconds, spending one or two tenths of one. So a portion is counted as large as what the
caller spent in the interval before, and what is left of a portion after two intervals is given back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from foretell.security.limits.buckets import Bucket
from foretell.security.limits.counters import Amount, Granted, Mark, Refused

FREE = 1 << 62
"""What is in the purse of a unit that nothing limits."""


class Purse:
    """Of one caller (``owner``) and what it asks.

    ``active`` while there is anything to be given back; ``usual`` is what was spent in the interval before; ``low`` is
    where more is ordered, and ``refused`` what was asked for and refused, for the rest of the interval.
    """

    __slots__ = (
        "_began",
        "_granted",
        "_limited",
        "_mark",
        "_old_mark",
        "active",
        "asking",
        "buckets",
        "low",
        "owner",
        "refused",
        "requests",
        "rows",
        "usual",
    )

    def __init__(self, owner: Any, buckets: Sequence[Bucket]) -> None:
        self.owner = owner
        self.buckets = buckets
        limited = {bucket.unit for bucket in buckets}
        self._limited = Amount(*(1 if unit in limited else 0 for unit in range(2)))
        self.requests = 0 if self._limited.requests else FREE
        self.rows = 0 if self._limited.rows else FREE
        self.active = False
        self.asking = False
        self.usual = Amount()
        self.low = -1
        self.refused: tuple[Amount, Refused] | None = None
        self._began = Amount()
        self._granted = Amount()
        self._mark = self._old_mark = Mark("", 0.0)

    def spend(self, requests: int, rows: int) -> bool:
        """Takes so much out; False where it is not there, and nothing was taken."""
        if self.requests < requests or self.rows < rows:
            return False
        self.requests -= requests
        self.rows -= rows
        return True

    def refusal(self, requests: int, rows: int) -> Refused | None:
        """Why so much, which is no less than was refused a moment ago, need not be asked for again."""
        if self.refused is None:
            return None
        asked, refused = self.refused
        return refused if requests >= asked.requests and rows >= asked.rows else None

    def short(self, requests: int, rows: int) -> tuple[Amount, Amount]:
        """What has to be counted to spend so much, and what is likely to be wanted besides."""
        need = Amount(max(0, requests - self.requests), max(0, rows - self.rows))
        return need, self._plenty(need)

    def missing(self) -> Amount:
        """What is likely to be wanted soon and is not there."""
        return Amount(max(0, self.usual.requests - self.requests), max(0, self.usual.rows - self.rows))

    def _plenty(self, need: Amount) -> Amount:
        usual, limited = self.usual, self._limited
        return Amount(max(need.requests, usual.requests * limited.requests), max(need.rows, usual.rows * limited.rows))

    def fill(self, granted: Granted) -> tuple[Amount, Mark] | None:
        """Puts a portion in. What was counted at another place before, and is no longer in the purse."""
        rest = self._cleared() if granted.mark.place != self._mark.place else None
        amount, limited = granted.amount, self._limited
        self.requests += amount.requests * limited.requests
        self.rows += amount.rows * limited.rows
        got = self._granted
        self._granted = Amount(got.requests + amount.requests, got.rows + amount.rows)
        self._mark = granted.mark
        return rest

    def settle(self) -> tuple[Amount, Mark] | None:
        """Ends an interval. What is left of the portions before it, which is no longer in the purse."""
        left = Amount(self.requests, self.rows)
        granted, limited = self._granted, self._limited
        self.usual = Amount(
            (self._began.requests + granted.requests - left.requests) * limited.requests,
            (self._began.rows + granted.rows - left.rows) * limited.rows,
        )
        stale = Amount(
            max(0, left.requests - granted.requests) * limited.requests,
            max(0, left.rows - granted.rows) * limited.rows,
        )
        self.requests -= stale.requests
        self.rows -= stale.rows
        mark = self._old_mark
        self._began = Amount(self.requests, self.rows)
        self._granted = Amount()
        self._old_mark = self._mark
        self.low, self.refused = -1, None
        self.active = any(self.usual) or any(self._kept())
        return (stale, mark) if any(stale) else None

    def empty(self) -> tuple[Amount, Mark]:
        """Everything that is left, which is no longer in the purse."""
        left = self._kept()
        self.requests -= left.requests
        self.rows -= left.rows
        self._began = self._granted = Amount()
        return left, self._mark

    def _cleared(self) -> tuple[Amount, Mark] | None:
        """Everything that is left, in the middle of an interval; what was spent in it still counts as usual."""
        left, granted, limited = self._kept(), self._granted, self._limited
        self._began = Amount(
            (self._began.requests + granted.requests) * limited.requests - left.requests,
            (self._began.rows + granted.rows) * limited.rows - left.rows,
        )
        self.requests -= left.requests
        self.rows -= left.rows
        self._granted = Amount()
        return (left, self._mark) if any(left) else None

    def _kept(self) -> Amount:
        return Amount(self.requests * self._limited.requests, self.rows * self._limited.rows)
