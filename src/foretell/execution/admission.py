"""Whether a request may wait for its turn: judged before it waits, by what waits already and how fast that goes. Pure.

Without it, more traffic than a model can take ends in every request waiting until its time is up: a queue is served in
order, so what is served next is always what has waited longest, and the model works for callers who have left. Whoever
cannot be answered in time is told so at once instead, and those who wait are answered.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from foretell.errors import DeadlineExceeded, QueueFull, RequestError
from foretell.execution.base import Prospect

MARGIN = 1.25
"""An estimate is no promise: a request is taken where it would be answered in time if all took this much longer."""

OWN_TIMES = 4.0
"""A request may wait this many times as long as it takes itself: five callers of a slow model are no overload."""

MAX_RETRY_AFTER_S = 60

STUCK_S = 1.0

_WEIGHT = 0.25
_OUTLIER = 4.0


def fits(prospect: Prospect, remaining_s: float, max_queue_s: float) -> bool:
    """Whether the request may wait.

    A call that need not wait always fits: what it takes is an estimate, and only trying keeps the estimate true.
    """
    if remaining_s <= 0.0:
        return False
    if prospect.wait_s <= 0.0:
        return True
    longest_s = max(max_queue_s, OWN_TIMES * (prospect.answer_s - prospect.wait_s))
    return prospect.wait_s <= longest_s and prospect.answer_s * MARGIN <= remaining_s


def refusal(prospect: Prospect, remaining_s: float, max_queue_s: float) -> RequestError | None:
    """Why the request may not wait: DeadlineExceeded or QueueFull with the seconds to stay away; None where it may."""
    if fits(prospect, remaining_s, max_queue_s):
        return None
    if remaining_s <= 0.0:
        return DeadlineExceeded("The time allowed for this request passed before it came to wait for the model.")
    wait_s = prospect.wait_s
    if prospect.answer_s * MARGIN > remaining_s:
        why = f"an answer would take about {prospect.answer_s:.2g} s and this request has {remaining_s:.2g} s left"
    else:
        why = f"a request would wait about {wait_s:.2g} s on account of others, longer than this server lets one wait"
    return QueueFull(
        f"The model has more to do than it can: {why}. Try again later, or ask another instance.",
        retry_after_s=whole_seconds(wait_s),
    )


def whole_seconds(wait_s: float) -> int:
    """A wait as ``Retry-After`` says it: whole seconds, at least 1, at most a minute."""
    return min(max(1, math.ceil(wait_s)), MAX_RETRY_AFTER_S)


class Pace:
    """How long a version's calls take by their rows: as measured at warm-up, then as they really go.

    Calls are told apart by the power of two that their rows fill, so one of 200 rows says nothing of one of 10. Sizes
    between two known ones lie on the line between them; beyond the largest, a call is taken to cost what that one does:
    to believe too little lets in one batch too many, and then it is known.
    """

    def __init__(self, max_rows: int, call_ms: Mapping[int, float] | None = None) -> None:
        self._max_rows = max(1, max_rows)
        self._known: dict[int, tuple[float, float]] = {}
        self._last_rows = 0
        for rows, ms in (call_ms or {}).items():
            self._known[rows.bit_length()] = (float(rows), ms / 1e3)

    def ran(self, rows: int, took_s: float) -> None:
        """One more call went. A single one that took very long moves the estimate by little: machines hiccup."""
        self._last_rows = rows
        size = rows.bit_length()
        known = self._known.get(size)
        if known is None:
            self._known[size] = (float(rows), took_s)
            return
        usual_rows, usual_s = known
        took_s = min(took_s, _OUTLIER * usual_s + 1e-4)
        self._known[size] = (usual_rows + _WEIGHT * (rows - usual_rows), usual_s + _WEIGHT * (took_s - usual_s))

    def call_s(self, rows: int) -> float:
        """Seconds of one call of so many rows; 0 where nothing is known yet."""
        if rows <= 0 or not self._known:
            return 0.0
        below: tuple[float, float] | None = None
        for point in sorted(self._known.values()):
            if point[0] >= rows:
                return point[1] if below is None else _between(below, point, rows)
            below = point
        return 0.0 if below is None else below[1]

    def span_s(self, rows: int) -> float:
        """Seconds until that many rows have gone through, in calls as large as they may be."""
        calls, rest = divmod(rows, self._max_rows)
        return calls * self.call_s(self._max_rows) + self.call_s(rest)

    def prospect(self, rows: int, ahead: int, running: int, elapsed_s: float) -> Prospect:
        """What a call of ``rows`` would meet behind ``ahead`` rows, and a call of ``running`` begun ``elapsed_s`` ago.

        A call that should have been over a second ago is taken to go on for as long again as it has: nothing better is
        known of a model that hangs. The call that the rows will be in may fill up while they wait: to the size of the
        one before, it is assumed.
        """
        own_s = self.span_s(rows)
        if not (ahead or running):
            return Prospect(0.0, own_s)
        rest_s = 0.0
        if running:
            over_s = elapsed_s - self.call_s(running)
            rest_s = elapsed_s if over_s > STUCK_S else max(-over_s, 0.0)
        calls, rest = divmod(ahead + rows, self._max_rows)
        last_s = self.call_s(max(rest, self._last_rows)) if rest else 0.0
        answer_s = rest_s + calls * self.call_s(self._max_rows) + last_s
        return Prospect(max(answer_s - own_s, 0.0), answer_s)


def _between(below: tuple[float, float], above: tuple[float, float], rows: int) -> float:
    (low, low_s), (high, high_s) = below, above
    return low_s + (high_s - low_s) * (rows - low) / (high - low)
