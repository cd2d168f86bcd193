"""Signatures and request bodies made by hypothesis: plain ones, nearly plain ones and broken ones."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from foretell.core.signature import Column, ColumnType, Output, Signature
from foretell.core.values import Inputs, Matrix, Table

NAMES = [
    "a",
    "b",
    "sepal length (cm)",
    "é",
    "plan",
    "a/b~c",
    " spaced ",
    "features",
    "model_version",
    'q"t',
    "b\\s",
    "🙂",
]
PLAIN_NAMES = ["a", "b", "c", "d", "sepal length (cm)", "é", "plan", "a/b~c", "🙂"]

ODD_VALUES = [
    *("0", "1", "-1", "-0", "-0.0", "0.0", "1.5", "41.0", "1e3", "1E+2", "-1e-2", "1e999", "-1e999", "NaN", "Infinity"),
    *("-Infinity", "null", "true", "false", "01", "1.", ".5", "-", "+1", "1e", "[1]", "[]", "{}", '{"a":1}', "", "nul"),
    *(
        '"x"',
        '"gold"',
        '""',
        '"1"',
        '"null"',
        '"a\\u0062"',
        '"\\ud800"',
        '"\\ud83d\\ude00"',
        '"\x01"',
        '"\x7f"',
        '"🙂"',
    ),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809"),
    *(
        "9223372036854775807.0",
        "18446744073709551615",
        "18446744073709551616",
        "9007199254740993",
        "9007199254740993.0",
    ),
    *("1" * 30, "1" * 309, "1" * 310, "1" * 400, "1" * 401, "2" + "0" * 308, "9" * 5000, "0." + "1" * 400, "1e-400"),
    *("1.7976931348623157e308", "1.7976931348623159e308", "5e-324", "2.4703282292062327e-324", "2.5e-324"),
    *(str(int(sys.float_info.max)), str(int(sys.float_info.max) + 1), str(-int(sys.float_info.max) - 1)),
    *("17976931348623157" + "0" * 292, "17976931348623157" + "0" * 291 + "1"),
    *("179769313486231580793" + "0" * 288, "0.1e-323", "123456789012345678901234567890.5", "1e23", "8.5e22"),
    *('"2026-01-01T00:00:00Z"', '"2026-01-01t00:00:60z"', '"2026-02-30T00:00:00Z"', '"2026-01-01T00:00:00"'),
    *('"2026-01-01 00:00:00.123456789+02:00"', '"0001-01-01T00:00:00+05:00"', '"9999-12-31T23:59:60Z"'),
]


@st.composite
def columns(draw: st.DrawFn, name: str) -> Column:
    kind = draw(st.sampled_from(ColumnType))
    nullable = draw(st.booleans())
    extra: dict[str, Any] = {}
    if kind in (ColumnType.FLOAT, ColumnType.INTEGER):
        bounds = st.none() | st.sampled_from([-3, -0.5, 0, 1.5, 2, 1e300, 2**53, float("inf"), 2**63])
        keys = ["minimum", "exclusive_minimum", "maximum", "exclusive_maximum"]
        one = st.sampled_from(keys).flatmap(lambda key: st.fixed_dictionaries({key: bounds}))
        extra = draw(st.just({}) | one | one | st.fixed_dictionaries(dict.fromkeys(keys, bounds)))
    elif kind in (ColumnType.STRING, ColumnType.CATEGORY):
        options = {
            "pattern": st.none() | st.sampled_from(["^[a-z]+$", "x", "^$"]),
            "max_length": st.none() | st.integers(0, 4),
            "categories": st.none() | st.just(("gold", "silver", "", "é")),
        }
        extra = draw(st.just({}) | st.fixed_dictionaries(options))
        extra["closed"] = bool(extra.get("categories")) and draw(st.booleans())
    return Column(name, kind, nullable, **extra)


@st.composite
def signatures(draw: st.DrawFn, names: Sequence[str] = NAMES) -> Signature:
    chosen = draw(st.lists(st.sampled_from(names), min_size=1, max_size=5, unique=True))
    if draw(st.booleans()):  # half of all models take numbers alone
        numeric = st.sampled_from([ColumnType.FLOAT, ColumnType.FLOAT, ColumnType.INTEGER, ColumnType.BOOLEAN])
        made = [Column(name, draw(numeric), draw(st.integers(0, 3)) == 0) for name in chosen]
    else:
        made = [draw(columns(name)) for name in chosen]
    return Signature(columns=tuple(made), output=Output("regression"), named=draw(st.booleans()))


def good_values(column: Column) -> st.SearchStrategy[Any]:
    """Values a column without declared rules takes."""
    match column.type:
        case ColumnType.FLOAT:
            values: st.SearchStrategy[Any] = st.floats(-1.79e308, 1.79e308) | st.integers(-(10**6), 10**6)
        case ColumnType.INTEGER:
            values = st.integers(-(2**53), 2**53)
        case ColumnType.BOOLEAN:
            values = st.booleans()
        case ColumnType.DATETIME:
            values = st.datetimes().map(lambda moment: moment.isoformat() + "Z")
        case _ if column.closed:
            values = st.sampled_from(column.categories or ())
        case _:
            texts = st.characters(codec="utf-8", exclude_characters='"\\', min_codepoint=32)
            values = st.sampled_from(["", "x", "gold"]) | st.text(texts, max_size=6)
    return values | st.none() if column.nullable else values


def _texts(column: Column, odd_in: int) -> st.SearchStrategy[str]:
    """Cells as text; one in ``odd_in`` is odd, none where that is 0."""
    good = good_values(column).map(lambda value: json.dumps(value, ensure_ascii=False))
    if not odd_in:
        return good
    choose = st.integers(1, odd_in)
    return choose.flatmap(lambda number: st.sampled_from(ODD_VALUES) if number == 1 else good)


_spaces = st.sampled_from(["", "", "", " ", "\n", "\t \r\n"])


@st.composite
def odd_rows(draw: st.DrawFn, signature: Signature, odd_in: int) -> str:
    """A row as text: mostly right, by position or by name."""
    cells = [(column.name, draw(_texts(column, odd_in))) for column in signature.columns]
    change = draw(st.integers(0, 30)) if odd_in else 3
    if change == 0:
        cells = cells[1:]
    elif change in (1, 2):
        cells.append(draw(st.sampled_from(cells)))
    if draw(st.booleans()):
        return "[" + ",".join(text for _, text in cells) + "]"
    if change in (3, 4):
        cells = draw(st.permutations(cells))
    return "{" + _members(draw, cells) + "}"


def _members(draw: st.DrawFn, cells: Sequence[tuple[str, str]]) -> str:
    pad = draw(_spaces)
    return ",".join(f"{json.dumps(name, ensure_ascii=False)}{pad}:{pad}{text}{pad}" for name, text in cells)


@st.composite
def odd_bodies(draw: st.DrawFn, signature: Signature, many: bool) -> bytes:
    """A body that is right, nearly right or, with bytes changed at random, broken."""
    odd_in = draw(st.sampled_from([0, 3, 10, 10]))
    key = draw(st.sampled_from(["features", "features", "features", "instances", "instances", "fea\\u0074ures"]))
    if many:
        rows = ",".join(draw(st.lists(odd_rows(signature, odd_in), min_size=0 if odd_in == 3 else 1, max_size=3)))
        members = [(key, f"[{rows}]")]
    elif draw(st.booleans()):
        members = [("features", draw(odd_rows(signature, odd_in)))]
    else:
        members = [(column.name, draw(_texts(column, odd_in))) for column in signature.columns]
    extra = draw(st.integers(0, 20))
    if extra == 0:
        members.append(("model_version", '"v1"'))
    elif extra == 1:
        members.insert(0, members[-1])
    elif extra == 2:
        members.append(("x", "1"))
    text = draw(_spaces) + "{" + _members(draw, members) + "}" + draw(_spaces)
    body = text.replace("\\\\u0074", "\\u0074").encode()
    return draw(mutated(body)) if draw(st.integers(0, 7)) == 0 else body


@st.composite
def mutated(draw: st.DrawFn, body: bytes) -> bytes:
    """The body with a few bytes replaced, added or taken out."""
    pieces = st.sampled_from(
        [b"", b'"', b"\\", b"[", b"]", b"{", b"}", b",", b":", b"0", b"-", b"\xff", b"\x00", b" ", b"e"]
    )
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(body)))
        body = body[:at] + draw(pieces) + body[at + draw(st.integers(0, 2)) :]
    return body


def same(left: Inputs, right: Inputs) -> bool:
    """Whether two inputs are the same to the bit."""
    if isinstance(left, Matrix) and isinstance(right, Matrix):
        return left.values.shape == right.values.shape and left.values.tobytes() == right.values.tobytes()
    if not isinstance(left, Table) or not isinstance(right, Table) or list(left.columns) != list(right.columns):
        return False
    for name, values in left.columns.items():
        other = right.columns[name]
        if values.dtype != other.dtype or values.shape != other.shape:
            return False
        if values.tolist() != other.tolist() if values.dtype == object else values.tobytes() != other.tobytes():
            return False
    return True
