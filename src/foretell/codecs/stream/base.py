"""The stream port: bytes come in pieces of any size, rows leave in chunks with fixed boundaries.

A *reader* cuts bytes into chunks and holds each chunk's rows against the signature; a row that is wrong is a fault of
that row and of no other. A *writer* turns answered chunks into bytes. Between the two every format looks the same, so
each can be answered in each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from foretell.core.limits import BodyLimits
from foretell.core.signature import ColumnType, Output, Signature
from foretell.core.values import Inputs, Outputs, display_names

CHUNK_ROWS = 1024
CHUNK_BYTES = 256 * 1024
ANSWERS = ("prediction", "class_name", "confidence", "probability", "error")
"""What answers add to a row; no column of the input may be called one of these."""

OnError = Literal["null", "skip", "fail"]


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """``body`` binds each row as it binds a request; ``row_bytes`` one line or record, ``batch_bytes`` one Arrow batch,
    ``spool_bytes`` a file that can only be read once it is whole.

    A chunk has at most ``chunk_rows`` rows and, but for a single row larger than that, ``chunk_bytes`` bytes.
    ``show_values``: whether the error of a row may show the value that is wrong.
    """

    body: BodyLimits
    row_bytes: int = 1024 * 1024
    batch_bytes: int = 32 * 1024 * 1024
    spool_bytes: int = 4 * 1024 * 1024 * 1024
    chunk_rows: int = CHUNK_ROWS
    chunk_bytes: int = CHUNK_BYTES
    show_values: bool = True


class Own(Protocol):
    """The rows of one chunk as they came, for a writer to give back."""

    def columns(self) -> Mapping[str, Sequence[Any]]:
        """Plain values by column: as the signature types them where that can be, else texts; None for what is absent.

        Values are None, bool, int, float, str, datetime, or lists and dicts of those.
        """
        ...


@dataclass(frozen=True, slots=True)
class Raw:
    """The bytes of rows ``start`` to ``start + count``, in whatever form their reader keeps them."""

    start: int
    count: int
    rows: Any


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows ``start`` to ``start + count`` of a stream.

    ``faults`` says by position within the chunk which rows are wrong, and why, in a short text; ``inputs`` are the
    others, in order, and None where there is none.
    """

    start: int
    count: int
    own: Own
    inputs: Inputs | None
    faults: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answered:
    """A chunk with its answers: ``outputs`` has a row for every row of the chunk that has no fault, in order."""

    chunk: Chunk
    outputs: Outputs | None
    faults: Mapping[int, str] = field(default_factory=dict)


@dataclass(slots=True)
class Summary:
    """What became of a stream so far. ``complete`` once its last row was answered."""

    rows: int = 0
    faulty: int = 0
    complete: bool = False
    reason: str | None = None

    def to_document(self) -> dict[str, Any]:
        """Plain values, for the last line."""
        document: dict[str, Any] = {"rows": self.rows, "faulty": self.faulty, "complete": self.complete}
        return document if self.reason is None else {**document, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Layout:
    """The input's own columns by name with their types (None: text of no column of the model), as they come."""

    columns: Mapping[str, ColumnType | None]


class Reader(Protocol):
    """Reads one stream. Its calls follow each other, ``close`` being the last."""

    @property
    def off_loop(self) -> bool:
        """Whether any call may take a while, or wait for a disk: none of them is for an event loop then."""
        ...

    def feed(self, data: bytes) -> None:
        """Takes the next bytes. Raises a RequestError where the stream as a whole cannot go on."""
        ...

    def end(self) -> None:
        """No more bytes come. Raises MalformedRequest where the stream stops in the middle of something."""
        ...

    def take(self, *, flush: bool = False) -> Raw | None:
        """The next whole chunk, cut off and not yet read, or None; with ``flush`` also one that has room for more.

        Raises a RequestError where the columns as a whole are not what the model takes, or the stream cannot go on.
        """
        ...

    def read(self, raw: Raw) -> Chunk | None:
        """The chunk, quickly, where all of its rows are plainly right; else None. Never raises."""
        ...

    def explain(self, raw: Raw) -> Chunk:
        """The chunk, whatever its rows hold. May take a while: not on an event loop. Never raises."""
        ...

    @property
    def layout(self) -> Layout | None:
        """The input's own columns; None as long as no row has told."""
        ...

    def close(self) -> None:
        """Lets go of what is held outside memory."""
        ...


class Writer(Protocol):
    """Writes one stream. Answers that are to be left out are left out of ``write``'s chunks by ``on_error=skip``."""

    @property
    def off_loop(self) -> bool:
        """As of a reader."""
        ...

    def write(self, answered: Answered, layout: Layout) -> bytes:
        """The next bytes, the stream's beginning included with the first ones.

        Raises NotAcceptable where the rows' own columns cannot be written in this format.
        """
        ...

    def end(self, summary: Summary, layout: Layout | None) -> bytes:
        """The last bytes; what cannot say that it is incomplete gives none where the summary is not complete."""
        ...


class StreamFormat(Protocol):
    """One format of endless bodies."""

    @property
    def media_type(self) -> str:
        """As ``Content-Type`` names it, in lower case, without parameters."""
        ...

    @property
    def single(self) -> bool:
        """Whether it is offered for one row, too; no stream is."""
        ...

    @property
    def missing(self) -> str | None:
        """What the operator has to install before it can be read and written; None where nothing is missing."""
        ...

    def reader(
        self,
        signature: Signature,
        label: str,
        limits: StreamLimits,
        parameters: Mapping[str, str],
        layout: Layout | None = None,
    ) -> Reader:
        """A reader for one stream; ``layout`` is that of a larger one of which it is a part, where that is known.

        Raises a RequestError where the format cannot carry rows of ``signature``.
        """
        ...

    def writer(self, output: Output, on_error: OnError, *, summary: bool, begun: bool = False) -> Writer:
        """A writer for one stream; ``summary``: whether to end with one where the format has room for it.

        ``begun``: what stands before the first row is written already, the stream being a part of a larger one.
        """
        ...


def answer_names(output: Output) -> tuple[str, ...]:
    """The columns answers have, ``error`` aside."""
    names = ["prediction"]
    if display_names(output) is not None and not output.several:
        names.append("class_name")
    if output.probabilities:
        names.append("confidence")
    return tuple(names)


def kept_rows(answered: Answered, on_error: OnError) -> Iterable[int]:
    """Positions of the rows that are written."""
    if on_error != "skip" or not answered.faults:
        return range(answered.chunk.count)
    return [row for row in range(answered.chunk.count) if row not in answered.faults]
