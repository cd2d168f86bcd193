"""The rows of parts as chunks, whichever kind of file they stand in."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from foretell.cli.scoring.column_files import batches_of, open_columns
from foretell.cli.scoring.parts import Part
from foretell.codecs.stream.base import Chunk, Layout, Raw, Reader, StreamFormat, StreamLimits
from foretell.codecs.stream.batches import BatchRows
from foretell.core.signature import Signature

READ_BYTES = 1024 * 1024


class Rows(Protocol):
    """The rows of one file, held against one signature. Raises a RequestError where its columns do not fit."""

    @property
    def layout(self) -> Layout | None:
        """The file's own columns; None where it has no row to tell."""
        ...

    def chunks(self, part: Part) -> Iterator[Chunk]:
        """The rows of a part."""
        ...

    def close(self) -> None:
        """Lets the file go."""
        ...


class TextRows:
    """Rows of CSV or JSON lines. ``head`` is where the header of a CSV file ends."""

    def __init__(
        self, path: str, kind: StreamFormat, signature: Signature, label: str, limits: StreamLimits, *, head: int
    ) -> None:
        self._make = kind.reader
        self._what = (signature, label, limits)
        self._file = os.open(path, os.O_RDONLY)
        self._head = os.pread(self._file, head, 0)
        self._parameters: Mapping[str, str] = {"header": "present" if head else "absent"}
        self.layout: Layout | None = None
        self.layout = self._probe()

    def _probe(self) -> Layout | None:
        """The columns, by the first rows of the file."""
        reader = self._reader()
        start = len(self._head)
        reader.feed(os.pread(self._file, READ_BYTES, start))
        if os.fstat(self._file).st_size - start <= READ_BYTES:
            reader.end()
        reader.take(flush=True)
        return reader.layout

    def _reader(self) -> Reader:
        reader = self._make(*self._what, self._parameters, self.layout)
        if self._head:
            reader.feed(self._head)
        return reader

    def chunks(self, part: Part) -> Iterator[Chunk]:
        reader = self._reader()
        for start in range(max(part.start, len(self._head)), part.stop, READ_BYTES):
            reader.feed(os.pread(self._file, min(READ_BYTES, part.stop - start), start))
            yield from _taken(reader, flush=False)
        reader.end()
        yield from _taken(reader, flush=True)

    def close(self) -> None:
        os.close(self._file)


def _taken(reader: Reader, *, flush: bool) -> Iterator[Chunk]:
    while (raw := reader.take(flush=flush)) is not None:
        yield reader.read(raw) or reader.explain(raw)


class ColumnRows:
    """Rows of Parquet or Arrow files."""

    def __init__(self, path: str, kind: str, signature: Signature, label: str, limits: StreamLimits) -> None:
        self._opened = ExitStack()
        self._file = self._opened.enter_context(open_columns(Path(path), kind))
        self._rows = BatchRows(self._file.schema, signature, label, limits)
        self._most = limits.chunk_rows
        self.layout: Layout | None = self._rows.columns.layout

    def chunks(self, part: Part) -> Iterator[Chunk]:
        start = 0
        for batch in batches_of(self._file, part, self._most):
            raw = Raw(start, batch.num_rows, batch)
            start += batch.num_rows
            yield self._rows.read(raw) or self._rows.explain(raw)

    def close(self) -> None:
        self._opened.close()
