"""Batches held against a signature: a chunk is a slice of an Arrow record batch, and columns stay columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from foretell.codecs.arrow.arrays import frame_of, readable
from foretell.codecs.stream.base import Chunk, Raw, StreamLimits
from foretell.codecs.stream.columns import Columns, columns_of
from foretell.codecs.stream.ladder import ERROR_CHARS
from foretell.core.document import Unreadable
from foretell.core.faults import clip, shown
from foretell.core.frame import Cells
from foretell.core.identity import closest
from foretell.core.judge import Verdict, judge, refusal, value_at
from foretell.core.signature import Column, ColumnType, Signature
from foretell.core.values import Inputs, Matrix, Table


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows as the record batch they came in."""

    batch: Any

    def columns(self) -> Mapping[str, Sequence[Any]]:
        """Plain values by column."""
        return {name: self.batch.column(place).to_pylist() for place, name in enumerate(self.batch.schema.names)}


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
