"""Inputs that have ended a host: not tried again for a while."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from typing import Any

from foretell.core.values import Matrix, Table, Tensors
from foretell.execution.base import Call
from foretell.execution.hosted.breaker import Cause

KEPT_S = 600.0
MOST = 1000


class Quarantine:
    """Digests of inputs, the newest ``MOST`` of the last ``KEPT_S`` seconds."""

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, tuple[float, Cause]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._kept)

    def add(self, call: Call, cause: Cause) -> None:
        self._kept[_digest(call.rows)] = (time.monotonic() + KEPT_S, cause)
        if len(self._kept) > MOST:
            self._kept.popitem(last=False)

    def find(self, call: Call) -> Cause | None:
        """What the call's input did to its host; None where it is not one of them."""
        now_s = time.monotonic()
        while self._kept and next(iter(self._kept.values()))[0] < now_s:
            self._kept.popitem(last=False)
        found = self._kept.get(_digest(call.rows)) if self._kept else None
        return None if found is None else found[1]


def _digest(rows: Any) -> bytes:
    return hashlib.blake2b(repr(_plain(rows)).encode(), digest_size=16).digest()


def _plain(rows: Any) -> Any:
    """The same rows give the same, whether they came one by one or gathered."""
    if isinstance(rows, Matrix):
        return rows.values.tolist()
    if isinstance(rows, Table):
        return [list(row) for row in zip(*(values.tolist() for values in rows.columns.values()), strict=True)]
    if isinstance(rows, Tensors):
        return {name: array.tobytes() for name, array in rows.arrays.items()}
    return [list(row) for row in rows]
