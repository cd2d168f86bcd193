"""Answers on their way into a part's file: as they come, as batches of fixed sizes, or as rows of another format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import orjson

from foretell.cli.scoring.exchange import Broken
from foretell.cli.scoring.formats import COLUMNS, TEXTS, write_format
from foretell.cli.scoring.parts import Part
from foretell.cli.scoring.rows import TextRows
from foretell.cli.scoring.scorer import CALL_BYTES, CALL_ROWS, Job, call_rows
from foretell.cli.scoring.sending import ARROW, MEDIA_TYPES
from foretell.codecs.stream.answered_lines import Unanswered, read_answered
from foretell.codecs.stream.base import Layout, StreamLimits
from foretell.codecs.stream.lines import Lines
from foretell.core.limits import BodyLimits
from foretell.core.signature import Signature

BATCH_ROWS = 8192
"""Rows of one batch of the output. Those of an answer end where the server's chunks did, which is of the moment."""


class Answers(Protocol):
    """Takes the answer to one part."""

    def take(self, data: bytes) -> None:
        """The next bytes."""
        ...

    def end(self) -> tuple[int, int]:
        """There are no more: how many rows there were, and how many without a fault. Raises Broken."""
        ...

    def close(self) -> None:
        """Keeps nothing, whether they came to an end or not."""
        ...


@dataclass(frozen=True, slots=True)
class Receiving:
    """How answers are asked for. ``rows`` are the columns of JSON lines that become another format."""

    job: Job
    rows: LineColumns | None = None

    @property
    def media_type(self) -> str:
        """As ``Accept`` says it."""
        if self.rows is not None:
            return MEDIA_TYPES["ndjson"]
        return ARROW if self.job.write_as in COLUMNS else MEDIA_TYPES[self.job.write_as]

    def answers(self, out: BinaryIO, part: Part, path: Path) -> Answers:
        """For one part, whose file is ``out`` and stands at ``path``."""
        if self.rows is not None:
            return LineAnswers(out, self.job, part, self.rows)
        if self.job.write_as in COLUMNS:
            return ColumnAnswers(out, part, path.with_name(path.name + ".answer"))
        return TextAnswers(out, self.job, part)


@dataclass(frozen=True, slots=True)
class LineColumns:
    """What JSON lines need to become another format: the model's columns, and those of the file's first rows."""

    signature: Signature
    layout: Layout | None


def line_columns(job: Job, signature: Signature, label: str) -> LineColumns:
    """The columns every part of a file of JSON lines has in the output."""
    rows = call_rows(signature)
    limits = StreamLimits(BodyLimits(max_rows=rows), job.row_bytes, chunk_rows=rows, chunk_bytes=CALL_BYTES)
    read = TextRows(job.source, TEXTS[job.read_as], signature, label, limits, head=job.head)
    try:
        return LineColumns(signature, read.layout)
    finally:
        read.close()


class TextAnswers:
    """Texts as they come, counted. The header is kept by the first part alone."""

    def __init__(self, out: BinaryIO, job: Job, part: Part) -> None:
        self._out = out
        self._lines = Lines(StreamLimits(BodyLimits(), 2 * job.row_bytes), quoted=job.write_as == "csv")
        self._csv = job.write_as == "csv"
        self._head = b"" if self._csv and part.index > 0 else None
        self._skip = self._csv
        self._rows = self._right = 0

    def take(self, data: bytes) -> None:
        self._lines.feed(data)
        self._count(flush=False)
        if self._head is None:
            self._out.write(data)
            return
        self._head += data
        # a header of ours is one record; its own quoted line ends count in pairs
        stop = -1
        while (stop := self._head.find(b"\n", stop + 1)) != -1:
            if self._head.count(b'"', 0, stop) % 2 == 0:
                self._out.write(self._head[stop + 1 :])
                self._head = None
                return

    def end(self) -> tuple[int, int]:
        self._lines.end()
        self._count(flush=True)
        return self._rows, self._right

    def close(self) -> None:
        """Keeps nothing."""

    def _count(self, *, flush: bool) -> None:
        while (raw := self._lines.take(flush=flush)) is not None:
            lines: Any = raw.rows
            if self._skip:
                lines, self._skip = lines[1:], False
            self._rows += len(lines)
            self._right += sum([_right(line, csv=self._csv) for line in lines])


