"""One cell of a row: what a column takes, from JSON and from CSV alike.

JSON brings values (None, bool, int, float, str, list, dict); CSV brings texts, which ``from_text`` turns into the value
JSON would have brought. ``read`` then decides for both.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from foretell.core.document import Unreadable
from foretell.core.faults import listed
from foretell.core.limits import BodyLimits
from foretell.core.signature import Column, ColumnType

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
LARGEST_FLOAT = int(Decimal(repr(sys.float_info.max)))  # as JSON writes it, and so as schemas have it
MAX_DIGITS = 4300
"""CPython's own bound on turning text into whole numbers; ``limits.max_digits`` may only be stricter."""

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
_RFC_3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]((?:[01][0-9]|2[0-3]):[0-5][0-9]):([0-9]{2})(?:\.([0-9]+))?"
    r"([Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a value does not fit its column."""

    code: str
    message: str
    expected: Any = None
    got: Any = None
    malformed: bool = False
    near: tuple[str, tuple[str, ...]] | None = None


TOO_LARGE = Refusal("out_of_range", "is too large for this model to compute with")


def whole_number(text: str, limits: BodyLimits) -> int | Unreadable:
    """The value of a JSON number without fraction and exponent."""
    if len(text) > 2 and len(text.lstrip("-")) > min(limits.max_digits, MAX_DIGITS):
        return Unreadable("number_too_long", text)
    return int(text)


def real_number(text: str) -> float | Unreadable:
    """The value of a JSON number with fraction or exponent, the nearest float64."""
    value = float(text)
    return Unreadable("out_of_range", text) if math.isinf(value) else value


def from_text(column: Column, text: str, limits: BodyLimits) -> Any:
    """The value JSON would have brought for one CSV field; an empty field is null.

    What is no number stays a text, for ``read`` to refuse. Numbers follow JSON's grammar, with blanks around them
    allowed; booleans are ``true``, ``false`` (in any case, as spreadsheets write them), ``1`` and ``0``; a date and
    time may have a blank for the ``T``, as pandas writes it.
    """
    if not text:
        return None
    if column.type in (ColumnType.STRING, ColumnType.CATEGORY):
        return text
    bare = text.strip(" \t")
    match column.type:
        case ColumnType.BOOLEAN:
            return _BOOLEANS.get(bare.lower(), text) if bare else None
        case ColumnType.DATETIME:
            return f"{bare[:10]}T{bare[11:]}" if bare[10:11] == " " else bare or None
        case _:
            return _number(bare, text, limits)


def _number(bare: str, text: str, limits: BodyLimits) -> Any:
    if not bare:
        return None
    if match := _NUMBER.fullmatch(bare):
        return whole_number(bare, limits) if match.lastindex is None else real_number(bare)
    return Unreadable("not_finite", bare) if _NOT_FINITE.fullmatch(bare) else text


def looks_numeric(text: str) -> bool:
    """Whether a CSV field could be meant as a number."""
    bare = text.strip(" \t")
    return bool(_NUMBER.fullmatch(bare) or _NOT_FINITE.fullmatch(bare))


def read(column: Column, value: Any, limits: BodyLimits) -> Any:
    """The value as rows carry it (see ``foretell.core.values``), or a Refusal. Raises nothing."""
    if value is None:
        return None if column.nullable else Refusal("null_not_allowed", "must not be null", str(column.type), "null")
    if isinstance(value, Unreadable):
        return unreadable(value)
    return _READERS[column.type](column, value, limits)


def unreadable(value: Unreadable) -> Refusal:
    """Why a number that is none was refused."""
    match value.code:
        case "not_finite":
            return Refusal("not_finite", "must be a finite number")
        case "number_too_long":
            return Refusal("number_too_long", "has more digits than a number may have", malformed=True)
        case _:
            return Refusal("out_of_range", "is larger than a float64 can hold")


def kind_of(value: Any) -> str:
    """What a value is, in JSON's words."""
    return _KINDS.get(type(value), "number")


_KINDS = {type(None): "null", bool: "boolean", str: "string", list: "array", dict: "object"}


def _wrong_type(value: Any, wanted: str, expected: str) -> Refusal:
    return Refusal("wrong_type", f"must be {wanted}, got {kind_of(value)}", expected, kind_of(value))


