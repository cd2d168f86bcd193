"""Inputs that have ended a host: not tried again for a while."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from numpy.typing import NDArray

from foretell.core.signature import Signature
from foretell.core.values import Inputs, Matrix, Table, Tensors, assemble
from foretell.execution.base import Call
from foretell.execution.batcher import whole
from foretell.execution.hosted.breaker import Cause

KEPT_S = 600.0
MOST = 1000


class Quarantine:
    """Digests of inputs, the newest ``MOST`` of the last ``KEPT_S`` seconds."""

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        self._kept: OrderedDict[bytes, tuple[float, Cause]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._kept)

    def add(self, call: Call, cause: Cause) -> None:
        self._kept[self._digest(whole(call).rows)] = (time.monotonic() + KEPT_S, cause)
        if len(self._kept) > MOST:
            self._kept.popitem(last=False)

    def find(self, call: Call) -> Cause | None:
        """What the call's input did to its host; None where it is not one of them."""
        now_s = time.monotonic()
        while self._kept and next(iter(self._kept.values()))[0] < now_s:
            self._kept.popitem(last=False)
        found = self._kept.get(self._digest(call.rows)) if self._kept else None
        return None if found is None else found[1]

    def _digest(self, rows: Any) -> bytes:
        """The same rows give the same, whether they came one by one or gathered.

        Of the arrays, which is quick: while anything is kept, every call's is taken, on the event loop.
        """
        inputs = rows if isinstance(rows, Matrix | Table | Tensors) else assemble(self._signature, rows)
        digest = hashlib.blake2b(digest_size=16)
        for name, array in _arrays(inputs):
            digest.update(repr((name, array.dtype.str, array.shape)).encode())
            # bytes of an array of objects would be their addresses
            digest.update(repr(array.tolist()).encode() if array.dtype.kind in "OT" else array.tobytes())
        return digest.digest()


def _arrays(inputs: Inputs) -> Iterable[tuple[str, NDArray[Any]]]:
    if isinstance(inputs, Matrix):
        return [("", inputs.values)]
    return (inputs.columns if isinstance(inputs, Table) else inputs.arrays).items()
