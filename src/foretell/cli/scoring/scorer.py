"""Parts of a file, answered in this process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from foretell.cli.scoring.answering import answer
from foretell.cli.scoring.formats import read_format, write_format
from foretell.cli.scoring.parts import Part
from foretell.codecs.stream.base import Layout, OnError, Reader, StreamLimits, Summary, Writer
from foretell.core.limits import BodyLimits
from foretell.core.signature import Signature
from foretell.runtimes.base import Model

READ_BYTES = 1024 * 1024
CALL_ROWS = 8192
CALL_CELLS = 1024 * 1024
CALL_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Job:
    """What is the same for all parts of a run; plain values, to be sent to another process.

    ``head`` is where the header of a CSV file ends; 0 where it has none.
    """

    source: str
    read_as: str
    write_as: str
    head: int
    on_error: OnError
    row_bytes: int


@dataclass(frozen=True, slots=True)
class Scored:
    """One part as it was answered: ``path`` has its bytes. ``first_fault`` is a row within the part, and why."""

    part: Part
    path: Path
    rows: int
    faulty: int
    first_fault: tuple[int, str] | None = None


def call_rows(signature: Signature) -> int:
    """Rows of one call of the model: from the signature alone, so that the same file gives the same bytes."""
    return max(1, min(CALL_ROWS, CALL_CELLS // max(1, len(signature.columns))))


class Scorer:
    """Answers parts of one file with one loaded model."""

    def __init__(self, job: Job, model: Model, label: str, limits: BodyLimits, *, show_values: bool) -> None:
        self._job = job
        self._model = model
        self._label = label
        self._read_as, self._write_as = read_format(job.read_as), write_format(job.write_as)
        rows = call_rows(model.signature)
        self._limits = StreamLimits(
            replace(limits, max_rows=rows),
            row_bytes=job.row_bytes,
            chunk_rows=rows,
            chunk_bytes=CALL_BYTES,
            show_values=show_values,
        )
        self._file = os.open(job.source, os.O_RDONLY)
        self._head = os.pread(self._file, job.head, 0)
        self._layout = self._probe()

    def _probe(self) -> Layout | None:
        """The columns of the file, by its first rows. Raises a RequestError where they are not what the model takes."""
        reader = self._reader(None)
        size = os.fstat(self._file).st_size
        reader.feed(os.pread(self._file, READ_BYTES, self._job.head))
        if size - self._job.head <= READ_BYTES:
            reader.end()
        reader.take(flush=True)
        return reader.layout

    def _reader(self, layout: Layout | None) -> Reader:
        header = {"header": "present" if self._head else "absent"}
        reader = self._read_as.reader(self._model.signature, self._label, self._limits, header, layout)
        if self._head:
            reader.feed(self._head)
        return reader

    def score(self, part: Part, target: Path) -> Scored:
        """Answers a part; its bytes stand in ``target``. Raises a RequestError where the part cannot be read at all."""
        reader = self._reader(self._layout)
        # the first part alone has what stands before the rows
        writer = self._write_as.writer(
            self._model.signature.output, self._job.on_error, summary=False, begun=part.index > 0
        )
        scored = Scored(part, target, 0, 0)
        with target.open("wb") as out:
            for start in range(max(part.start, self._job.head), part.stop, READ_BYTES):
                reader.feed(os.pread(self._file, min(READ_BYTES, part.stop - start), start))
                scored = self._drain(reader, writer, out, scored, flush=False)
            reader.end()
            scored = self._drain(reader, writer, out, scored, flush=True)
            if part.index == 0 and not scored.rows:
                out.write(writer.end(Summary(complete=True), reader.layout))
        return scored

    def _drain(self, reader: Reader, writer: Writer, out: Any, scored: Scored, *, flush: bool) -> Scored:
        for answered in self._answers(reader, flush=flush):
            layout = reader.layout
            assert layout is not None  # noqa: S101 - a reader that gave rows knows its columns
            out.write(writer.write(answered, layout))
            first = scored.first_fault
            if first is None and answered.faults:
                row, text = min(answered.faults.items())
                first = (answered.chunk.start + row, text)
            rows, faulty = scored.rows + answered.chunk.count, scored.faulty + len(answered.faults)
            scored = replace(scored, rows=rows, faulty=faulty, first_fault=first)
        return scored

    def _answers(self, reader: Reader, *, flush: bool) -> Iterator[Any]:
        while (raw := reader.take(flush=flush)) is not None:
            yield answer(self._model, reader.read(raw) or reader.explain(raw))

    def close(self) -> None:
        """Lets the file and the model go."""
        os.close(self._file)
        self._model.close()
