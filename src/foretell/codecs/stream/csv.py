"""Streams of CSV: a header, by name in any order, and then records without end.

Columns the model does not know are the caller's own; every record comes back byte for byte, the answer's fields after
it. A record that does not have the header's fields stands, as it is, in the first of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from foretell.codecs.base import Codec
from foretell.codecs.stream.answers import Answers, csv_cell, csv_label, csv_row, csv_text
from foretell.codecs.stream.base import (
    Answered,
    Chunk,
    Layout,
    OnError,
    Raw,
    StreamLimits,
    Summary,
    answer_names,
    kept_rows,
)
from foretell.codecs.stream.columns import Columns, columns_of, refuse_tensors
from foretell.codecs.stream.fields import fast_fields
from foretell.codecs.stream.ladder import sort_out
from foretell.codecs.stream.line_format import LineFormat, LineReader
from foretell.codecs.stream.lines import TooLong
from foretell.core import cells
from foretell.core.document import Document
from foretell.core.faults import malformed
from foretell.core.header import has_header
from foretell.core.signature import Output, Signature
from foretell.core.validation import bind
from foretell.core.values import Inputs
from foretell.errors import RequestError

Records = Callable[[bytes], list[list[str]]]


class CsvFormat(LineFormat):
    """The format of ``text/csv``."""

    media_type = "text/csv"

    def reader(
        self,
        signature: Signature,
        label: str,
        limits: StreamLimits,
        parameters: Mapping[str, str],
        layout: Layout | None = None,  # noqa: ARG002  # the header says it
    ) -> CsvReader:
        refuse_tensors(signature, label, "CSV")
        return CsvReader(self._codec, signature, label, limits, parameters)

    def writer(
        self,
        output: Output,
        on_error: OnError,
        *,
        summary: bool,  # noqa: ARG002  # there is no room for one
        begun: bool = False,
    ) -> CsvWriter:
        return CsvWriter(output, on_error, begun=begun)


class CsvReader(LineReader):
    """See ``base.Reader``. The parameter ``header`` may be ``present`` or ``absent``."""

    def __init__(
        self, codec: Codec, signature: Signature, label: str, limits: StreamLimits, parameters: Mapping[str, str]
    ) -> None:
        super().__init__(codec, signature, label, limits, quoted=True)
        self._header = codec.parse(b"a", False, self._body, parameters).header
        self._columns: Columns | None = None
        self._fast: Callable[[Sequence[bytes]], Inputs | None] = _never
        self._ended = False

    @property
    def layout(self) -> Layout | None:
        return None if self._columns is None else self._columns.layout

    def end(self) -> None:
        super().end()
        self._ended = True

    def take(self, *, flush: bool = False) -> Raw | None:
        if self._columns is None:
            self._columns = self._begin()
            if self._columns is None:
                return None
            self._fast = fast_fields(self._signature, self._columns, self._body)
        return self._lines.take(flush=flush)

    def _begin(self) -> Columns | None:
        """The columns, once the records that tell have come."""
        first, second = self._lines.peek(0), self._lines.peek(1)
        undecided = self._header == "auto" and second is None
        if first is None or (undecided and not self._ended):
            return None
        records = [self._record(line) for line in (first, second) if line is not None]
        if has_header(records, self._signature, self._header):
            self._lines.next()
            known = self._signature.known
            names = [text if text in known else text.strip(" \t") for text in records[0]]
            return columns_of(names, self._signature, self._label)
        names = list(self._signature.names)
        if records[0] and len(records[0]) != len(names):
            detail = f"Model {self._label} takes {len(names)} features by position, got {len(records[0])}."
            raise malformed("wrong_feature_count", detail, detail)
        return columns_of(names, self._signature, self._label)

    def _record(self, line: bytes) -> list[str]:
        """The fields of a record; none for what is no record, which may still be a row, and a faulty one."""
        try:
            return [] if isinstance(line, TooLong) else self._parsed(line)[0]
        except RequestError:
            if self._header == "present":
                raise
            return []

    def read(self, raw: Raw) -> Chunk | None:
        inputs = self._fast(raw.rows)
        return None if inputs is None else Chunk(raw.start, raw.count, self._own(raw), inputs)

    def explain(self, raw: Raw) -> Chunk:
        inputs, faults = sort_out(raw.rows, self._read_all, show_values=self._limits.show_values)
        return Chunk(raw.start, raw.count, self._own(raw), inputs, faults)

    def _own(self, raw: Raw) -> _Records:
        assert self._columns is not None  # noqa: S101 - nothing is taken before they are known
        return _Records(raw.rows, self._columns, self._signature, self._parsed, self._limits)

    def _parsed(self, body: bytes) -> list[list[str]]:
        document = self._codec.parse(body, True, self._body, {})
        records: list[list[str]] = document.payload
        return records

    def _read_all(self, lines: Sequence[bytes]) -> Inputs:
        columns = self._columns
        assert columns is not None  # noqa: S101 - as above
        if any(isinstance(line, TooLong) for line in lines):
            detail = f"a row has at most {self._limits.row_bytes} bytes (limits.max_row_bytes)"
            raise malformed("row_too_long", detail, detail)
        records = self._parsed(b"\n".join(lines))
        width = len(columns.names)
        if len(records) != len(lines) or set(map(len, records)) != {width}:
            got = len(records[0])
            message = f"expected {width} fields, as many as the header has, got {got}"
            raise malformed("ragged_rows", message, message)
        kept = [position for position in columns.positions if position is not None]
        if len(kept) < width:
            records = [[record[position] for position in kept] for record in records]
        names = [columns.names[position] for position in kept]
        document = Document("csv", False, [names, *records], header="present")
        return bind(document, self._signature, self._body, self._label)


def _never(_: Sequence[bytes]) -> Inputs | None:
    return None


@dataclass(frozen=True, slots=True)
class _Records:
    """Rows as their records."""

    lines: Sequence[bytes]
    known: Columns
    signature: Signature
    parse: Records
    limits: StreamLimits

    def columns(self) -> Mapping[str, Sequence[Any]]:
        rows = [self._fields(line) for line in self.lines]
        types = {column.name: column for column in self.signature.columns}
        by_name: dict[str, Sequence[Any]] = {}
        for name, texts in zip(self.known.names, zip(*rows, strict=True), strict=True):
            column = types.get(name)
            by_name[name] = texts if column is None else [self._value(column, text) for text in texts]
        return by_name

    def _value(self, column: Any, text: str | None) -> Any:
        if not text:
            return None
        value = cells.read(column, cells.from_text(column, text, self.limits.body), self.limits.body)
        return text if isinstance(value, cells.Refusal) else value

    def _fields(self, line: bytes) -> list[str | None]:
        width = len(self.known.names)
        fields = self.fields(line)
        if fields is not None:
            return list(fields)
        return [line.decode("utf-8", "replace"), *([None] * (width - 1))]

    def fields(self, line: bytes) -> list[str] | None:
        """The fields of a record, as many as there are columns; None where it has not so many or is none."""
        try:
            records = [] if isinstance(line, TooLong) else self.parse(line)
        except RequestError:
            return None
        return records[0] if len(records) == 1 and len(records[0]) == len(self.known.names) else None

    def whole(self, line: bytes) -> bytes:
        """The record as it came, or, where it does not have the header's fields, in the first of them."""
        if self.fields(line) is not None:
            return line
        return csv_text(line.decode("utf-8", "replace")) + b"," * (len(self.known.names) - 1)


