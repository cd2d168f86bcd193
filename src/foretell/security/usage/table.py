"""Usage as text: CSV for spreadsheets, JSON lines for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator

from foretell.core.access.rates import UNITS
from foretell.security.usage.ledger import Entry

COLUMNS = ("day", "principal", "tenant", "model", *UNITS)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_lines(entries: Iterable[Entry]) -> Iterator[str]:
    """CSV with a header row. A text that a spreadsheet would take for a formula begins with an apostrophe."""
    yield _line(COLUMNS)
    for entry in entries:
        document = entry.document()
        yield _line([_plain(document[column]) for column in COLUMNS])


def json_lines(entries: Iterable[Entry]) -> Iterator[str]:
    """One JSON document per line."""
    for entry in entries:
        yield json.dumps(entry.document(), ensure_ascii=False) + "\n"


def _plain(value: str | int) -> str | int:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _line(cells: Iterable[str | int]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
