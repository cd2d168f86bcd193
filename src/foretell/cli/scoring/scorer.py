"""Parts of a file, answered in this process."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from foretell.cli.scoring.answering import answer
from foretell.cli.scoring.formats import COLUMNS, TEXTS, write_format
from foretell.cli.scoring.parts import Part
from foretell.cli.scoring.rows import ColumnRows, Rows, TextRows
from foretell.codecs.stream.base import OnError, StreamLimits, Summary
from foretell.core.limits import BodyLimits
from foretell.core.signature import Signature
from foretell.lifecycle.loader import Loaded

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


def call_rows(signature: Signature, most: int | None = None) -> int:
    """Rows of one call of the model: from signature and manifest alone, so that the same file gives the same bytes."""
    return max(1, min(CALL_ROWS, CALL_CELLS // max(1, len(signature.columns)), most or CALL_ROWS))


class Scorer:
    """Answers parts of one file with one loaded version."""

    def __init__(self, job: Job, loaded: Loaded, limits: BodyLimits, *, show_values: bool) -> None:
        model, manifest = loaded.model, loaded.found.manifest
        label = str(loaded.found.ref)
        self._job = job
        self._model = model
        self._write_as = write_format(job.write_as)
        rows = call_rows(model.signature, manifest.execution.max_batch_rows if manifest else None)
        stream_limits = StreamLimits(
            replace(limits, max_rows=rows),
            row_bytes=job.row_bytes,
            chunk_rows=rows,
            chunk_bytes=CALL_BYTES,
            show_values=show_values,
        )
        self._rows = _rows_of(job, model.signature, label, stream_limits)

    def score(self, part: Part, target: Path) -> Scored:
        """Answers a part; its bytes stand in ``target``. Raises a RequestError where the part cannot be read at all."""
        # the first part alone has what stands before the rows
        writer = self._write_as.writer(
            self._model.signature.output, self._job.on_error, summary=False, begun=part.index > 0
        )
        rows = faulty = 0
        first: tuple[int, str] | None = None
        with target.open("wb") as out:
            for chunk in self._rows.chunks(part):
                layout = self._rows.layout
                assert layout is not None  # noqa: S101 - a file that gave rows knows its columns
                answered = answer(self._model, chunk)
                out.write(writer.write(answered, layout))
                if first is None and answered.faults:
                    row, text = min(answered.faults.items())
                    first = (chunk.start + row, text)
                rows, faulty = rows + chunk.count, faulty + len(answered.faults)
            if part.index == 0 and not rows and self._job.write_as not in COLUMNS:
                out.write(writer.end(Summary(complete=True), self._rows.layout))
        return Scored(part, target, rows, faulty, first)

    def close(self) -> None:
        """Lets the file and the model go."""
        self._rows.close()
        self._model.close()


def _rows_of(job: Job, signature: Signature, label: str, limits: StreamLimits) -> Rows:
    if job.read_as in COLUMNS:
        return ColumnRows(job.source, job.read_as, signature, label, limits)
    return TextRows(job.source, TEXTS[job.read_as], signature, label, limits, head=job.head)
