"""Parquet files as streams: row groups in, row groups out.

The index of a Parquet file stands at its end, so a file that comes is kept on disk until it is whole, and then read in
bounded memory (``foretell.codecs.arrow.row_groups``). One that is made needs no such thing: its row groups leave as
they fill.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import orjson

from foretell.codecs.arrow.library import LIBRARY, missing
from foretell.codecs.arrow.row_groups import RowGroups
from foretell.codecs.stream.base import Answered, Layout, OnError, StreamLimits, Summary
from foretell.codecs.stream.batch_writer import SUMMARY, AnsweredBatches
from foretell.codecs.stream.batches import BatchReader, BatchRows
from foretell.codecs.stream.columns import refuse_tensors
from foretell.codecs.stream.spool import Spool
from foretell.core.signature import Output, Signature
from foretell.errors import NotAcceptable

GROUP_ROWS = 128 * 1024
GROUP_BYTES = 16 * 1024 * 1024


class ParquetFormat:
    """The format of ``application/vnd.apache.parquet``."""

    media_type = "application/vnd.apache.parquet"
    single = False

    @property
    def missing(self) -> str | None:
        return missing(LIBRARY)

    def reader(
        self,
        signature: Signature,
        label: str,
        limits: StreamLimits,
        parameters: Mapping[str, str],  # noqa: ARG002  # Parquet has none
        layout: Layout | None = None,  # noqa: ARG002  # the file says it
    ) -> ParquetReader:
        refuse_tensors(signature, label, "Parquet")
        return ParquetReader(signature, label, limits)

    def writer(self, output: Output, on_error: OnError, *, summary: bool, begun: bool = False) -> ParquetWriter:
        assert not begun  # noqa: S101 - a file cannot be gone on with
        return ParquetWriter(output, on_error, summary=summary)


class ParquetReader(BatchReader):
    """See ``base.Reader``. No row is there before the last byte has come."""

    def __init__(self, signature: Signature, label: str, limits: StreamLimits) -> None:
        super().__init__(signature, label, limits)
        self._spool = Spool(limits.spool_bytes)
        self._batches: Iterator[Any] = iter(())

    def feed(self, data: bytes) -> None:
        self._spool.write(data)

    def end(self) -> None:
        if not self._spool.size:
            return  # no rows are no fault
        groups = RowGroups(self._spool.file, replace(self._limits.body, max_body_bytes=self._limits.batch_bytes))
        self._rows = BatchRows(groups.schema, self._signature, self._label, self._limits)
        self._batches = groups.batches()

    def _next_batch(self) -> Any:
        return next(self._batches, None)

    def close(self) -> None:
        """Gives the disk its room back."""
        self._batch, self._batches = None, iter(())
        self._spool.close()


class _Sink:
    """A file that only grows, whose bytes are taken while it does."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        self._size += len(data)
        return len(data)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        """There is nothing to flush."""

    def close(self) -> None:
        """There is nothing to close."""

    def taken(self) -> bytes:
        """What was written since this was last asked."""
        data, self._parts = b"".join(self._parts), []
        return data


class ParquetWriter:
    """See ``base.Writer``. The summary is in the file's metadata."""

    off_loop = True

    def __init__(self, output: Output, on_error: OnError, *, summary: bool) -> None:
        self._batches = AnsweredBatches(output, on_error)
        self._summary = summary
        self._sink = _Sink()
        self._file: Any = None
        self._schema: Any = None
        self._gathered: list[Any] = []
        self._rows = self._bytes = 0

    def write(self, answered: Answered, layout: Layout) -> bytes:
        batch = self._batches.batch(answered, layout)
        self._open(batch.schema)
        self._gathered.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._rows >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self._write_group()
        return self._sink.taken()

    def end(self, summary: Summary, layout: Layout | None) -> bytes:
        if layout is None or not summary.complete:
            return b""
        self._open(self._batches.schema(layout))
        self._write_group()
        if self._summary:
            self._file.add_key_value_metadata({SUMMARY: orjson.dumps(summary.to_document()).decode()})
        self._file.close()
        return self._sink.taken()

    def _open(self, schema: Any) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        if self._file is not None:
            return
        try:
            self._file = parquet.ParquetWriter(pa.PythonFile(self._sink, mode="w"), schema)
        except pa.ArrowException:
            raise NotAcceptable(
                "The rows have a column of a type that Parquet cannot hold.",
                hint="ask for an Arrow stream: 'accept: application/vnd.apache.arrow.stream'",
            ) from None

    def _write_group(self) -> None:
        import pyarrow as pa

        if self._rows:
            self._file.write_table(pa.Table.from_batches(self._gathered), row_group_size=self._rows)
        self._gathered, self._rows, self._bytes = [], 0, 0