def _float(column: Column, value: Any, limits: BodyLimits) -> Any:
    if type(value) is int:
        if abs(value) > LARGEST_FLOAT:
            return Refusal("out_of_range", "is larger than a float64 can hold")
        value = float(value)
    elif type(value) is not float:
        return _wrong_type(value, "a number", "float")
    return _bounded(column, value, limits)


def _integer(column: Column, value: Any, limits: BodyLimits) -> Any:
    if type(value) is float:
        if not value.is_integer():
            return Refusal("wrong_type", "must be a whole number", "integer", "number")
        value = int(value)
    elif type(value) is not int:
        return _wrong_type(value, "a whole number", "integer")
    if not INT64_MIN <= value <= INT64_MAX:
        return Refusal("out_of_range", "is outside the range of a 64-bit whole number")
    return _bounded(column, value, limits)


def _bounded(column: Column, value: float, limits: BodyLimits) -> Any:
    if abs(value) > limits.max_magnitude:
        return TOO_LARGE
    if column.minimum is not None and value < column.minimum:
        return Refusal("out_of_bounds", f"must be at least {column.minimum}", column.minimum)
    if column.exclusive_minimum is not None and value <= column.exclusive_minimum:
        return Refusal("out_of_bounds", f"must be greater than {column.exclusive_minimum}", column.exclusive_minimum)
    if column.maximum is not None and value > column.maximum:
        return Refusal("out_of_bounds", f"must be at most {column.maximum}", column.maximum)
    if column.exclusive_maximum is not None and value >= column.exclusive_maximum:
        return Refusal("out_of_bounds", f"must be less than {column.exclusive_maximum}", column.exclusive_maximum)
    return value


def _boolean(_: Column, value: Any, __: BodyLimits) -> Any:
    return value if type(value) is bool else _wrong_type(value, "true or false", "boolean")


def _text(column: Column, value: Any, limits: BodyLimits) -> Any:
    if type(value) is not str:
        return _wrong_type(value, "a string", "string")
    longest = column.longest(limits.max_text_chars)
    if len(value) > longest:
        return Refusal("text_too_long", f"must have at most {longest} characters", longest, len(value))
    # as JSON Schema has it, a pattern may match anywhere; an author who means the whole text writes ^...$
    if column.pattern is not None and not re.search(column.pattern, value):
        return Refusal("pattern_mismatch", f"must match {column.pattern[:96]}", column.pattern[:96])
    if column.closed and value not in (column.categories or ()):
        options = column.categories or ()
        return Refusal("unknown_category", f"must be one of {listed(options)}", near=(value, options))
    return value


def _datetime(_: Column, value: Any, __: BodyLimits) -> Any:
    if type(value) is not str:
        return _wrong_type(value, "an RFC 3339 date and time", "datetime")
    return read_datetime(value) or Refusal(
        "invalid_datetime",
        "must be an RFC 3339 date and time with an offset, such as 2026-11-20T10:30:00Z",
        "2026-11-20T10:30:00Z",
    )


def read_datetime(text: str) -> datetime | None:
    """An RFC 3339 text in UTC, or None where it is none.

    The offset is required. Digits beyond microseconds are cut off, second 60 is the second after 59, and years outside
    1 to 9999 (in UTC) cannot be told.
    """
    match = _RFC_3339.fullmatch(text)
    if match is None:
        return None
    date, minute, second, fraction, offset = match.groups()
    leap = second == "60"
    zone = "+00:00" if offset in "Zz" else offset
    micros = (fraction or "")[:6].ljust(6, "0")
    try:
        moment = datetime.fromisoformat(f"{date}T{minute}:{'59' if leap else second}.{micros}{zone}")
        return moment.astimezone(UTC) + timedelta(seconds=int(leap))
    except (ValueError, OverflowError):
        return None


_READERS: dict[ColumnType, Callable[[Column, Any, BodyLimits], Any]] = {
    ColumnType.FLOAT: _float,
    ColumnType.INTEGER: _integer,
    ColumnType.BOOLEAN: _boolean,
    ColumnType.STRING: _text,
    ColumnType.CATEGORY: _text,
    ColumnType.DATETIME: _datetime,
}
