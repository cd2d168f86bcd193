"""Streams of JSON lines: one row a line, as an object by column or as a list.

A line may also be what a single request is: ``{"features": ...}``, with other keys beside it. Keys that are no column
of the model are the caller's own and come back with the row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from foretell.codecs.base import Codec
from foretell.codecs.stream.answers import Answers, json_cell
from foretell.codecs.stream.base import (
    ANSWERS,
    Answered,
    Chunk,
    Layout,
    OnError,
    Raw,
    StreamLimits,
    Summary,
    kept_rows,
)
from foretell.codecs.stream.ladder import sort_out
from foretell.codecs.stream.line_format import LineFormat, LineReader
from foretell.codecs.stream.lines import TooLong
from foretell.core.document import Document
from foretell.core.faults import malformed
from foretell.core.identity import closest
from foretell.core.signature import Output, Signature
from foretell.core.validation import bind
from foretell.core.values import Inputs
from foretell.errors import MalformedRequest

_WRAPPERS = frozenset({"features", "instances", "model_version"})
_OPENING = (b"[", b"{")


class NdjsonFormat(LineFormat):
    """The format of ``application/x-ndjson``."""

    media_type = "application/x-ndjson"

    def reader(
        self,
        signature: Signature,
        label: str,
        limits: StreamLimits,
        parameters: Mapping[str, str],  # noqa: ARG002  # JSON lines have none
        layout: Layout | None = None,
    ) -> NdjsonReader:
        return NdjsonReader(self._codec, signature, label, limits, layout)

    def writer(
        self,
        output: Output,
        on_error: OnError,
        *,
        summary: bool,
        begun: bool = False,  # noqa: ARG002  # nothing stands before the first line
    ) -> NdjsonWriter:
        return NdjsonWriter(output, on_error, summary=summary)


class NdjsonReader(LineReader):
    """See ``base.Reader``."""

    def __init__(
        self, codec: Codec, signature: Signature, label: str, limits: StreamLimits, layout: Layout | None
    ) -> None:
        super().__init__(codec, signature, label, limits, quoted=False)
        decoders = codec.compile(signature, self._body)
        self._decode = None if decoders is None else decoders.batch
        self._wrapped = _WRAPPERS - signature.known
        self._types = {column.name: column.type for column in signature.columns}
        self.layout = layout

    def take(self, *, flush: bool = False) -> Raw | None:
        raw = self._lines.take(flush=flush)
        if raw is not None and self.layout is None:
            self.layout = self._layout(raw.rows)
        return raw

    def read(self, raw: Raw) -> Chunk | None:
        if self._decode is None:
            return None
        body = _rows(raw.rows)
        if not _one_a_line(raw.rows, body):
            return None
        inputs = self._decode(b'{"instances":[' + body + b"]}")
        return None if inputs is None else Chunk(raw.start, raw.count, _Lines(raw.rows, self._signature), inputs)

    def explain(self, raw: Raw) -> Chunk:
        inputs, faults = sort_out(raw.rows, self._read_all, show_values=self._limits.show_values)
        return Chunk(raw.start, raw.count, _Lines(raw.rows, self._signature), inputs, faults)

    def _layout(self, lines: Sequence[bytes]) -> Layout:
        names: dict[str, None] = {}
        for line in lines:
            names |= dict.fromkeys(_by_name(line, self._signature))
        return Layout({name: self._types.get(name) for name in names or self._types if name not in ANSWERS})

    def _read_all(self, lines: Sequence[bytes]) -> Inputs:
        document = self._one(lines[0]) if len(lines) == 1 else self._many(lines)
        return bind(document, self._signature, self._body, self._label)

    def _one(self, line: bytes) -> Document:
        """One line as the single request it is."""
        if isinstance(line, TooLong):
            detail = f"a row has at most {self._limits.row_bytes} bytes (limits.max_row_bytes)"
            raise malformed("row_too_long", detail, detail)
        body = b'{"features":' + line + b"}" if line.lstrip(b" \t").startswith(b"[") else line
        document = self._codec.parse(body, False, self._body, {})
        if document.model_version is not None:
            raise malformed("unknown_field", "a row cannot choose its version; name it in the path", "")
        taken = next((key for key in document.beside if key in ANSWERS), None)
        if taken is not None:
            raise _taken(taken)
        if document.place or not isinstance(document.payload, dict):
            return replace(document, beside=tuple(key for key in document.beside if key in self._signature.known))
        return replace(document, payload=self._own_kept_out(document.payload))

    def _many(self, lines: Sequence[bytes]) -> Document:
        """Lines that are plainly one JSON value each; raises for anything that has to be looked at alone."""
        for line in lines:
            self._check_alone(line)
        document = self._codec.parse(b'{"instances":[' + _rows(lines) + b"]}", True, self._body, {})
        payload = [self._own_kept_out(row) if isinstance(row, dict) else row for row in document.payload]
        return replace(document, payload=payload)

    def _check_alone(self, line: bytes) -> None:
        try:
            row = orjson.loads(line)
        except ValueError:
            raise MalformedRequest("a line is not JSON") from None
        if not isinstance(row, list | dict) or (isinstance(row, dict) and not self._wrapped.isdisjoint(row)):
            raise MalformedRequest("a line is not a row by itself")

    def _own_kept_out(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row without the caller's own keys. One that may be meant as a column stays, for binding to refuse."""
        if row.keys() <= self._signature.known:
            return row
        missing = [name for name in self._signature.names if name not in row]
        kept: dict[str, Any] = {}
        for key, value in row.items():
            if key in self._signature.known or (missing and closest(key, missing) is not None):
                kept[key] = value
            elif key in ANSWERS:
                raise _taken(key)
        return kept


