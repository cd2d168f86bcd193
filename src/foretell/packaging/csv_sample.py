"""A CSV file with a header row as example data, read without pandas but typed as pandas would type it."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from foretell.core.signature import ColumnType
from foretell.errors import PackagingError, PathMissing
from foretell.packaging.reading import text_type
from foretell.packaging.sample import Sample, SampleColumn

NULLS = frozenset({"", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null", "None"})
_BOOLEANS = {"True": True, "true": True, "TRUE": True, "False": False, "false": False, "FALSE": False}


def read_csv(path: Path) -> Sample:
    """The file's rows as a sample.

    As in a frame that pandas reads, a column of whole numbers with gaps is float, not integer, so that
    ``foretell add`` and ``foretell.package`` come to the same signature. Raises PathMissing or PackagingError.
    """
    header, rows = _rows(path)
    columns = zip(*rows, strict=True) if rows else ((),) * len(header)
    return Sample(tuple(_column(name, cells) for name, cells in zip(header, columns, strict=True)))


def _rows(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            rows = []
            for row in reader:
                if not row:
                    continue
                if len(row) != len(header):
                    raise PackagingError(
                        f"{path}, line {reader.line_num}: {len(row)} values, but the header names {len(header)} columns"
                    )
                rows.append(row)
    except FileNotFoundError:
        raise PathMissing(f"there is no file {path} to take example rows from") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PackagingError(f"{path} cannot be read as CSV: {error}") from error
    if not header or not rows:
        raise PackagingError(
            f"{path} has no rows below its header", hint="give a header row and some rows of training data"
        )
    unnamed = [i for i, name in enumerate(header) if not name.strip()]
    if len(set(header)) < len(header) or len(unnamed) > 1:
        raise PackagingError(
            f"{path}: the header must name every column once, got {', '.join(map(repr, header))}"[:500]
        )
    if unnamed == [0]:  # the index that DataFrame.to_csv writes unless told not to
        return header[1:], [row[1:] for row in rows]
    return header, rows


def _column(name: str, cells: Sequence[str]) -> SampleColumn:
    present = [cell for cell in cells if cell not in NULLS]
    gaps = len(present) < len(cells)
    if all(cell in _BOOLEANS for cell in present) and present:
        flags = [_BOOLEANS.get(cell, math.nan) for cell in cells]
        return SampleColumn(name, ColumnType.BOOLEAN, np.array(flags, dtype=np.float64 if gaps else np.bool_))
    numbers = [_number(cell) for cell in present]
    if all(number is not None for number in numbers):
        if not gaps and all(isinstance(number, int) and abs(number) < 2**63 for number in numbers):
            return SampleColumn(name, ColumnType.INTEGER, np.array(numbers, dtype=np.int64))
        floats = [math.nan if cell in NULLS else float(cell) for cell in cells]
        return SampleColumn(name, ColumnType.FLOAT, np.array(floats, dtype=np.float64))
    texts = np.empty(len(cells), dtype=object)
    texts[:] = [None if cell in NULLS else cell for cell in cells]
    return SampleColumn(name, text_type(present), texts)


def _number(cell: str) -> int | float | None:
    """The number a cell writes, or None; Python's own liberties (``1_000``) are texts here."""
    if "_" in cell:
        return None
    try:
        return int(cell) if len(cell) < 20 else float(cell)
    except ValueError:
        try:
            return float(cell)
        except ValueError:
            return None
