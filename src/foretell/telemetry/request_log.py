"""The request log: one line per request, encoded cheaply (a structlog event costs ten times as much)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from foretell.telemetry.lines import Clock, JsonLines, Lines, plain
from foretell.telemetry.observer import Outcome
from foretell.telemetry.sink import Sink

_LEVELS = {"success": "info", "refused": "warning", "disconnected": "warning", "failed": "error"}
_RANKS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class RequestLog:
    """An Observer that writes lines, but for those below ``level``: success is info, refusal warning, failure error."""

    def __init__(self, sink: Sink, lines: Lines, *, level: str = "info") -> None:
        self._sink = sink
        self._lines = lines
        self._json = isinstance(lines, JsonLines)
        self._clock = Clock()
        self._written = {outcome for outcome, own in _LEVELS.items() if _RANKS[own] >= _RANKS[level]}

    def request(self, outcome: Outcome) -> None:
        if outcome.outcome in self._written:
            self._sink.write(self._line(outcome, outcome.request_id, outcome.duration_ms))

    def answered(self, shared: Outcome, requests: Sequence[tuple[str, float]]) -> None:
        if shared.outcome not in self._written or not requests:
            return
        if not self._json:
            for request_id, duration_ms in requests:
                self._sink.write(self._line(shared, request_id, duration_ms))
            return
        # what differs stands between a head and a tail that are encoded once; request ids need no escaping
        level = _LEVELS[shared.outcome]
        head = f'{{"timestamp":"{self._clock.now()}","level":"{level}","event":"request","request_id":"'
        tail = "," + orjson.dumps(_shared_fields(shared), option=orjson.OPT_APPEND_NEWLINE).decode()[1:]
        block = "".join([f'{head}{request_id}","duration_ms":{ms:.3f}{tail}' for request_id, ms in requests])
        self._sink.write(block.encode(), len(requests))

    def _line(self, outcome: Outcome, request_id: str, duration_ms: float) -> bytes:
        fields: dict[str, Any] = {
            "timestamp": self._clock.now(),
            "level": _LEVELS[outcome.outcome],
            "event": "request",
            "request_id": plain(request_id),
            "duration_ms": round(duration_ms, 3),
            **_shared_fields(outcome),
        }
        # the fields are plain already, so the general encoder would only look at each of them again
        return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE) if self._json else self._lines.encode(fields)


def _shared_fields(outcome: Outcome) -> dict[str, Any]:
    code, model, version, inference_ms = outcome.code, outcome.model, outcome.version, outcome.inference_ms
    return {
        "method": plain(outcome.method),
        "route": plain(outcome.route),
        "status": outcome.status,
        "outcome": outcome.outcome,
        "code": None if code is None else plain(code),
        "model": None if model is None else plain(model),
        "version": None if version is None else plain(version),
        "rows": outcome.rows,
        "batch_rows": outcome.batch_rows,
        "inference_ms": None if inference_ms is None else round(inference_ms, 3),
        "lane": outcome.lane,
        "principal": None if outcome.principal is None else plain(outcome.principal.id),
    }