def _taken(name: str) -> MalformedRequest:
    message = f"a row cannot have a column '{name}' of its own: the answer's stands there"
    return malformed("column_taken", message, message)


def _rows(lines: Sequence[bytes]) -> bytes:
    # a line end between them: no JSON string can reach from one line into the next
    return b",\n".join(lines)


def _one_a_line(lines: Sequence[bytes], body: bytes) -> bool:
    """Whether every line has one bracket that opens, as its first byte, and one that closes, as its last: then no value
    can reach from one line into the next, whatever stands between."""
    lists = sum([line.startswith(b"[") and line.endswith(b"]") for line in lines])
    if lists == len(lines):
        return body.count(b"[") == lists == body.count(b"]") and b"{" not in body
    objects = sum([line.startswith(b"{") and line.endswith(b"}") for line in lines])
    return objects == len(lines) == body.count(b"{") == body.count(b"}") and b"[" not in body


def _by_name(line: bytes, signature: Signature) -> dict[str, Any]:
    """The row of a line by column; empty where it is none."""
    try:
        return row_by_name(orjson.loads(line), signature)
    except ValueError:
        return {}


def row_by_name(row: Any, signature: Signature) -> dict[str, Any]:
    """A row in any of its forms by column, the caller's own keys beside; empty where it is none."""
    if isinstance(row, list):
        row = {"features": row}
    if not isinstance(row, dict):
        return {}
    features = row.get("features")
    if "features" in signature.known or not isinstance(features, list | dict):
        return row
    beside = {name: value for name, value in row.items() if name != "features"}
    if isinstance(features, dict):
        return {**beside, **features}
    if len(features) == len(signature.names):
        return {**beside, **dict(zip(signature.names, features, strict=True))}
    return {**beside, "features": features}


@dataclass(frozen=True, slots=True)
class _Lines:
    """Rows as their lines."""

    lines: Sequence[bytes]
    signature: Signature

    def columns(self) -> Mapping[str, Sequence[Any]]:
        rows = [_by_name(line, self.signature) for line in self.lines]
        names = dict.fromkeys(name for row in rows for name in row)
        return {name: [row.get(name) for row in rows] for name in names}

    def objects(self, faults: Mapping[int, str]) -> list[bytes]:
        """Each line without the brace that closes it, ready for more keys."""
        if faults or not all(line.endswith(b"}") for line in self.lines):
            return [self._open(line, row in faults) for row, line in enumerate(self.lines)]
        return [line[:-1] for line in self.lines]

    @staticmethod
    def _open(line: bytes, faulty: bool) -> bytes:
        line = line.strip(b" \t\r")
        if faulty:
            try:
                row = orjson.loads(line)
            except ValueError:
                return b'{"line":' + orjson.dumps(line[:200].decode("utf-8", "replace"))
            if not isinstance(row, list | dict):
                return b'{"line":' + orjson.dumps(row)
            if isinstance(row, dict) and not row.keys().isdisjoint(ANSWERS):
                return b'{"line":' + line
        if line.startswith(b"{"):
            return line[:-1].rstrip() if line[1:-1].strip() else b'{"line":{}'
        return b'{"features":' + line


class NdjsonWriter:
    """See ``base.Writer``. An answer is the row's own keys and those of the answer; the last line is the summary."""

    off_loop = False

    def __init__(self, output: Output, on_error: OnError, *, summary: bool) -> None:
        self._answers = Answers(output, json_cell, (b'"prediction":', b',"class_name":', b',"confidence":'))
        self._on_error = on_error
        self._summary = summary

    def write(self, answered: Answered, layout: Layout) -> bytes:  # noqa: ARG002  # every object names its own keys
        own = answered.chunk.own
        if isinstance(own, _Lines):
            heads = own.objects(answered.faults)
        else:
            heads = _objects(own.columns(), answered.chunk.count)
        texts = [] if answered.outputs is None else self._answers.texts(answered.outputs)
        if not answered.faults:
            lines = [head + b"," + text for head, text in zip(heads, texts, strict=True)]
        else:
            rest = iter(texts)
            ends = [
                b'"prediction":null,"error":' + json_cell(answered.faults[row])
                if row in answered.faults
                else next(rest)
                for row in range(answered.chunk.count)
            ]
            lines = [heads[row] + b"," + ends[row] for row in kept_rows(answered, self._on_error)]
        return b"}\n".join([*lines, b""])

    def end(self, summary: Summary, layout: Layout | None) -> bytes:  # noqa: ARG002  # as above
        return json_cell({"summary": summary.to_document()}) + b"\n" if self._summary else b""


def _objects(columns: Mapping[str, Sequence[Any]], count: int) -> list[bytes]:
    """Rows of another format as objects whose last brace is still to come."""
    names = list(columns)
    if not names:
        return [b'{"line":null'] * count
    rows = zip(*columns.values(), strict=True)
    return [orjson.dumps(dict(zip(names, row, strict=True)), default=str, option=orjson.OPT_UTC_Z)[:-1] for row in rows]
