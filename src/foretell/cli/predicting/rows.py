"""Rows of a file in slices, each a request body. CSV stays CSV: the model's signature says what a field means."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Self, TextIO, cast

from foretell.errors import OperatorError, PathMissing

MAX_FIELD_CHARS = 16 * 1024 * 1024


@dataclass(frozen=True)
class Slice:
    """Some rows, the first of which is row ``start`` of the file. ``header`` is None for JSON, and for CSV without."""

    start: int
    rows: Sequence[Any]
    header: Sequence[str] | None = None
    csv: bool = True

    @property
    def media_type(self) -> str:
        """The content type of ``body``."""
        if not self.csv:
            return "application/json"
        return f"text/csv; header={'absent' if self.header is None else 'present'}"

    def body(self) -> bytes:
        """The rows as the body of one batch request."""
        if not self.csv:
            return json.dumps({"features": self.rows}, ensure_ascii=False).encode()
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        if self.header is not None:
            writer.writerow(self.header)
        writer.writerows(self.rows)
        return text.getvalue().encode()

    def halves(self) -> tuple[Self, Self]:
        """The slice in two; it has at least two rows."""
        middle = len(self.rows) // 2
        late = replace(self, start=self.start + middle, rows=self.rows[middle:])
        return replace(self, rows=self.rows[:middle]), late


def read(source: str, size: int, *, header: bool = True, drop: Sequence[str] = ()) -> Iterator[Slice]:
    """The rows of a file, or of standard input where it is ``-``, ``size`` at a time. Raises OperatorError.

    JSON is a list of rows, an object with ``features`` or ``instances``, one object, or one row per line (.jsonl,
    .ndjson); everything else is CSV. ``drop`` are columns to leave out.
    """
    suffix = Path(source).suffix.lower()
    with _opened(source) as stream:
        try:
            if suffix in (".jsonl", ".ndjson"):
                rows = (json.loads(line) for line in stream if line.strip())
                yield from _slices((_dropped(row, drop) for row in rows), size)
            elif suffix == ".json" or (source == "-" and _starts_as_json(stream)):
                yield from _slices((_dropped(row, drop) for row in _json_rows(json.load(stream))), size)
            else:
                yield from _csv_slices(stream, size, header, drop)
        except (ValueError, csv.Error) as error:
            raise OperatorError(f"{source} cannot be read: {error}") from error


def _opened(source: str) -> TextIO:
    if source == "-":
        return io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig", newline="")
    path = Path(source)
    try:
        return path.open(encoding="utf-8-sig", newline="")
    except FileNotFoundError:
        raise PathMissing(f"{source} does not exist.") from None
    except OSError as error:
        raise OperatorError(f"{source} cannot be read: {error.strerror}") from error


def _starts_as_json(stream: TextIO) -> bool:
    ahead = cast(io.BufferedReader, cast(io.TextIOWrapper, stream).buffer).peek(64)
    return ahead.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"[", b"{")


def _json_rows(document: Any) -> list[Any]:
    if isinstance(document, dict):
        rows = document.get("features", document.get("instances", document))
        document = rows if isinstance(rows, list) and rows and isinstance(rows[0], list | dict) else [rows]
    if not isinstance(document, list):
        raise ValueError("JSON must be a list of rows, or an object with 'features' or 'instances'")
    return document


def _dropped(row: Any, drop: Sequence[str]) -> Any:
    return {name: value for name, value in row.items() if name not in drop} if drop and isinstance(row, dict) else row


def _slices(rows: Iterator[Any], size: int) -> Iterator[Slice]:
    start = 0
    while part := list(islice(rows, size)):
        yield Slice(start, part, csv=False)
        start += len(part)


def _csv_slices(stream: TextIO, size: int, has_header: bool, drop: Sequence[str]) -> Iterator[Slice]:
    csv.field_size_limit(MAX_FIELD_CHARS)
    records = (record for record in csv.reader(stream, strict=True) if record)
    header = next(records, None) if has_header else None
    unknown = [name for name in drop if name not in (header or ())]
    if unknown:
        known = ", ".join(header or ())
        raise OperatorError(f"There is no column {', '.join(unknown)} to drop.", hint=f"the columns are: {known}")
    kept = [i for i, name in enumerate(header or ()) if name not in drop]
    start = 0
    while part := list(islice(records, size)):
        if drop:
            part = [[record[i] for i in kept if i < len(record)] for record in part]
        yield Slice(start, part, [header[i] for i in kept] if header is not None else None)
        start += len(part)
