"""Batches held against a signature: a chunk is a slice of an Arrow record batch, and columns stay columns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.codecs.arrow.arrays import frame_of, readable, view_lengths
from foretell.codecs.stream.base import Chunk, Layout, Raw, StreamLimits
from foretell.codecs.stream.columns import Columns, columns_of
from foretell.codecs.stream.ladder import ERROR_CHARS
from foretell.core.document import Unreadable
from foretell.core.faults import clip, shown
from foretell.core.frame import Cells
from foretell.core.identity import closest
from foretell.core.judge import Verdict, judge, refusal, value_at
from foretell.core.signature import Column, ColumnType, Signature
from foretell.core.values import Inputs, Matrix, Table

_OWN_BYTES = 8 * 1024 * 1024
"""The texts of a chunk may take so much where each row has its own."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows as the record batch they came in."""

    batch: Any

    def columns(self) -> Mapping[str, Sequence[Any]]:
        """Plain values by column."""
        return {name: _plain(self.batch.column(place)) for place, name in enumerate(self.batch.schema.names)}


def _plain(column: Any) -> Sequence[Any]:
    """The values of a column; texts for moments that Python has no value for, and null for what has no text."""
    import pyarrow as pa

    try:
        values: list[Any] = column.to_pylist()
        return values
    except (OverflowError, ValueError):  # of which pyarrow's own are, too
        pass
    try:
        texts: list[Any] = column.cast(pa.string()).to_pylist()
        return texts
    except (pa.ArrowException, ValueError):
        return [None] * len(column)


class BatchRows:
    """Reads slices of record batches of one schema.

    Raises MalformedRequest or InvalidInput where the schema's columns are not what the model takes.
    """

    def __init__(self, schema: Any, signature: Signature, label: str, limits: StreamLimits) -> None:
        self._signature = signature
        self._limits = limits
        # a batch has its own bound; what it takes in memory was looked at when it was read
        self._body = replace(limits.body, max_body_bytes=limits.batch_bytes, max_rows=limits.chunk_rows)
        self.columns: Columns = columns_of(schema.names, signature, label)

    def read(self, raw: Raw) -> Chunk | None:
        """The chunk where all of its rows are right."""
        given = self._given(raw)
        verdicts = [judge(column, cells, self._body) for column, cells in given]
        if any(verdict.refused for verdict in verdicts):
            return None
        return Chunk(raw.start, raw.count, Batch(raw.rows), self._inputs(verdicts))

    def explain(self, raw: Raw) -> Chunk:
        """The chunk, whatever its rows hold."""
        given = self._given(raw)
        verdicts = [judge(column, cells, self._body) for column, cells in given]
        faults: dict[int, str] = {}
        for (column, cells), verdict in zip(given, verdicts, strict=True):
            for mask in verdict.refused.values():
                for row in np.flatnonzero(mask).tolist():
                    if row not in faults:
                        faults[row] = self._text(column, cells, row)
        right = np.ones(raw.count, dtype=np.bool_)
        right[list(faults)] = False
        inputs = self._inputs([Verdict(verdict.values[right]) for verdict in verdicts]) if right.any() else None
        return Chunk(raw.start, raw.count, Batch(raw.rows), inputs, dict(sorted(faults.items())))

    def _given(self, raw: Raw) -> list[tuple[Column, Cells]]:
        import pyarrow as pa

        kept = [position for position in self.columns.positions if position is not None]
        table = pa.Table.from_batches([raw.rows]).select(kept)
        frame = frame_of(table.schema, _readable(table), raw.count, self._body)
        found = iter(frame.columns)
        return [
            (column, _absent(raw.count) if position is None else next(found))
            for column, position in zip(self._signature.columns, self.columns.positions, strict=True)
        ]

    def _inputs(self, verdicts: Sequence[Verdict]) -> Inputs:
        if self._signature.layout == "table":
            pairs = zip(self._signature.names, verdicts, strict=True)
            return Table({name: verdict.values for name, verdict in pairs})
        return Matrix(np.stack([verdict.values for verdict in verdicts], axis=1).astype(np.float64))

    def _text(self, column: Column, cells: Cells, row: int) -> str:
        why = refusal(column, cells, row, self._body)
        text = f"{why.code}: {clip(column.name)} {why.message}"
        if self._limits.show_values and why.code != "null_not_allowed" and cells.foreign is None:
            value = value_at(cells, row)
            text += f", got {value.text if isinstance(value, Unreadable) else shown(value)}"
        meant = closest(*why.near) if why.near else None
        return clip(text if meant is None else f"{text}; did you mean '{clip(meant)}'?", ERROR_CHARS)


