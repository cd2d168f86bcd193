"""Whether what was printed is what a page shows, apart from what differs in every run."""

from __future__ import annotations

import json
import math
import re
from typing import Any

VOLATILE = {
    "prediction_id", "request_id", "timestamp", "inference_time_ms", "total_time_ms", "uptime_seconds", "loaded_at",
    "created_at", "digest",
}  # fmt: skip
"""Keys whose values are compared by type only."""

MASKS = {
    re.compile(r"\b[0-7][0-9A-HJKMNP-TV-Z]{25}\b"): "ID",
    re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(\.\d+)?(Z|\+00:00)?"): "TIME",
    re.compile(r"\b\d+(\.\d+)? (ms|s)\b"): "DURATION",
    re.compile(r"sha256:[0-9a-f]{12,64}"): "DIGEST",
}
NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
RELATIVE = 1e-5
"""Numbers agree to this, since libraries round differently by processor."""


def difference(shown: str, printed: str) -> str | None:
    """The first place where the two differ, in words; None where they are alike."""
    try:
        expected = json.loads(shown)
    except ValueError:
        return text_difference(shown, printed)
    try:
        got = json.loads(printed)
    except ValueError:
        return f"no JSON was printed but {printed!r}"
    return value_difference(expected, got, "")


def value_difference(expected: Any, got: Any, where: str) -> str | None:
    if isinstance(expected, dict) and isinstance(got, dict):
        if list(expected) != list(got):
            return f"{where}: the page has the keys {list(expected)}, the answer {list(got)}"
        pairs = [(key, expected[key], got[key]) for key in expected]
    elif isinstance(expected, list) and isinstance(got, list):
        if len(expected) != len(got):
            return f"{where}: the page has {len(expected)} items, the answer {len(got)}"
        pairs = [(str(i), one, other) for i, (one, other) in enumerate(zip(expected, got, strict=True))]
    else:
        return None if alike(expected, got, where.rpartition("/")[2]) else f"{where}: {expected!r} became {got!r}"
    differences = (value_difference(one, other, f"{where}/{key}") for key, one, other in pairs)
    return next((found for found in differences if found), None)


def alike(expected: Any, got: Any, key: str) -> bool:
    if key in VOLATILE:
        return type(expected) is type(got) or {type(expected), type(got)} <= {int, float}
    if isinstance(expected, str) and isinstance(got, str):
        return text_difference(expected, got) is None
    if isinstance(expected, float) and isinstance(got, float):
        return math.isclose(expected, got, rel_tol=RELATIVE, abs_tol=1e-9)
    return type(expected) is type(got) and bool(expected == got)


def text_difference(shown: str, printed: str) -> str | None:
    """Compares line by line: ids, times and durations by their place, numbers with fractions by their value."""
    expected, got = masked(shown), masked(printed)
    if len(expected) != len(got):
        return f"the page shows {len(expected)} lines, printed were {len(got)}:\n{printed}"
    for one, other in zip(expected, got, strict=True):
        same_words = NUMBER.sub("#", one) == NUMBER.sub("#", other)
        numbers = zip(NUMBER.findall(one), NUMBER.findall(other), strict=False)
        if not same_words or not all(math.isclose(float(a), float(b), rel_tol=RELATIVE) for a, b in numbers):
            return f"the page shows {one!r}, printed was {other!r}"
    return None


def masked(text: str) -> list[str]:
    for pattern, word in MASKS.items():
        text = pattern.sub(word, text)
    return [line.rstrip() for line in text.strip().splitlines()]
