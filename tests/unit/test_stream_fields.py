"""The fast way of CSV streams takes nothing that the explaining way refuses, and reads the same values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.bootstrap import STREAMS
from foretell.codecs.stream import numerals
from foretell.codecs.stream.base import Raw, Reader, StreamLimits
from foretell.core.limits import BodyLimits
from foretell.core.signature import Column, ColumnType, Output, Signature
from foretell.core.values import Inputs, Matrix, Table

NUMBERS = Signature(
    (
        Column("f"),
        Column("i", ColumnType.INTEGER, minimum=-5, exclusive_maximum=100),
        Column("g", nullable=True, exclusive_minimum=0, maximum=9),
    )
)
MIXED = Signature(
    (
        Column("n", nullable=True),
        Column("i", ColumnType.INTEGER),
        Column("j", ColumnType.INTEGER, nullable=True, minimum=0),
        Column("t", ColumnType.STRING, max_length=3),
        Column("c", ColumnType.CATEGORY, nullable=True, categories=("a", "b"), closed=True),
        Column("b", ColumnType.BOOLEAN),
        Column("d", ColumnType.BOOLEAN, nullable=True),
    ),
    output=Output("regression"),
)
SWITCHES = Signature((Column("b", ColumnType.BOOLEAN), Column("f", nullable=True)))
NUMERALS = ["0", "1", "-1", "5", "5.0", "5.5", "1e3", "1e-5", "1E+2", ".5", "5.", "+1", "01", "-0", "99", "100"]
WHOLES = ["9007199254740993", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "1e999"]
OTHERS = ["null", "nan", "inf", "NaN", "true", "false", "True", "a", "b", "ab", "abcd", "é", "[1", "1]"]
EDGES = ["", " 7", "7 ", "\t", "\x00", "1" * 30, "1" * 401, str(int(1.7976931348623157e308))]
CELLS = st.sampled_from([*NUMERALS, *WHOLES, *OTHERS, *EDGES])


def reader_of(signature: Signature, header: Sequence[str]) -> Reader:
    reader = STREAMS[1].reader(signature, "m v1", StreamLimits(BodyLimits()), {"header": "present"})
    reader.feed((",".join(header) + "\n").encode())
    assert reader.take() is None
    return reader


def same(one: Inputs, other: Inputs) -> bool:
    if isinstance(one, Matrix) and isinstance(other, Matrix):
        return bool(np.array_equal(one.values, other.values, equal_nan=True)) and bool(
            (np.signbit(one.values) == np.signbit(other.values)).all()
        )
    assert isinstance(one, Table)
    assert isinstance(other, Table)
    assert list(one.columns) == list(other.columns)
    return all(_same(one.columns[name], other.columns[name]) for name in one.columns)


def _same(one: Any, other: Any) -> bool:
    assert one.dtype == other.dtype
    return bool(np.array_equal(one, other, equal_nan=one.dtype.kind == "f"))


@pytest.mark.parametrize("signature", [NUMBERS, MIXED, SWITCHES], ids=["numbers", "mixed", "switches"])
@pytest.mark.parametrize("extra", [False, True])
@settings(deadline=None)
@given(data=st.data())
def test_what_the_fast_way_takes_the_explaining_way_reads_alike(signature: Signature, extra: bool, data: Any) -> None:
    header = [*(["own"] if extra else []), *signature.names]
    rows = data.draw(st.lists(st.lists(CELLS, min_size=len(header), max_size=len(header)), min_size=1, max_size=4))
    reader = reader_of(signature, header)
    raw = Raw(0, len(rows), [",".join(row).encode() for row in rows])
    quick, slow = reader.read(raw), reader.explain(raw)
    if quick is not None:
        assert not slow.faults, (rows, slow.faults)
        assert quick.inputs is not None
        assert slow.inputs is not None
        assert same(quick.inputs, slow.inputs), rows


@pytest.mark.parametrize(
    ("signature", "line"),
    [
        (NUMBERS, b"1.5,7,"),
        (NUMBERS, b"1.5,7,3"),
        (MIXED, b",1,,abc,,true,"),
        (MIXED, b"1,-1,3,abc,a,0,1"),
        (SWITCHES, b"1,2.5"),
    ],
)
def test_plain_records_take_the_fast_way(signature: Signature, line: bytes) -> None:
    chunk = reader_of(signature, signature.names).read(Raw(0, 2, [line, line]))
    assert chunk is not None
    assert chunk.inputs is not None
    assert chunk.inputs.count == 2


def test_a_nullable_column_may_be_missing_and_others_in_any_order() -> None:
    reader = reader_of(MIXED, ["b", "t", "i", "own"])
    chunk = reader.read(Raw(0, 1, [b"true,x,4,mine"]))
    assert chunk is not None
    assert chunk.inputs is not None
    assert same(chunk.inputs, reader.explain(Raw(0, 1, [b"true,x,4,mine"])).inputs)  # type: ignore[arg-type]


def test_columns_with_patterns_moments_or_bounds_beyond_float64_are_explained() -> None:
    for column in (
        Column("x", ColumnType.STRING, pattern="^a"),
        Column("x", ColumnType.DATETIME),
        Column("x", minimum=2**60),
    ):
        signature = Signature((column, Column("y", ColumnType.STRING)))
        assert reader_of(signature, ["x", "y"]).read(Raw(0, 1, [b"1,b"])) is None
    moments = Signature((Column("x", ColumnType.DATETIME, nullable=True), Column("y")))
    chunk = reader_of(moments, ["y"]).read(Raw(0, 1, [b"1"]))
    assert chunk is None or chunk.inputs is not None


@pytest.mark.parametrize("line", [b"[1,2],3", b"{,1,2", b"1,[[2]],3", b'"1,"2,3', b"1,2,null"])
def test_what_is_no_number_by_itself_is_not_read_with_its_neighbours(line: bytes) -> None:
    reader = reader_of(NUMBERS, NUMBERS.names)
    assert reader.read(Raw(0, 2, [b"1,2,3", line])) is None


def test_quoted_fields_are_read_quickly_but_for_quotes_in_them() -> None:
    reader = reader_of(MIXED, ["own", *MIXED.names])
    quoted = b'"a, b\nc","1.5",2,"3","x",a,"true",""'
    chunk = reader.read(Raw(0, 2, [quoted, quoted]))
    assert chunk is not None
    assert chunk.inputs is not None
    assert same(chunk.inputs, reader.explain(Raw(0, 2, [quoted, quoted])).inputs)  # type: ignore[arg-type]
    for doubtful in (b'"a""b",1,2,3,x,a,true,', b'a"b,1,2,3,x,a,true,', b'"a"b,1,2,3,x,a,true,', b'"a,1,2,3,x,a,true,'):
        assert reader.read(Raw(0, 1, [doubtful])) is None


def test_numbers_are_read_without_simdjson_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numerals, "simdjson", None)
    chunk = reader_of(NUMBERS, NUMBERS.names).read(Raw(0, 1, [b"1.5,7,3"]))
    assert chunk is not None
    assert isinstance(chunk.inputs, Matrix)
    assert chunk.inputs.values.tolist() == [[1.5, 7.0, 3.0]]