class CsvWriter:
    """See ``base.Writer``. The header: the input's own and the answer's columns, ``error`` where rows may have one."""

    off_loop = False

    def __init__(self, output: Output, on_error: OnError, *, begun: bool = False) -> None:
        self._answers = Answers(output, csv_label(output), (b"", b",", b","))
        self._on_error = on_error
        self._names = list(answer_names(output))
        if output.several:
            self._names[:1] = [f"prediction_{name}" for name in output.names]
        self._nothing = b"," * (len(self._names) - 1)
        if on_error == "null":
            self._names.append("error")
        self._begun = begun

    def write(self, answered: Answered, layout: Layout) -> bytes:
        texts = [] if answered.outputs is None else self._answers.texts(answered.outputs)
        own = answered.chunk.own
        lines: Sequence[bytes]
        if isinstance(own, _Records):
            lines = own.lines
            if answered.faults:
                lines = [own.whole(line) if row in answered.faults else line for row, line in enumerate(lines)]
        else:
            lines = _lines(own.columns(), layout, answered.chunk.count)
        if not answered.faults:
            rows = [line + b"," + text for line, text in zip(lines, texts, strict=True)]
        else:
            rest = iter(texts)
            ends = [None if row in answered.faults else next(rest) for row in range(answered.chunk.count)]
            kept = kept_rows(answered, self._on_error)
            if self._on_error == "skip":
                rows = [lines[row] + b"," + (ends[row] or b"") for row in kept]
            else:
                return self._head(layout) + self._with_errors(lines, ends, answered.faults)
        end = b",\n" if self._on_error == "null" else b"\n"
        return self._head(layout) + end.join([*rows, b""])

    def _with_errors(self, lines: Sequence[bytes], ends: Sequence[bytes | None], faults: Mapping[int, str]) -> bytes:
        rows = [
            line + b"," + (self._nothing + b"," + csv_cell(faults[row]) if text is None else text + b",")
            for row, (line, text) in enumerate(zip(lines, ends, strict=True))
        ]
        return b"\n".join([*rows, b""])

    def _head(self, layout: Layout) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        return csv_row([*layout.columns, *self._names]) + b"\n"

    def end(self, summary: Summary, layout: Layout | None) -> bytes:  # noqa: ARG002  # there is no room for one
        return b"" if layout is None else self._head(layout)


def _lines(columns: Mapping[str, Sequence[Any]], layout: Layout, count: int) -> list[bytes]:
    """Rows of another format as records, by the columns their header names."""
    absent: Sequence[Any] = [None] * count
    fields = [map(csv_cell, columns.get(name, absent)) for name in layout.columns]
    return [b",".join(record) for record in zip(*fields, strict=True)]
