"""Files of columns, Parquet and Arrow, in parts: where their rows lie, and the batches of some of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

from foretell.cli.scoring.parts import Part
from foretell.codecs.arrow.library import LIBRARY, missing
from foretell.errors import OperatorError

PART_ROWS = 1024 * 1024
LEAST_ROWS = 64 * 1024
"""Smaller batches of a file are one part together."""


class ColumnFile(Protocol):
    """An open file of columns. ``groups`` are rows that lie together, by their number."""

    @property
    def schema(self) -> Any: ...

    @property
    def groups(self) -> Sequence[int]: ...

    def batches(self, group: int, rows: int) -> Iterator[Any]:
        """The record batches of a group, in order, none of more than ``rows`` rows."""
        ...


@contextmanager
def open_columns(path: Path, kind: str) -> Iterator[ColumnFile]:
    """A file of columns, for as long as the block lasts. Raises OperatorError where it is none."""
    install = missing(LIBRARY)
    if install is not None:
        raise OperatorError(f"{path.name} needs {LIBRARY}.", hint=install)
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as source:
            yield _ParquetFile(source) if kind == "parquet" else _ArrowFile(source)
    except (pa.ArrowException, OSError) as error:
        raise OperatorError(f"{path} cannot be read as {kind}: {error}") from error


class _ParquetFile:
    def __init__(self, source: Any) -> None:
        from pyarrow import parquet

        self._file = parquet.ParquetFile(source, pre_buffer=False)
        self.schema: Any = self._file.schema_arrow
        metadata = self._file.metadata
        self.groups: Sequence[int] = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]

    def batches(self, group: int, rows: int) -> Iterator[Any]:
        yield from self._file.iter_batches(rows, [group], use_threads=False)


class _ArrowFile:
    """An Arrow file, or a stream that stands in one; either is mapped into memory, where its batches lie."""

    def __init__(self, source: Any) -> None:
        import pyarrow as pa

        try:
            reader = pa.ipc.open_file(source)
            self._batch = reader.get_batch
            self.schema, count = reader.schema, reader.num_record_batches
        except pa.ArrowInvalid:
            source.seek(0)
            stream = pa.ipc.open_stream(source)
            found = list(stream)  # where nothing is compressed, this only says where they lie
            self._batch, self.schema, count = found.__getitem__, stream.schema, len(found)
        self.groups: Sequence[int] = [self._batch(index).num_rows for index in range(count)]

    def batches(self, group: int, rows: int) -> Iterator[Any]:
        batch = self._batch(group)
        for start in range(0, batch.num_rows, rows):
            yield batch.slice(start, rows)


def column_parts(groups: Sequence[int], first: int = 0, most: int | None = None) -> Iterator[Part]:
    """The parts of a file, from part ``first`` on, in rows: a large group is several, small ones are one together.

    A part has at most ``most`` rows, by default ``PART_ROWS``, but for small groups, which are never cut.
    """
    most = most or PART_ROWS
    index, start, stop = 0, 0, 0
    for rows in groups:
        end = stop + rows
        if stop - start + rows < LEAST_ROWS:
            stop = end
            continue
        while end - start > most:
            if index >= first:
                yield Part(index, start, start + most)
            index, start = index + 1, start + most
        if index >= first:
            yield Part(index, start, end)
        index, start, stop = index + 1, end, end
    if stop > start and index >= first:
        yield Part(index, start, stop)


def batches_of(file: ColumnFile, part: Part, rows: int) -> Iterator[Any]:
    """The record batches of a part, none of more than ``rows`` rows."""
    for group, end in enumerate(accumulate(file.groups)):
        position = end - file.groups[group]
        if end <= part.start or position >= part.stop:
            continue
        for batch in file.batches(group, rows):
            first, last = max(part.start - position, 0), min(part.stop - position, batch.num_rows)
            if first < last:
                yield batch.slice(first, last - first)
            position += batch.num_rows
            if position >= part.stop:
                break
