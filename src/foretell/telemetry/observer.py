"""The observer port: every request, however it was answered, is handed to it exactly once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from foretell.core.access.principal import Principal

Result = Literal["success", "refused", "failed", "disconnected"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one request ended.

    outcome       success (2xx, 3xx), refused (the caller's fault, or not now), failed (ours), disconnected
    route         the path as registered, such as ``/api/v1/models/{model}/predict``; never the caller's text
    rows          rows of this request; ``batch_rows`` rows of the model call it travelled in, 0 where none ran
    duration_ms   from the first byte of the request to the hand-over of the answer
    inference_ms  the model call alone
    lane          whether the lane answered it
    principal     who called; None where nobody was asked who it is
    """

    request_id: str
    method: str
    route: str
    status: int
    outcome: Result = "success"
    code: str | None = None
    model: str | None = None
    version: str | None = None
    rows: int = 0
    batch_rows: int = 0
    duration_ms: float = 0.0
    inference_ms: float | None = None
    lane: bool = False
    principal: Principal | None = None


class Observer(Protocol):
    """Told of every request once. Never raises and never waits."""

    def request(self, outcome: Outcome) -> None:
        """One request ended."""
        ...

    def answered(self, shared: Outcome, requests: Sequence[tuple[str, float]]) -> None:
        """Several requests of one batch ended alike: as ``shared``, but for (request_id, duration_ms) of each."""
        ...
