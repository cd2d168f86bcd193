"""Parts on their way to a server: texts as they are, columns as a stream of Arrow batches."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

from foretell.cli.scoring.column_files import ColumnFile, batches_of, open_columns
from foretell.cli.scoring.formats import COLUMNS
from foretell.cli.scoring.local import ScoringFailed
from foretell.cli.scoring.parts import Part
from foretell.cli.scoring.scorer import Job
from foretell.codecs.stream.arrow import END
from foretell.codecs.stream.base import StreamLimits
from foretell.codecs.stream.lines import Lines
from foretell.core.limits import BodyLimits

ARROW = "application/vnd.apache.arrow.stream"
MEDIA_TYPES = {"csv": "text/csv", "ndjson": "application/x-ndjson"}
BATCH_ROWS = 8192
BATCH_BYTES = 1024 * 1024
"""Far below what a server allows (limits.max_record_batch_bytes), whatever a row weighs."""
_SEND_BYTES = 64 * 1024


class Body(Protocol):
    """One part as a file of its own, whichever part it is."""

    def pieces(self) -> Iterator[bytes]:
        """Its bytes. Raises ScoringFailed where the file cannot be read."""
        ...

    def rows(self) -> int:
        """How many rows the pieces had, once there are no more."""
        ...


class Source(Protocol):
    """The file of a run as parts to be sent."""

    @property
    def media_type(self) -> str:
        """As ``Content-Type`` says it."""
        ...

    def body(self, part: Part) -> Body:
        """A part; each call begins anew."""
        ...

    def close(self) -> None:
        """Lets the file go."""
        ...


def open_source(job: Job) -> Source:
    """The file of a run."""
    return ColumnSource(job) if job.read_as in COLUMNS else TextSource(job)


class TextSource:
    """CSV or JSON lines."""

    def __init__(self, job: Job) -> None:
        self._job = job
        header = f"; header={'present' if job.head else 'absent'}" if job.read_as == "csv" else ""
        self.media_type = MEDIA_TYPES[job.read_as] + header

    def body(self, part: Part) -> Body:
        return _TextBody(self._job, part)

    def close(self) -> None:
        """Holds nothing."""


class _TextBody:
    """Bytes as they stand in the file, with the header of a CSV file before them."""

    def __init__(self, job: Job, part: Part) -> None:
        self._job = job
        self._part = part
        self._lines = Lines(StreamLimits(BodyLimits(), job.row_bytes), quoted=job.read_as == "csv")

    def pieces(self) -> Iterator[bytes]:
        head, part = self._job.head, self._part
        try:
            with Path(self._job.source).open("rb") as file:
                for start, stop in ((0, head), (max(part.start, head), part.stop)):
                    for position in range(start, stop, _SEND_BYTES):
                        piece = os.pread(file.fileno(), min(_SEND_BYTES, stop - position), position)
                        self._lines.feed(piece)
                        yield piece
        except OSError as error:
            raise _unreadable(self._job.source, error) from error

    def rows(self) -> int:
        self._lines.end()
        count = 0
        while (raw := self._lines.take(flush=True)) is not None:
            count += raw.count
        return count - (self._job.head > 0)


class ColumnSource:
    """Parquet or Arrow, open until ``close``."""

    media_type = ARROW

    def __init__(self, job: Job) -> None:
        self._job = job
        self._opened = ExitStack()
        self._file: ColumnFile | None = None

    def body(self, part: Part) -> Body:
        if self._file is None:
            self._file = self._opened.enter_context(open_columns(Path(self._job.source), self._job.read_as))
        return _ColumnBody(self._job.source, self._file, part)

    def close(self) -> None:
        self._opened.close()


class _ColumnBody:
    """Batches whose boundaries depend on the file alone."""

    def __init__(self, source: str, file: ColumnFile, part: Part) -> None:
        self._source = source
        self._file = file
        self._part = part

    def pieces(self) -> Iterator[bytes]:
        import pyarrow as pa

        try:
            schema = plain_schema(self._file.schema)
            yield schema.serialize().to_pybytes()
            for batch in batches_of(self._file, self._part, BATCH_ROWS):
                for piece in _small(_plain(batch, schema)):
                    yield piece.serialize().to_pybytes()
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(self._source, error) from error
        yield END

    def rows(self) -> int:
        return self._part.stop - self._part.start


def plain_schema(schema: Any) -> Any:
    """The columns as they are sent: a dictionary, or a text that lies elsewhere, belongs to one batch of one file, and
    is sent as the values themselves."""
    import pyarrow as pa

    return pa.schema([field.with_type(_plain_type(field.type)) for field in schema])


def _plain_type(kind: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    views = {getattr(pa, "string_view", pa.string)(): pa.string(), getattr(pa, "binary_view", pa.binary)(): pa.binary()}
    return views.get(kind, kind)


def _plain(batch: Any, schema: Any) -> Any:
    import pyarrow as pa

    arrays = [
        column if column.type == field.type else column.cast(field.type)
        for column, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _small(batch: Any) -> Iterator[Any]:
    """The batch in halves of halves, until none weighs too much."""
    if batch.nbytes <= BATCH_BYTES or batch.num_rows <= 1:
        yield batch
        return
    half = (batch.num_rows + 1) // 2
    yield from _small(batch.slice(0, half))
    yield from _small(batch.slice(half))


def _unreadable(source: str, error: Exception) -> ScoringFailed:
    return ScoringFailed(f"{source} cannot be read: {error}.")
