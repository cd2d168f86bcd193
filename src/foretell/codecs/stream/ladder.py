"""Which rows of a chunk are wrong: the chunk is read whole, and halved where that fails, down to the single row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from foretell.core.faults import clip
from foretell.core.values import Inputs, join
from foretell.errors import RequestError

ERROR_CHARS = 300

Read = Callable[[Sequence[Any]], Inputs]
"""Reads rows, all of which must be right. Raises a RequestError, which for a single row says what is wrong with it."""


def sort_out(rows: Sequence[Any], read: Read, *, show_values: bool) -> tuple[Inputs | None, dict[int, str]]:
    """The inputs of the rows that are right, and what is wrong with the others by their position."""
    parts: list[Inputs] = []
    faults: dict[int, str] = {}
    spans = [(0, len(rows))]
    while spans:
        start, stop = spans.pop()
        try:
            parts.append(read(rows[start:stop]))
        except RequestError as error:
            if stop - start == 1:
                faults[start] = error_text(error, show_values=show_values)
            else:
                middle = (start + stop) // 2
                spans += [(middle, stop), (start, middle)]
    return (join(parts) if parts else None), faults


def error_text(error: RequestError, *, show_values: bool) -> str:
    """What is wrong with one row, in one line: ``out_of_bounds: age must be at least 0, got -1``."""
    if not error.faults:
        return clip(f"{error.instance_code}: {error.detail}", ERROR_CHARS)
    first = error.faults[0]
    text = f"{first.code}: {first.message}"
    if first.value is not None and show_values:
        text += f", got {first.value}"
    if first.suggestion is not None:
        text += f"; did you mean '{clip(first.suggestion)}'?"
    if error.faults_total > 1:
        text += f" ({error.faults_total} faults)"
    return clip(" ".join(text.split()), ERROR_CHARS)