def _right(line: bytes, *, csv: bool) -> bool:
    if csv:
        return line.endswith(b",")
    return not (b'"prediction":null,"error":' in line and orjson.loads(line).get("error") is not None)


class LineAnswers:
    """JSON lines that are written in another format, as the model's own rows would be here."""

    def __init__(self, out: BinaryIO, job: Job, part: Part, rows: LineColumns) -> None:
        self._out = out
        limits = StreamLimits(BodyLimits(), 2 * job.row_bytes, chunk_rows=CALL_ROWS, chunk_bytes=CALL_BYTES)
        self._lines = Lines(limits, quoted=False)
        self._signature, self._layout = rows.signature, rows.layout
        self._writer = write_format(job.write_as).writer(
            rows.signature.output, job.on_error, summary=False, begun=part.index > 0
        )
        self._rows = self._right = 0

    def take(self, data: bytes) -> None:
        self._lines.feed(data)
        self._write(flush=False)

    def end(self) -> tuple[int, int]:
        self._lines.end()
        self._write(flush=True)
        return self._rows, self._right

    def close(self) -> None:
        """Keeps nothing."""

    def _write(self, *, flush: bool) -> None:
        while (raw := self._lines.take(flush=flush)) is not None:
            try:
                answered = read_answered(raw, self._signature)
            except Unanswered as error:
                raise Broken(f"an answer is not what this model gives: {error}") from error
            self._rows += raw.count
            self._right += raw.count - len(answered.faults)
            self._out.write(self._writer.write(answered, self._layout or Layout({})))


class ColumnAnswers:
    """Batches, kept aside until all have come, then written anew in sizes that depend on the rows alone."""

    def __init__(self, out: BinaryIO, part: Part, aside: Path) -> None:
        self._out = out
        self._first = part.index == 0
        self._aside = aside
        self._kept = aside.open("wb")

    def take(self, data: bytes) -> None:
        self._kept.write(data)

    def end(self) -> tuple[int, int]:
        import pyarrow as pa

        self._kept.close()
        try:
            if not self._aside.stat().st_size:
                return 0, 0
            with pa.memory_map(str(self._aside)) as source, pa.ipc.open_stream(source) as stream:
                return self._write(stream)
        except pa.ArrowException as error:
            raise Broken(f"what was answered is no Arrow stream: {error}") from error

    def close(self) -> None:
        self._kept.close()
        self._aside.unlink(missing_ok=True)

    def _write(self, stream: Any) -> tuple[int, int]:
        if self._first:
            self._out.write(stream.schema.serialize().to_pybytes())
        rows = faulty = 0
        for batch in even(stream, BATCH_ROWS):
            self._out.write(batch.serialize().to_pybytes())
            rows += batch.num_rows
            if "error" in batch.schema.names:
                errors = batch.column("error")
                faulty += batch.num_rows - errors.null_count
        return rows, rows - faulty


def even(batches: Iterator[Any], rows: int) -> Iterator[Any]:
    """The same rows in batches of ``rows`` rows, the last one aside. Raises ArrowException where one is damaged."""
    import pyarrow as pa

    waiting: list[Any] = []
    count = 0

    def whole() -> Any:
        return pa.Table.from_batches(waiting).combine_chunks().to_batches()[0]

    for batch in batches:
        batch.validate(full=True)
        start = 0
        while batch.num_rows - start >= rows - count:
            waiting.append(batch.slice(start, rows - count))
            yield whole()
            start, count = start + rows - count, 0
            waiting.clear()
        if start < batch.num_rows:
            waiting.append(batch.slice(start))
            count += batch.num_rows - start
    if waiting:
        yield whole()
