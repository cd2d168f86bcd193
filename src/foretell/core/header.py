"""From CSV records to rows in column order: is the first record a header, and which field is which column.

The content type may say ``header=present`` or ``header=absent``. Where it does not, the first record is a header if

- at least half of its fields are column names the author gave, or
- all of its fields are column names that were made up from positions, or
- more records follow, the model has a column of numbers, and the first record holds no number at all: then it is a
  header whose names are wrong, and that is the useful thing to say.

Otherwise the fields are taken by position. Blanks around the names in a header do not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from foretell.core import cells
from foretell.core.document import Document
from foretell.core.faults import Faults, clip, listed
from foretell.core.limits import BodyLimits
from foretell.core.rows import LEFT_OUT, check_count, check_lengths, counted, single_expected
from foretell.core.signature import ColumnType, Signature


def read_records(document: Document, signature: Signature, limits: BodyLimits, faults: Faults) -> list[list[Any]]:
    """Each record after the header as values in column order; as ``rows.read_rows`` otherwise."""
    records: Sequence[list[str]] = document.payload
    header: list[str] | None = None
    if records and has_header(records, signature, document.header):
        header, records = _names(records[0], signature), records[1:]
    check_count(document, len(records), limits, faults)
    if document.single and len(records) > 1:
        raise single_expected(document)
    if header is None:
        check_lengths(document, signature, records, records, faults)
        return [
            [cells.from_text(column, text, limits) for column, text in zip(signature.columns, record, strict=True)]
            for record in records
        ]
    _check_fields(header, records, faults)
    return _by_header(header, records, signature, limits, faults)


def has_header(records: Sequence[list[str]], signature: Signature, said: str) -> bool:
    """Whether the first of the records, of which there is at least one, is a header."""
    if said != "auto":
        return said == "present"
    first = records[0]
    hits = sum(name in signature.known for name in _names(first, signature))
    if 2 * hits >= len(first) if signature.named else hits == len(first):
        return True
    expects_numbers = any(column.type in (ColumnType.FLOAT, ColumnType.INTEGER) for column in signature.columns)
    return (
        len(records) > 1 and expects_numbers and all(text.strip() and not cells.looks_numeric(text) for text in first)
    )


def _names(record: list[str], signature: Signature) -> list[str]:
    return [text if text in signature.known else text.strip(" \t") for text in record]


def _check_fields(header: list[str], records: Sequence[list[str]], faults: Faults) -> None:
    wanted = len(header)
    if set(map(len, records)) <= {wanted}:
        return
    for index, record in enumerate(records):
        if len(record) != wanted:
            message = f"expected {counted(wanted, 'field')}, as many as the header has"
            got = len(record)
            faults.add("ragged_rows", message, ("rows", index), row=index, expected=wanted, got=got, malformed=True)
    raise faults.error()


def _by_header(
    header: list[str], records: Sequence[list[str]], signature: Signature, limits: BodyLimits, faults: Faults
) -> list[list[Any]]:
    positions = _positions(header, signature, faults)
    fields: list[list[Any]] = []
    for column in signature.columns:
        position = positions.get(column.name)
        if position is not None:
            fields.append([cells.from_text(column, record[position], limits) for record in records])
            continue
        if not column.nullable:
            message = f"the column '{clip(column.name)}' is missing from the header"
            faults.add("missing_column", message, ("header", column.name), expected=str(column.type))
        fields.append([None if column.nullable else LEFT_OUT] * len(records))
    return [list(row) for row in zip(*fields, strict=True)]


def _positions(header: list[str], signature: Signature, faults: Faults) -> dict[str, int]:
    positions: dict[str, int] = {}
    for position, name in enumerate(header):
        if name not in signature.known:
            message = f"the model has no column '{clip(name)}'; it takes {listed(signature.names)}"
            faults.add("unknown_column", message, ("header", name), near=(name, signature.names))
        elif name in positions:
            message = f"the header names the column '{clip(name)}' more than once"
            faults.add("column_repeated", message, ("header", name), malformed=True)
        else:
            positions[name] = position
    return positions
