"""Identifiers of predictions and requests: 26 characters that sort by time.

The layout is that of a ULID (48 bits of milliseconds, 80 more bits, Crockford's base 32). The 80 bits are 50 random
ones drawn per process and a 30-bit counter that starts anew at random, so that ids of one process sort in the order
they were made, also inside a millisecond.
"""

from __future__ import annotations

import os
import re
import secrets
import time

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]
_SANE = re.compile(r"[A-Za-z0-9._~:/+=@-]{1,128}")


def _encode(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        digits.append(_ALPHABET[number & 31])
        number >>= 5
    return "".join(reversed(digits))


class Ids:
    """Draws identifiers. Not safe to share between threads."""

    def __init__(self) -> None:
        self._reseed()

    def _reseed(self) -> None:
        self._process = _encode(secrets.randbits(50), 10)
        self._pid = os.getpid()
        self._counter = secrets.randbits(29) & ~1023
        self._millisecond = 0
        self._prefix = self._second = self._block = ""
        self._encoded = (-1, -1)

    def next(self) -> str:
        """The next identifier."""
        millisecond = time.time_ns() // 1_000_000
        counter = self._counter = self._counter + 1
        if millisecond > self._millisecond or not counter & 1023:
            if os.getpid() != self._pid:
                self._reseed()
                return self.next()
            # a clock that steps back must not: ids keep sorting in the order they were made
            self._millisecond = max(millisecond, self._millisecond)
            second, block = self._millisecond >> 10, counter >> 10
            if (second, block) != self._encoded:  # most of a prefix outlives the millisecond
                self._encoded = second, block
                self._second, self._block = _encode(second, 8), self._process + _encode(block, 4)
            self._prefix = self._second + _PAIRS[self._millisecond & 1023] + self._block
        return self._prefix + _PAIRS[counter & 1023]


def sane_request_id(text: str) -> bool:
    """Whether a caller's request id may come back on the answer and in the log: short, printable, no white space."""
    return _SANE.fullmatch(text) is not None
