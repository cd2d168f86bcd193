"""NDJSON bodies: one row on each line, as a list in column order or as an object by column name.

Lines without a value are passed over. Every other line is read as strictly as a JSON body. The fast way makes one list
of the lines for the fast way of JSON; that no line closes what another opened is seen by counting: each begins with the
only bracket or brace it opens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from foretell.codecs.base import Answers, Decoders, Labelled, Values
from foretell.codecs.json.batch import batch_decoder
from foretell.codecs.json.shapes import Shapes
from foretell.codecs.json.strict import parse_lines
from foretell.core.document import Document
from foretell.core.limits import BodyLimits
from foretell.core.signature import Signature
from foretell.core.values import Inputs, Row, join

__all__ = ["NdjsonCodec"]

_SLICE_BYTES = 256 * 1024  # read in one go: a parser does not let go of the interpreter before it is done
_BLANKS = b" \t\r\n"


class NdjsonCodec:
    """The codec of ``application/x-ndjson``."""

    single = False
    off_loop_bytes: int | None = 64 * 1024
    missing: str | None = None

    @property
    def media_type(self) -> str:
        return "application/x-ndjson"

    def compile(self, signature: Signature, limits: BodyLimits) -> Decoders | None:
        shapes = Shapes.of(signature, limits)
        if shapes is None:
            return None
        return Decoders(_no_single, _lines_decoder(batch_decoder(signature, shapes, limits), limits))

    def parse(self, body: bytes, many: bool, limits: BodyLimits, parameters: Mapping[str, str]) -> Document:  # noqa: ARG002
        return Document("ndjson", not many, parse_lines(body, limits), "/rows")

    def write(self, answers: Answers) -> bytes:
        return b"".join(_written(answers))


def _no_single(_: bytes) -> Row | None:
    return None


def _lines_decoder(batch: Callable[[bytes], Inputs | None], limits: BodyLimits) -> Callable[[bytes], Inputs | None]:
    def lines_of(body: bytes) -> Inputs | None:
        lines = [line.strip(_BLANKS) for line in body.strip(_BLANKS).split(b"\n")]
        if not 0 < len(lines) <= limits.max_rows or body.count(b"[") + body.count(b"{") != len(lines):
            return None
        if not all(line[:1] in (b"[", b"{") for line in lines):
            return None
        parts: list[Inputs] = []
        for part in _slices(lines):
            inputs = batch(b'{"features":[' + b",".join(part) + b"]}")
            if inputs is None or inputs.count != len(part):
                return None
            parts.append(inputs)
        return join(parts)

    return lines_of


def _slices(lines: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    start, size = 0, 0
    for index, line in enumerate(lines):
        size += len(line)
        if size >= _SLICE_BYTES:
            yield lines[start : index + 1]
            start, size = index + 1, 0
    if start < len(lines):
        yield lines[start:]


def _written(answers: Answers) -> Iterator[bytes]:
    columns = answers.columns()
    names = list(columns)
    for row in zip(*map(_listed, columns.values()), strict=True):
        yield orjson.dumps(dict(zip(names, row, strict=True)), option=orjson.OPT_APPEND_NEWLINE)


def _listed(values: Values) -> Sequence[Any]:
    if isinstance(values, Labelled):
        return [values.labels[index] for index in values.indices.tolist()]
    return values.tolist() if isinstance(values, np.ndarray) else values
