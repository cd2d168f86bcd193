"""Numbers separated by commas, as JSON has them, into one array."""

from __future__ import annotations

import sys
import threading
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

try:
    import simdjson
except ModuleNotFoundError:  # it has no wheel for Python 3.14; msgspec reads numbers there, too
    simdjson = None  # type: ignore[assignment]

_LARGEST = sys.float_info.max  # a whole number just beyond would be rounded to it: at the very edge nothing is plain
_decode = msgspec.json.Decoder(list[float]).decode
_REFUSALS = (ValueError, TypeError, RuntimeError, LookupError)


class _Parsers(threading.local):
    """One simdjson parser for each thread, as it keeps its memory and is not re-entrant."""

    def __init__(self) -> None:
        self.parser = None if simdjson is None else simdjson.Parser()


_parsers = _Parsers()


def numbers_of(text: bytes, count: int) -> NDArray[np.float64] | None:
    """The ``count`` numbers of ``text``, whose own array the caller may change; None for anything else in it."""
    if b"[" in text or b"{" in text:
        return None  # simdjson would take the numbers of a list within for its own
    body = b"[" + text + b"]"
    try:
        if simdjson is None:
            values = np.array(_decode(body), dtype=np.float64)
        else:
            parsed: Any = _parsers.parser.parse(body)
            values = np.frombuffer(parsed.as_buffer(of_type="d"), dtype=np.float64)
            del parsed  # the parser refuses the next text while anything of this one is held
    except _REFUSALS:
        return None
    if len(values) != count or not (np.abs(values) < _LARGEST).all():
        return None
    return values.copy() if simdjson is not None else values