class BatchReader(ABC):
    """What readers of record batches share; see ``base.Reader``. A chunk is never of two batches."""

    off_loop = True

    def __init__(self, signature: Signature, label: str, limits: StreamLimits) -> None:
        self._signature = signature
        self._label = label
        self._limits = limits
        self._rows: BatchRows | None = None
        self._batch: Any = None
        self._shared: list[tuple[int, Any]] = []
        self._slice = 0
        self._taken = 0

    @property
    def layout(self) -> Layout | None:
        """The input's own columns; None as long as no schema has come."""
        return None if self._rows is None else self._rows.columns.layout

    def take(self, *, flush: bool = False) -> Raw | None:  # noqa: ARG002  # a batch is whole, or not there
        """The next chunk of the batches that are there."""
        if self._batch is None or self._slice >= self._batch.num_rows:
            self._batch, self._slice = self._next_batch(), 0
            self._shared = [] if self._batch is None else _shared_texts(self._batch)
        if self._batch is None:
            return None
        rows = _fitting(self._batch.slice(self._slice, self._limits.chunk_rows), self._shared)
        raw = Raw(self._taken, rows.num_rows, rows)
        self._slice += rows.num_rows
        self._taken += rows.num_rows
        return raw

    @abstractmethod
    def _next_batch(self) -> Any:
        """The next batch, which is not empty; None where there is none yet."""

    def read(self, raw: Raw) -> Chunk | None:
        """The chunk where all of its rows are right."""
        assert self._rows is not None  # noqa: S101 - no batch comes before the schema
        return self._rows.read(raw)

    def explain(self, raw: Raw) -> Chunk:
        """The chunk, whatever its rows hold."""
        assert self._rows is not None  # noqa: S101 - as above
        return self._rows.explain(raw)

    def close(self) -> None:  # noqa: B027  # not abstract: that is what most of them do
        """Holds nothing but memory."""


def _shared_texts(batch: Any) -> list[tuple[int, Any]]:
    """The columns in which one text may stand for many rows; with the lengths of its dictionary where it has one."""
    import pyarrow as pa

    found: list[tuple[int, Any]] = []
    for place, column in enumerate(batch.columns):
        if pa.types.is_dictionary(column.type):
            if (lengths := _lengths(column.dictionary)) is not None:
                found.append((place, lengths))
        elif _is_view(column.type):
            found.append((place, None))
    return found


def _lengths(texts: Any) -> NDArray[np.int64] | None:
    """The lengths of texts, that of a null being 0; None for what is no text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    types, kind = pa.types, texts.type
    if _is_view(kind):
        return view_lengths(texts)
    if any(fits(kind) for fits in (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary)):
        found: NDArray[np.int64] = pc.binary_length(texts).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
        return found
    return None


def _is_view(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string_view(kind) or pa.types.is_binary_view(kind))


def _fitting(rows: Any, shared: Sequence[tuple[int, Any]]) -> Any:
    """As many of the rows as do not become too large where each has its texts to itself, and one at least."""
    if not shared:
        return rows
    sizes = np.zeros(rows.num_rows, dtype=np.int64)
    for place, lengths in shared:
        column = rows.column(place)
        if lengths is None:
            sizes += view_lengths(column)
        elif len(lengths):
            sizes += lengths[column.indices.fill_null(0).to_numpy(zero_copy_only=False)]
    return rows.slice(0, max(1, int(np.searchsorted(np.cumsum(sizes), _OWN_BYTES, side="right"))))


def _readable(table: Any) -> dict[int, Any]:
    return {place: column for place, column in enumerate(table.columns) if readable(column.type)}


def _absent(count: int) -> Cells:
    return Cells(np.zeros(count), np.ones(count, dtype=np.bool_))


def arrow_type(kind: ColumnType | None) -> Any:
    """What a column of the model is in Arrow; text for a column of nobody's."""
    import pyarrow as pa

    match kind:
        case ColumnType.FLOAT:
            return pa.float64()
        case ColumnType.INTEGER:
            return pa.int64()
        case ColumnType.BOOLEAN:
            return pa.bool_()
        case ColumnType.DATETIME:
            return pa.timestamp("us", "UTC")
        case _:
            return pa.string()
