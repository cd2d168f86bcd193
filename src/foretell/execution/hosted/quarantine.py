"""Inputs that have ended a host: not tried again for a while."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from typing import Any

from foretell.core.values import Matrix, Table, Tensors
from foretell.execution.base import Call

KEPT_S = 600.0
MOST = 1000


class Quarantine:
    """Digests of inputs, the newest ``MOST`` of the last ``KEPT_S`` seconds."""

    def __init__(self) -> None:
        self._until_s: OrderedDict[bytes, float] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._until_s)

    def add(self, call: Call) -> None:
        self._until_s[_digest(call.rows)] = time.monotonic() + KEPT_S
        if len(self._until_s) > MOST:
            self._until_s.popitem(last=False)

    def holds(self, call: Call) -> bool:
        """Whether the call's input is one of them."""
        now_s = time.monotonic()
        while self._until_s and next(iter(self._until_s.values())) < now_s:
            self._until_s.popitem(last=False)
        return bool(self._until_s) and _digest(call.rows) in self._until_s


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
