"""Example data read into a sample: every form an author may give, typed by what stands in it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.core.signature import Column, ColumnType, Output, Signature
from foretell.core.values import Matrix, Table
from foretell.errors import PackagingError, PathMissing
from foretell.packaging.csv_sample import NULLS, read_csv
from foretell.packaging.reading import CATEGORIES_MAX, is_frame, read_sample
from foretell.packaging.sample import Sample, spread

FLOAT, INTEGER, BOOLEAN = ColumnType.FLOAT, ColumnType.INTEGER, ColumnType.BOOLEAN
STRING, CATEGORY, DATETIME = ColumnType.STRING, ColumnType.CATEGORY, ColumnType.DATETIME


def types(sample: Sample) -> list[ColumnType]:
    return [column.type for column in sample.columns]


def cells(sample: Sample, column: int = 0) -> list[Any]:
    return [sample.columns[column].cell(row) for row in range(sample.count)]


# -- forms -------------------------------------------------------------------------------------------------------------


def test_a_frame_gives_named_columns_by_dtype() -> None:
    frame = pd.DataFrame(
        {
            "f": [1.5, None],
            "f32": np.array([1.5, 2.5], dtype=np.float32),
            "i": [1, 2],
            "u8": np.array([1, 2], dtype=np.uint8),
            "b": [True, False],
            "s": ["x", "x"],
            "c": pd.Categorical(["lo", None], categories=["hi", "lo"]),
            "t": pd.to_datetime(["2026-01-01", None]),
            "z": pd.to_datetime(["2026-01-01T00:00:00+02:00"] * 2),
            "i?": pd.array([1, None], dtype="Int64"),
            "i!": pd.array([1, 2], dtype="Int64"),
            "b?": pd.array([True, None], dtype="boolean"),
            "f?": pd.array([1.5, None], dtype="Float64"),
        }
    )
    sample = read_sample(frame)
    assert sample.named
    assert is_frame(frame)
    assert dict(zip(sample.names, types(sample), strict=True)) == {
        "f": FLOAT, "f32": FLOAT, "i": INTEGER, "u8": INTEGER, "b": BOOLEAN, "s": CATEGORY, "c": CATEGORY,
        "t": DATETIME, "z": DATETIME, "i?": INTEGER, "i!": INTEGER, "b?": BOOLEAN, "f?": FLOAT,
    }  # fmt: skip
    assert sample.row(1) == {
        "f": None, "f32": 2.5, "i": 2, "u8": 2, "b": False, "s": "x", "c": None, "t": None,
        "z": "2025-12-31T22:00:00Z", "i?": None, "i!": 2, "b?": None, "f?": None,
    }  # fmt: skip
    assert sample.column("c").categories == ("hi", "lo")


def test_a_frame_without_names_and_an_array_give_made_up_names() -> None:
    for example in (pd.DataFrame([[1.0, 2.0]]), np.array([[1.0, 2.0]]), [[1.0, 2.0]]):
        sample = read_sample(example)
        assert (sample.names, sample.named) == (("x0", "x1"), False)


def test_rows_as_objects_and_a_dict_of_columns_read_alike() -> None:
    rows = read_sample([{"a": 1, "b": "x"}, {"b": "y"}])
    columns = read_sample({"a": [1, None], "b": ["x", "y"]})
    assert [rows.row(i) for i in range(2)] == [columns.row(i) for i in range(2)]
    assert rows.named
    assert types(rows) == [INTEGER, STRING]


def test_an_array_of_integers_keeps_integers_and_an_array_of_objects_is_read_cell_by_cell() -> None:
    assert types(read_sample(np.array([[1, 2]]))) == [INTEGER, INTEGER]
    assert types(read_sample(np.array([[1, "x"], [2, "x"]], dtype=object))) == [INTEGER, CATEGORY]
    assert types(read_sample({"t": np.array(["2026-01-01"], dtype="datetime64[D]")})) == [DATETIME]
    assert types(read_sample({"u": np.array([2**64 - 1], dtype=np.uint64)})) == [FLOAT]


@pytest.mark.parametrize(
    ("values", "type_", "read"),
    [
        ([1, 2], INTEGER, [1, 2]),
        ([1, None], INTEGER, [1, None]),
        ([1, 2.5], FLOAT, [1.0, 2.5]),
        ([2**70], FLOAT, [float(2**70)]),
        ([float("nan"), None], FLOAT, [None, None]),
        ([True, None, False], BOOLEAN, [True, None, False]),
        ([np.float32(1.5), np.int64(2)], FLOAT, [1.5, 2.0]),
        ([Decimal("1.5")], FLOAT, [1.5]),
        (["x", pd.NA], STRING, ["x", None]),
        ([date(2026, 1, 2)], DATETIME, ["2026-01-02T00:00:00Z"]),
        ([datetime(2026, 1, 2, 3)], DATETIME, ["2026-01-02T03:00:00Z"]),
        ([datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=2)))], DATETIME, ["2026-01-02T01:00:00Z"]),
        ([pd.Timestamp("2026-01-02", tz=UTC), pd.NaT], DATETIME, ["2026-01-02T00:00:00Z", None]),
        ([np.datetime64("2026-01-02"), np.datetime64("NaT")], DATETIME, ["2026-01-02T00:00:00Z", None]),
    ],
)
def test_cells_are_typed_by_what_stands_in_them(values: list[Any], type_: ColumnType, read: list[Any]) -> None:
    sample = read_sample({"a": values})
    assert types(sample) == [type_]
    assert cells(sample) == read
    assert [type(cell) for cell in cells(sample)] == [type(cell) for cell in read]


def test_categories_of_numbers_stay_numbers() -> None:
    assert types(read_sample(pd.DataFrame({"c": pd.Categorical([1, 2, 1])}))) == [INTEGER]


def test_few_repeated_short_texts_are_categories_and_all_others_strings() -> None:
    assert types(read_sample({"a": ["x", "y", "x"]})) == [CATEGORY]
    assert types(read_sample({"a": ["x", "y"]})) == [STRING]
    assert types(read_sample({"a": ["x" * 65, "x" * 65]})) == [STRING]
    many = [str(i % (CATEGORIES_MAX + 1)) for i in range(500)]
    assert types(read_sample({"a": many})) == [STRING]


# -- refusals ----------------------------------------------------------------------------------------------------------


class Sparse:
    def toarray(self) -> None: ...


@pytest.mark.parametrize(
    ("example", "says"),
    [
        (None, "NoneType; it can be a pandas DataFrame"),
        ("rows", "is a str"),
        ([], "no columns"),
        ({}, "no columns"),
        ({"a": []}, "no rows"),
        ([1, 2], "not of rows"),
        ([[1], [1, 2]], "differ in length: 1, 2 values"),
        ({"a": [1], "b": [1, 2]}, "'a' has 1, 'b' has 2"),
        ({"a": "text"}, "must be a list of values"),
        ({1: [1]}, "must be texts"),
        ({"a": np.zeros((2, 2))}, "shape (2, 2)"),
        (np.zeros(3), "shape (3,)"),
        ({"a": [1, "x"]}, "mixes int and str: '1' and, in row 1, 'x'"),
        ({"a": [b"x"]}, "holds a bytes in row 0"),
        (Sparse(), "sparse"),
        (pd.DataFrame({"a": pd.to_timedelta([1])}), "dtype timedelta"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "more than one column named 'a'"),
    ],
)
def test_what_cannot_be_rows_is_refused_in_words(example: Any, says: str) -> None:
    with pytest.raises(PackagingError) as caught:
        read_sample(example)
    assert says in caught.value.detail


# -- hypothesis --------------------------------------------------------------------------------------------------------

_TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
_KINDS: dict[ColumnType, st.SearchStrategy[Any]] = {
    FLOAT: st.floats(allow_nan=False),
    INTEGER: st.integers(-(2**63), 2**63 - 1),
    BOOLEAN: st.booleans(),
    DATETIME: st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1)),
    STRING: _TEXT,
}


@st.composite
def columns(draw: st.DrawFn) -> tuple[ColumnType, list[Any]]:
    kind = draw(st.sampled_from(list(_KINDS)))
    value = _KINDS[kind]
    first = draw(value)
    return kind, [first, *draw(st.lists(st.none() | value, max_size=6))]


def _expected(kind: ColumnType, cell: Any) -> Any:
    return cell.isoformat() + "Z" if kind is DATETIME and cell is not None else cell


@given(columns())
@settings(max_examples=200)
def test_any_column_of_one_type_and_nulls_comes_back_as_it_was(column: tuple[ColumnType, list[Any]]) -> None:
    kind, given_cells = column
    sample = read_sample({"a": given_cells})
    assert types(sample) == [kind] or {kind, *types(sample)} == {STRING, CATEGORY}
    wide = kind is INTEGER and None in given_cells  # with gaps whole numbers stand as float64
    expected = [_expected(kind, cell) for cell in given_cells]
    assert cells(sample) == ([cell if cell is None else int(float(cell)) for cell in expected] if wide else expected)
    assert sample.columns[0].nulls.tolist() == [cell is None for cell in given_cells]


@given(columns())
@settings(max_examples=200)
def test_a_frame_gives_the_same_values_and_types_as_its_cells(column: tuple[ColumnType, list[Any]]) -> None:
    _kind, given_cells = column
    framed = read_sample(pd.DataFrame({"a": pd.Series(given_cells, dtype=object)}))
    assert (types(framed), cells(framed)) == (
        types(read_sample({"a": given_cells})),
        cells(read_sample({"a": given_cells})),
    )


# -- shape changes -----------------------------------------------------------------------------------------------------


def test_rows_and_columns_are_taken_by_number_and_by_name() -> None:
    sample = read_sample({"a": [1, 2, 3], "b": ["x", "y", None]})
    assert cells(sample.take([2, 0])) == [3, 1]
    assert sample.ordered(["b", "a"]).names == ("b", "a")
    assert sample.without("a").names == ("b",)
    assert sample.renamed(["p", "q"], named=False).names == ("p", "q")
    with pytest.raises(KeyError):
        sample.column("c")


def test_inputs_follow_the_layout_of_the_signature() -> None:
    numbers = read_sample({"a": [1, None], "b": [True, False]})
    signature = Signature((Column("a", INTEGER, nullable=True), Column("b", BOOLEAN)), output=Output("regression"))
    matrix = numbers.inputs(signature)
    assert isinstance(matrix, Matrix)
    np.testing.assert_array_equal(matrix.values, [[1.0, 1.0], [np.nan, 0.0]])

    mixed = read_sample({"a": [1, 2], "b": [3, 4], "s": ["x", None]})
    nullable = (Column("a", INTEGER, nullable=True), Column("b", INTEGER), Column("s", STRING, nullable=True))
    table = mixed.inputs(Signature(nullable, output=Output("regression")))
    assert isinstance(table, Table)
    assert [array.dtype.kind for array in table.columns.values()] == ["f", "i", "O"]


def test_spread_takes_the_first_and_the_last_and_never_more_than_asked() -> None:
    assert spread(3, 5).tolist() == [0, 1, 2]
    assert spread(100, 3).tolist() == [0, 49, 99]


# -- declared types ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "wanted", "read"),
    [
        ([1, 2], FLOAT, [1.0, 2.0]),
        ([1.0, 2.0], INTEGER, [1, 2]),
        ([1.0, None], INTEGER, [1, None]),
        ([1, 0], BOOLEAN, [True, False]),
        ([True, False], INTEGER, [1, 0]),
        (["x", "y"], CATEGORY, ["x", "y"]),
        (["x", "x"], STRING, ["x", "x"]),
        (["2026-01-01T00:00:00+01:00", "2026-01-02", None], DATETIME,
         ["2025-12-31T23:00:00Z", "2026-01-02T00:00:00Z", None]),
        ([None, None], STRING, [None, None]),
        ([None, None], DATETIME, [None, None]),
        ([None, None], INTEGER, [None, None]),
    ],
)  # fmt: skip
def test_a_declared_type_is_taken_where_the_values_are_of_it(values: list[Any], wanted: ColumnType, read: Any) -> None:
    column = read_sample({"a": values}).columns[0].retyped(wanted)
    assert column.type is wanted
    assert [column.cell(row) for row in range(len(values))] == read


@pytest.mark.parametrize(
    ("values", "wanted", "says"),
    [
        ([1.5], INTEGER, "declared integer, but the example holds float values such as '1.5'"),
        ([float("inf")], INTEGER, "declared integer"),
        ([2], BOOLEAN, "declared boolean"),
        (["x"], FLOAT, "declared float, but the example holds string values such as 'x'"),
        ([1], DATETIME, "declared datetime"),
        (["soon"], DATETIME, "row 0 of the example holds 'soon'"),
    ],
)
def test_a_declared_type_is_refused_where_the_values_are_of_another(values: list[Any], wanted: Any, says: str) -> None:
    with pytest.raises(PackagingError, match=says):
        read_sample({"a": values}).columns[0].retyped(wanted)


# -- CSV ---------------------------------------------------------------------------------------------------------------


def _csv(tmp_path: Path, text: str) -> Sample:
    path = tmp_path / "rows.csv"
    path.write_text(text, encoding="utf-8")
    return read_csv(path)


def test_csv_is_typed_as_pandas_types_it(tmp_path: Path) -> None:
    text = (
        "i,gaps,f,e,b,bg,c,s,u\n"
        "1,1,1.5,1e3,True,true,x,one,1_000\n"
        "-2,,2,NaN,False,,x,two,1_000\n"
        "3,3,-.5,2,True,FALSE,,three,1\n"
    )
    sample = _csv(tmp_path, text)
    framed = read_sample(pd.read_csv(tmp_path / "rows.csv"))
    assert types(sample) == [INTEGER, FLOAT, FLOAT, FLOAT, BOOLEAN, BOOLEAN, CATEGORY, STRING, CATEGORY]
    same = [name for name in sample.names if name != "bg"]  # pandas leaves booleans with gaps as texts
    assert [sample.column(name).type for name in same] == [framed.column(name).type for name in same]
    assert [[sample.column(n).cell(r) for r in range(3)] for n in same] == [
        [framed.column(n).cell(r) for r in range(3)] for n in same
    ]
    assert cells(sample, 5) == [True, None, False]


@given(st.lists(st.floats(allow_infinity=False) | st.none(), min_size=1, max_size=8))
@settings(max_examples=50)
def test_any_column_of_floats_survives_a_csv_file(values: list[float | None]) -> None:
    import tempfile

    frame = pd.DataFrame({"a": pd.Series(values, dtype=np.float64), "b": 1})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        frame.to_csv(path, index=False)
        sample = read_csv(path)
    np.testing.assert_array_equal(sample.columns[0].values.astype(float), frame["a"].to_numpy())


def test_csv_takes_every_mark_of_nothing_that_pandas_takes(tmp_path: Path) -> None:
    rows = "".join(f"{mark},1\n" for mark in NULLS)
    sample = _csv(tmp_path, f"a,b\n1.5,1\n{rows}")
    assert types(sample)[0] is FLOAT
    assert int(sample.columns[0].nulls.sum()) == len(NULLS)


def test_csv_leaves_out_the_index_that_pandas_writes_and_blank_lines_and_a_byte_order_mark(tmp_path: Path) -> None:
    assert _csv(tmp_path, "\ufeff,a\n0,1.5\n\n1,2.5\n").names == ("a",)


def test_a_whole_number_beyond_64_bits_is_a_float(tmp_path: Path) -> None:
    assert types(_csv(tmp_path, f"a\n{2**70}\n")) == [FLOAT]
    assert types(_csv(tmp_path, f"a\n{2**63}\n")) == [FLOAT]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\n1,2\n1\n", "line 3: 1 values, but the header names 2 columns"),
        ("a,b\n", "no rows below its header"),
        ("", "no rows below its header"),
        ("a,a\n1,2\n", "name every column once"),
        ("a,,\n1,2,3\n", "name every column once"),
    ],
)
def test_csv_that_is_no_table_is_refused_with_the_place(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(PackagingError, match=says):
        _csv(tmp_path, text)


def test_csv_that_is_missing_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PathMissing, match=r"no file .*gone\.csv"):
        read_csv(tmp_path / "gone.csv")
    (tmp_path / "bad.csv").write_bytes(b"a\n\xff\xfe\n")
    with pytest.raises(PackagingError, match="cannot be read as CSV"):
        read_csv(tmp_path / "bad.csv")
