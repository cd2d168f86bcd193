"""Columns held against a signature: the same verdict as JSON's on every value, and where it stands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foretell.core.bounds import at_least, at_most
from foretell.core.document import Document, Unreadable
from foretell.core.frame import Cells, Frame
from foretell.core.limits import BodyLimits
from foretell.core.signature import Column, ColumnType, Signature
from foretell.core.validation import bind
from foretell.core.values import Inputs, Matrix, Table
from foretell.errors import InvalidInput, MalformedRequest, RequestError
from tests.bodies import columns, same

LIMITS = BodyLimits(max_rows=60, max_text_chars=5)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

FLOATS = [0.0, -0.0, 1.0, 1.5, -3.0, -0.5, 2.0**53, 2.0**53 + 2, 2.0**63, -(2.0**63), -(2.0**63) - 2048, 1e300]
FLOATS += [-1e300, 5e-324, 1.7976931348623157e308, math.nan, math.inf, -math.inf]
WHOLES = [0, 1, 2, -1, -3, 127, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)]
TEXTS = ["", "x", "gold", "silver", "é", "abcdef", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00", "nan", "1", "🙂"]
MOMENTS_US = [0, -1, 1_700_000_000_000_001, -62_135_596_800_000_000, 253_402_300_799_999_999]


@st.composite
def given_columns(draw: st.DrawFn, rows: int) -> tuple[Cells, list[Any]]:
    """A column of any kind, and its values as a JSON document has them."""
    kind = draw(st.sampled_from(["float64", "float32", "int64", "uint64", "int8", "bool", "text", "encoded", "moment"]))
    options: dict[str, Sequence[Any]] = {
        "float64": FLOATS,
        "float32": [float(np.float32(value)) for value in FLOATS if not abs(value) > 3e38 or math.isinf(value)],
        "int64": WHOLES,
        "uint64": [0, 1, 2**63 - 1, 2**63, 2**64 - 1],
        "int8": [0, 1, 2, -3, 127, -128],
        "bool": [True, False],
        "moment": MOMENTS_US,
    }
    values = draw(st.lists(st.sampled_from(options.get(kind, TEXTS)), min_size=rows, max_size=rows))
    nulls = np.array(draw(st.lists(st.integers(0, 3).map(lambda n: n == 0), min_size=rows, max_size=rows)))
    absent = nulls if draw(st.booleans()) else None
    plain: list[Any] = list(values)
    if kind == "text":
        made = Cells(np.array(values, dtype=object), absent)
    elif kind == "encoded":
        categories = tuple(draw(st.permutations(TEXTS)))
        made = Cells(np.array([categories.index(value) for value in values]), absent, categories)
    elif kind == "moment":
        made = Cells(np.array(values, dtype="datetime64[us]"), absent)
        plain = [(EPOCH + timedelta(microseconds=value)).isoformat() for value in values]
    else:
        made = Cells(np.array(values, dtype=kind), absent)
        plain = [_unreadable(value) for value in values]
    return made, plain if absent is None else [
        None if null else value for value, null in zip(plain, nulls, strict=True)
    ]


def _unreadable(value: Any) -> Any:
    finite = isinstance(value, bool | int) or math.isfinite(value)
    return value if finite else Unreadable("not_finite", "NaN" if math.isnan(value) else str(value))


def outcome(document: Document, signature: Signature, limits: BodyLimits) -> Inputs | tuple[Any, ...]:
    try:
        return bind(document, signature, limits, "m v1")
    except (InvalidInput, MalformedRequest) as error:
        faults = [
            (f.code, f.message, f.pointer.replace("/features", "/rows"), f.row, f.expected, f.got, f.suggestion)
            for f in error.faults
        ]
        return type(error), error.instance_code, error.faults_total, faults


@settings(max_examples=800, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_column_is_judged_as_its_values_are_in_json(data: st.DataObject) -> None:
    rows = data.draw(st.sampled_from([1, 2, 5, 60]))
    names = ["a", "b"][: data.draw(st.integers(1, 2))]
    signature = Signature(tuple(data.draw(columns(name)) for name in names))
    pairs = [data.draw(given_columns(rows)) for _ in names]
    for column, (made, _) in zip(signature.columns, pairs, strict=True):
        if (made.values.dtype.kind == "M") != (column.type is ColumnType.DATETIME) and made.values.dtype.kind == "M":
            return  # JSON has moments as texts, which a column of texts takes
    limits = data.draw(st.sampled_from([LIMITS, BodyLimits(max_rows=60, max_magnitude=1e30)]))
    payload = [dict(zip(names, row, strict=True)) for row in zip(*(plain for _, plain in pairs), strict=True)]
    by_json = outcome(Document("json", False, payload, "/features"), signature, limits)
    frame = Frame(tuple(names), tuple(made for made, _ in pairs), rows)
    by_frame = outcome(Document("arrow", False, frame), signature, limits)
    if isinstance(by_json, tuple) or isinstance(by_frame, tuple):
        assert by_frame == by_json
    else:
        assert same(by_frame, by_json)


@pytest.mark.parametrize("whole", [False, True])
@given(st.one_of(st.integers(-(2**70), 2**70), st.floats(allow_nan=False)), st.data())
def test_a_bound_compares_as_python_compares(whole: bool, bound: float, data: st.DataObject) -> None:
    near = int(bound) if math.isfinite(bound) else 0
    value: Any
    if whole:
        value = max(-(2**63), min(2**63 - 1, near + data.draw(st.integers(-2, 2))))
        array: Any = np.array([value])
    else:
        value = data.draw(
            st.sampled_from([float(near), math.nextafter(near, -math.inf), math.nextafter(near, math.inf)])
        )
        array = np.array([value])
    assert bool((array < at_least(bound, whole))[0]) == (value < bound)
    assert bool((array >= at_least(bound, whole))[0]) == (value >= bound)
    assert bool((array > at_most(bound, whole))[0]) == (value > bound)
    assert bool((array <= at_most(bound, whole))[0]) == (value <= bound)


def test_a_bound_beyond_float64_is_infinite() -> None:
    assert at_least(10**400, False) == math.inf
    assert at_most(-(10**400), False) == -math.inf
    assert at_most(10**400, False) == 1.7976931348623157e308


# -- columns by name ---------------------------------------------------------------------------------------------------

PLAIN = Signature((Column("age"), Column("plan", ColumnType.STRING, nullable=True)))


def numbers(*values: float) -> Cells:
    return Cells(np.array(values))


def refused(frame: Frame, signature: Signature = PLAIN, single: bool = False) -> RequestError:
    with pytest.raises((InvalidInput, MalformedRequest)) as caught:
        bind(Document("arrow", single, frame), signature, LIMITS, "m v1")
    return caught.value


def test_an_unknown_column_is_named_with_the_one_that_may_be_meant() -> None:
    error = refused(Frame(("agee", "age"), (numbers(1), numbers(1)), 1))
    assert [(fault.code, fault.pointer, fault.suggestion) for fault in error.faults] == [
        ("unknown_column", "/columns/agee", "age")
    ]


def test_the_index_of_a_pandas_frame_is_called_so() -> None:
    error = refused(Frame(("age", "__index_level_0__"), (numbers(1), numbers(1)), 1))
    assert "index of a pandas frame" in error.faults[0].message


def test_a_missing_column_is_named_once_and_a_nullable_one_may_be_left_out() -> None:
    error = refused(Frame(("plan",), (Cells(np.array(["x", "y"], dtype=object)),), 2))
    assert [(fault.code, fault.pointer) for fault in error.faults] == [("missing_column", "/columns/age")]
    inputs = bind(Document("arrow", False, Frame(("age",), (numbers(1, 2),), 2)), PLAIN, LIMITS, "m v1")
    assert isinstance(inputs, Table)
    assert inputs.columns["plan"].tolist() == [None, None]


def test_a_column_that_stands_twice_cannot_be_read() -> None:
    error = refused(Frame(("age", "age"), (numbers(1), numbers(1)), 1))
    assert isinstance(error, MalformedRequest)
    assert error.instance_code == "column_repeated"


@pytest.mark.parametrize(
    ("count", "single", "code"), [(0, False, "no_rows"), (61, False, "too_many_rows"), (2, True, "single_expected")]
)
def test_how_many_rows_there_are_is_looked_at_first(count: int, single: bool, code: str) -> None:
    assert refused(Frame((), (), count), single=single).instance_code == code


def test_types_that_json_has_not_are_named() -> None:
    made = Cells(np.zeros(3), np.array([False, True, False]), foreign="binary")
    error = refused(Frame(("age",), (made,), 3))
    assert [(fault.code, fault.got, fault.value) for fault in error.faults] == [
        ("wrong_type", "binary", None),
        ("null_not_allowed", "null", None),
        ("wrong_type", "binary", None),
    ]
    moments = Cells(np.array([0], dtype="datetime64[us]"))
    assert "got timestamp" in refused(Frame(("age",), (moments,), 1)).faults[0].message


def test_moments_no_calendar_has_are_refused() -> None:
    signature = Signature((Column("t", ColumnType.DATETIME),))
    made = Cells(np.array([10**18, -(10**18), 0, np.iinfo(np.int64).min]).view("datetime64[us]"))
    error = refused(Frame(("t",), (made,), 4), signature)
    assert [(fault.code, fault.row) for fault in error.faults] == [("invalid_datetime", row) for row in (0, 1, 3)]


def test_a_column_of_nothing_but_nulls() -> None:
    signature = Signature((Column("a", nullable=True), Column("b", ColumnType.CATEGORY, nullable=True)))
    nulls = np.ones(2, dtype=np.bool_)
    frame = Frame(("a", "b"), (Cells(np.zeros(2), nulls), Cells(np.zeros(2, np.int64), nulls, ())), 2)
    inputs = bind(Document("arrow", False, frame), signature, LIMITS, "m v1")
    assert isinstance(inputs, Table)
    assert np.isnan(inputs.columns["a"]).all()
    assert inputs.columns["b"].tolist() == [None, None]


def test_numbers_become_one_array_in_the_order_of_the_signature() -> None:
    signature = Signature((Column("a"), Column("b", ColumnType.INTEGER)))
    frame = Frame(("b", "a"), (numbers(3, 4), numbers(1, 2)), 2)
    inputs = bind(Document("arrow", False, frame), signature, LIMITS, "m v1")
    assert isinstance(inputs, Matrix)
    assert inputs.values.tolist() == [[1.0, 3.0], [2.0, 4.0]]
    assert inputs.values.flags.c_contiguous
