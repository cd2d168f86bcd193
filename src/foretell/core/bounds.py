"""A declared bound, which may be a whole number of any size, as a number arrays can be compared with exactly.

Python compares a float64 with a whole number by value; numpy would round the whole number first. So each bound becomes
the nearest number on its own side that the values compared with it can be.
"""

from __future__ import annotations

import math

Number = float | int


def at_least(bound: Number, whole: bool) -> Number:
    """The smallest number that is not below ``bound``: a whole one, else a float64."""
    if whole and math.isfinite(_nearest(bound)):
        return math.ceil(bound)
    near = _nearest(bound)
    return math.nextafter(near, math.inf) if near < bound else near


def at_most(bound: Number, whole: bool) -> Number:
    """The largest number that is not above ``bound``: a whole one, else a float64."""
    if whole and math.isfinite(_nearest(bound)):
        return math.floor(bound)
    near = _nearest(bound)
    return math.nextafter(near, -math.inf) if near > bound else near


def _nearest(bound: Number) -> float:
    try:
        return float(bound)
    except OverflowError:  # a whole number beyond float64
        return math.inf if bound > 0 else -math.inf
