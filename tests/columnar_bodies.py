"""Rows as bodies of the columnar formats, as the libraries people use write them."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from foretell.core.cells import read_datetime
from foretell.core.signature import Column, ColumnType, Signature

Rows = Sequence[Sequence[Any]]
ARROW = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"
NPY = "application/x-npy"
NDJSON = "application/x-ndjson"


def npy(values: Any, dtype: Any = None, **options: Any) -> bytes:
    """What ``numpy.save`` writes."""
    file = io.BytesIO()
    np.save(file, np.asarray(values, dtype, **options), allow_pickle=False)
    return file.getvalue()


def npy_header(header: str, values: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    """An NPY body with any header."""
    text = header.encode("latin-1")
    size = len(text).to_bytes(2 if version[:1] == b"\x01" else 4, "little")
    return b"\x93NUMPY" + version + size + text + values


def loaded(body: bytes) -> Any:
    """The array of an NPY answer."""
    return np.load(io.BytesIO(body), allow_pickle=False)


def ndjson(rows: Rows, names: Sequence[str] | None = None) -> bytes:
    """A list, or an object where ``names`` are given, on each line."""
    lines = [list(row) if names is None else dict(zip(names, row, strict=True)) for row in rows]
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()


def table_of(signature: Signature, rows: Rows) -> Any:
    """A pyarrow table of rows as JSON has them, each column of the type an author would give it."""
    import pyarrow as pa

    columns = [
        _column(column, values) for column, values in zip(signature.columns, zip(*rows, strict=True), strict=True)
    ]
    return pa.table(columns, names=list(signature.names))


def _column(column: Column, values: Sequence[Any]) -> Any:
    import pyarrow as pa

    match column.type:
        case ColumnType.FLOAT:
            return pa.array([None if value is None else float(value) for value in values], pa.float64())
        case ColumnType.INTEGER:
            return pa.array(values, pa.int64())
        case ColumnType.BOOLEAN:
            return pa.array(values, pa.bool_())
        case ColumnType.STRING:
            return pa.array(values, pa.string())
        case ColumnType.CATEGORY:
            return pa.array(values, pa.string()).dictionary_encode()
        case _:
            moments = [None if value is None else read_datetime(value) for value in values]
            return pa.array(moments, pa.timestamp("us", "UTC"))


def stream(table: Any, batch_rows: int | None = None, **options: Any) -> bytes:
    """A table as an Arrow stream."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, batch_rows)
    written: bytes = sink.getvalue().to_pybytes()
    return written


def parquet(table: Any, **options: Any) -> bytes:
    """A table as a Parquet file."""
    from pyarrow import parquet as library

    file = io.BytesIO()
    library.write_table(table, file, **options)
    return file.getvalue()


def rows_of(body: bytes, media_type: str) -> list[dict[str, Any]]:
    """The rows of an answer in Arrow, Parquet or NDJSON."""
    import pyarrow as pa
    from pyarrow import parquet as library

    if media_type == NDJSON:
        return [json.loads(line) for line in body.splitlines()]
    table = pa.ipc.open_stream(body).read_all() if media_type == ARROW else library.read_table(io.BytesIO(body))
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows
