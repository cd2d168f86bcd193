"""What authors give as example data (frame, array, rows, dict of columns), read into a sample."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.core.signature import ColumnType
from foretell.errors import PackagingError
from foretell.packaging.sample import Sample, SampleColumn

CATEGORIES_MAX = 50
CATEGORY_MAX_CHARS = 64
_INT64 = np.iinfo(np.int64)
_ACCEPTED = "a pandas DataFrame, a numpy array of rows, a list of rows, or a dict of columns"


def read_sample(example: Any) -> Sample:
    """The example as a sample. Raises PackagingError saying what is wrong with it and where."""
    sample = _read(example)
    if not sample.columns:
        raise PackagingError("the example has no columns", hint=f"give {_ACCEPTED}")
    if not sample.count:
        raise PackagingError("the example has no rows", hint="give some rows of training data: a hundred is plenty")
    twice = sorted({name for name in sample.names if sample.names.count(name) > 1})
    if twice:
        raise PackagingError(f"the example has more than one column named {', '.join(map(repr, twice))}")
    return sample


def is_frame(example: Any) -> bool:
    """Whether the example is a pandas DataFrame, told without importing pandas."""
    return any(f"{c.__module__.partition('.')[0]}.{c.__name__}" == "pandas.DataFrame" for c in type(example).__mro__)


def _read(example: Any) -> Sample:
    if is_frame(example):
        return _from_frame(example)
    if isinstance(example, np.ndarray):
        return _from_array(example)
    if isinstance(example, Mapping):
        return _from_columns(example)
    if isinstance(example, Sequence) and not isinstance(example, str | bytes):
        return _from_rows(example)
    if hasattr(example, "toarray"):
        raise PackagingError("the example is a sparse matrix", hint="give example.toarray()")
    raise PackagingError(f"the example is a {type(example).__name__}; it can be {_ACCEPTED}")


def _from_frame(frame: Any) -> Sample:
    names = list(frame.columns)
    named = all(isinstance(name, str) for name in names)
    texts = names if named else _positions(len(names))
    return Sample(tuple(_series(name, frame.iloc[:, i]) for i, name in enumerate(texts)), named)


def _from_array(array: NDArray[Any]) -> Sample:
    if array.ndim != 2:
        raise PackagingError(
            f"the example is an array of shape {array.shape}; rows of columns have two dimensions",
            hint="give X[:100], or X.reshape(1, -1) for a single row",
        )
    pairs = zip(_positions(array.shape[1]), array.T, strict=True)
    return Sample(tuple(_array_column(name, values) for name, values in pairs), named=False)


def _from_columns(columns: Mapping[Any, Any]) -> Sample:
    read = []
    for name, cells in columns.items():
        if not isinstance(name, str):
            raise PackagingError(f"column names must be texts, not {name!r}")
        if isinstance(cells, str | bytes) or not hasattr(cells, "__len__"):
            raise PackagingError(f"column {name!r} of the example must be a list of values, one for each row")
        read.append(_array_column(name, cells if isinstance(cells, np.ndarray) else list(cells)))
    lengths = {column.name: len(column.values) for column in read}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name!r} has {length}" for name, length in list(lengths.items())[:5])
        raise PackagingError(f"the columns of the example differ in length: {shown}")
    return Sample(tuple(read))


def _from_rows(rows: Sequence[Any]) -> Sample:
    if rows and all(isinstance(row, Mapping) for row in rows):
        names = dict.fromkeys(name for row in rows for name in row)
        return _from_columns({name: [row.get(name) for row in rows] for name in names})
    if not all(isinstance(row, Sequence | np.ndarray) and not isinstance(row, str | bytes) for row in rows):
        raise PackagingError(
            "the example is a list, but not of rows",
            hint="a single row is a list in a list: [[5.1, 3.5, 1.4, 0.2]]",
        )
    widths = {len(row) for row in rows}
    if len(widths) > 1:
        raise PackagingError(f"the rows of the example differ in length: {', '.join(map(str, sorted(widths)))} values")
    width = widths.pop() if widths else 0
    columns = (_array_column(name, [row[i] for row in rows]) for i, name in enumerate(_positions(width)))
    return Sample(tuple(columns), named=False)


def _positions(count: int) -> list[str]:
    return [f"x{i}" for i in range(count)]


def _series(name: str, series: Any) -> SampleColumn:
    dtype = series.dtype
    nulls = series.isna().to_numpy(dtype=bool)
    if hasattr(dtype, "categories"):
        return _categorical(name, series, nulls)
    if dtype.kind in "iub" and nulls.any():  # pandas' own nullable dtypes
        kind = ColumnType.BOOLEAN if dtype.kind == "b" else ColumnType.INTEGER
        return SampleColumn(name, kind, series.to_numpy(dtype=np.float64, na_value=np.nan))
    if dtype.kind in "iubf":
        plain = {"b": np.bool_, "f": np.float64}.get(dtype.kind, dtype if isinstance(dtype, np.dtype) else np.int64)
        return _numbers(name, series.to_numpy(dtype=plain, **({"na_value": np.nan} if dtype.kind == "f" else {})))
    if dtype.kind == "M":
        moments = series.dt.tz_convert("UTC").dt.tz_localize(None) if getattr(dtype, "tz", None) else series
        return SampleColumn(name, ColumnType.DATETIME, moments.to_numpy(dtype="datetime64[us]"))
    if dtype.kind in "mc":
        raise PackagingError(f"column {name!r} of the example has dtype {dtype}, which no request can carry")
    cells = [None if null else cell for cell, null in zip(series.tolist(), nulls, strict=True)]
    return _cells(name, cells)


def _categorical(name: str, series: Any, nulls: NDArray[np.bool_]) -> SampleColumn:
    categories = series.cat.categories.tolist()
    cells = [None if null else cell for cell, null in zip(series.tolist(), nulls, strict=True)]
    if not all(isinstance(category, str) for category in categories):
        return _cells(name, cells)
    return SampleColumn(name, ColumnType.CATEGORY, _objects(cells), tuple(categories))


def _array_column(name: str, cells: Any) -> SampleColumn:
    if isinstance(cells, np.ndarray):
        if cells.ndim != 1:
            raise PackagingError(f"column {name!r} of the example has shape {cells.shape}; one value a row is needed")
        if cells.dtype.kind in "iubf":
            return _numbers(name, cells)
        if cells.dtype.kind == "M":
            return SampleColumn(name, ColumnType.DATETIME, cells.astype("datetime64[us]"))
        cells = cells.tolist()
    return _cells(name, cells)


def _numbers(name: str, values: NDArray[Any]) -> SampleColumn:
    if values.dtype.kind == "b":
        return SampleColumn(name, ColumnType.BOOLEAN, values.astype(np.bool_))
    if values.dtype.kind == "f" or (values.dtype.kind == "u" and len(values) and values.max() > _INT64.max):
        return SampleColumn(name, ColumnType.FLOAT, values.astype(np.float64))
    return SampleColumn(name, ColumnType.INTEGER, values.astype(np.int64))


def _cells(name: str, cells: Sequence[Any]) -> SampleColumn:
    """A column of Python objects, typed by what stands in it."""
    plain = [_plain(name, row, cell) for row, cell in enumerate(cells)]
    present = [cell for cell in plain if cell is not None]
    kinds = {type(cell) for cell in present}
    if kinds <= {float}:
        return SampleColumn(name, ColumnType.FLOAT, np.array(plain, dtype=np.float64))
    if kinds == {bool}:
        return SampleColumn(name, ColumnType.BOOLEAN, np.array(plain, dtype=_narrow(present, plain, np.bool_)))
    if kinds == {int} and all(_INT64.min <= cell <= _INT64.max for cell in present):
        return SampleColumn(name, ColumnType.INTEGER, np.array(plain, dtype=_narrow(present, plain, np.int64)))
    if kinds <= {int, float}:
        return SampleColumn(name, ColumnType.FLOAT, np.array(plain, dtype=np.float64))
    if kinds == {str}:
        return SampleColumn(name, text_type(present), _objects(plain))
    if kinds == {datetime}:
        return SampleColumn(name, ColumnType.DATETIME, np.array(plain, dtype="datetime64[us]"))
    first = present[0]
    row, other = next((i, cell) for i, cell in enumerate(plain) if cell is not None and type(cell) is not type(first))
    raise PackagingError(
        f"column {name!r} of the example mixes {type(first).__name__} and {type(other).__name__}: "
        f"{str(first)[:64]!r} and, in row {row}, {str(other)[:64]!r}",
        hint="give each column one type, as requests will",
    )


def text_type(texts: Sequence[str]) -> ColumnType:
    """Whether texts are categories: few distinct short ones, some of them repeated. Else they are free strings."""
    distinct = set(texts)
    few = len(distinct) < len(texts) and len(distinct) <= CATEGORIES_MAX
    short = all(len(text) <= CATEGORY_MAX_CHARS for text in distinct)
    return ColumnType.CATEGORY if few and short else ColumnType.STRING


def _plain(name: str, row: int, cell: Any) -> Any:
    """A cell as float, int, bool, str, naive UTC datetime, or None."""
    if isinstance(cell, np.datetime64):
        cell = None if np.isnat(cell) else cell.astype("datetime64[us]").item()
    if isinstance(cell, np.generic):
        cell = cell.item()
    if cell is None or type(cell).__name__ in ("NAType", "NaTType") or (isinstance(cell, float) and math.isnan(cell)):
        return None
    if isinstance(cell, bool | int | float | str):
        # subclasses of these (an enum of texts, say) stand for their plain value
        return next(kind(cell) for kind in (bool, int, float, str) if isinstance(cell, kind))
    if isinstance(cell, Decimal):
        return float(cell)
    if isinstance(cell, datetime):
        moment = cell.astimezone(UTC).replace(tzinfo=None) if cell.tzinfo else cell
        return datetime.fromisoformat(moment.isoformat(timespec="microseconds"))
    if isinstance(cell, date):
        return datetime(cell.year, cell.month, cell.day)
    raise PackagingError(
        f"column {name!r} of the example holds a {type(cell).__name__} in row {row}, which no request can carry"
    )


def _narrow(present: Sequence[Any], plain: Sequence[Any], dtype: Any) -> Any:
    return dtype if len(present) == len(plain) else np.float64


def _objects(cells: Sequence[Any]) -> NDArray[Any]:
    array = np.empty(len(cells), dtype=object)
    array[:] = cells
    return array
