"""How answers are shown: CSV and JSON as they come, a table of the first rows on a terminal."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any, Protocol, TextIO

from foretell.cli.predicting.rows import Slice

SHOWN_ROWS = 50
SHOWN_INPUTS = 6


class Output(Protocol):
    """Takes answers in the order of the rows."""

    accept: str

    def write(self, rows: Slice, answer: bytes) -> None:
        """The answer to these rows."""
        ...

    def close(self) -> None:
        """No more rows come."""
        ...


def _records(answer: bytes) -> tuple[list[str], list[list[str]]]:
    header, *records = csv.reader(io.StringIO(answer.decode(), newline=""))
    return header, records


def _inputs(rows: Slice) -> tuple[list[str], list[list[str]]]:
    """The columns and cells of the input, as far as rows tell what they are called."""
    if rows.csv:
        width = len(rows.rows[0]) if rows.rows else 0
        return list(rows.header or [f"column_{i + 1}" for i in range(width)]), [list(row) for row in rows.rows]
    if not all(isinstance(row, dict) for row in rows.rows):
        return [], [[] for _ in rows.rows]
    names = list(dict.fromkeys(name for row in rows.rows for name in row))
    return names, [["" if row.get(name) is None else str(row[name]) for name in names] for row in rows.rows]


class CsvOutput:
    """The input's own columns and those of the answer."""

    accept = "text/csv"

    def __init__(self, stream: TextIO) -> None:
        self._writer = csv.writer(stream, lineterminator="\n")
        self._begun = False

    def write(self, rows: Slice, answer: bytes) -> None:
        names, inputs = _inputs(rows)
        header, records = _records(answer)
        if not self._begun:
            self._writer.writerow([*names, *header])
            self._begun = True
        self._writer.writerows([*given, *record] for given, record in zip(inputs, records, strict=True))

    def close(self) -> None:
        """Every line is written already."""


class JsonOutput:
    """A list with one object per row."""

    accept = "application/json"
    _KEYS = (
        ("predictions", "prediction"),
        ("class_names", "class_name"),
        ("confidences", "confidence"),
        ("probabilities", "probability"),
        ("top", "top"),
    )

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._begun = False

    def write(self, rows: Slice, answer: bytes) -> None:
        document: dict[str, Any] = json.loads(answer)
        for index in range(len(rows.rows)):
            row = {single: document[plural][index] for plural, single in self._KEYS if plural in document}
            self._stream.write(("[\n" if not self._begun else ",\n") + json.dumps(row, ensure_ascii=False))
            self._begun = True

    def close(self) -> None:
        self._stream.write("\n]\n" if self._begun else "[]\n")


class TableOutput:
    """A table of the first rows, for people; of the input's columns only the first few."""

    accept = "text/csv"

    def __init__(self, console: Any) -> None:
        self._console = console
        self._header: list[str] = []
        self._inputs = 0
        self._records: list[Sequence[str]] = []
        self._total = 0

    def write(self, rows: Slice, answer: bytes) -> None:
        names, inputs = _inputs(rows)
        header, records = _records(answer)
        if not self._header:
            self._inputs = min(len(names), SHOWN_INPUTS)
            self._header = [*names[: self._inputs], *(["…"] if len(names) > self._inputs else []), *header]
        self._total += len(records)
        for given, record in zip(inputs, records, strict=True):
            if len(self._records) >= SHOWN_ROWS:
                return
            gap = ["…"] if len(given) > self._inputs else []
            self._records.append([*given[: self._inputs], *gap, *map(_short, record)])

    def close(self) -> None:
        from rich.markup import escape
        from rich.table import Table

        table = Table(box=None, pad_edge=False, header_style="bold")
        answers_from = len(self._header) - (len(self._records[0]) if self._records else 0)
        for position, name in enumerate(self._header):
            plain = position < self._inputs + answers_from
            table.add_column(escape(name), style="dim" if plain else "", overflow="fold")
        for record in self._records:
            table.add_row(*map(escape, record))
        self._console.print(table)
        if self._total > len(self._records):
            self._console.print(f"[dim]and {self._total - len(self._records):,} more; --output csv has them all[/]")


def _short(cell: str) -> str:
    """A long fraction to four places; everything else as it is."""
    whole, point, fraction = cell.partition(".")
    if point and len(fraction) > 4 and whole.lstrip("-").isdigit():
        return f"{float(cell):.4f}" if abs(float(cell)) >= 0.0001 else f"{float(cell):.2e}"
    return cell
