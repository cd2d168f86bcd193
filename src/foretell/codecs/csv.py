"""CSV bodies as RFC 4180 has them, and no more.

Records end with CRLF or LF; fields may stand in double quotes, a quote inside them is doubled. A byte order mark, as
spreadsheets write it, is passed over, and so are lines without any character: a lone null in a model of one column is
written ``""``. A quote inside an unquoted field, text after a closing quote, a quote that is never closed, a NUL and a
carriage return alone are refused. Which record is a header, and what a field means, is decided when the model is known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from foretell.codecs.base import Answers, Decoders
from foretell.core.document import Document, Header
from foretell.core.faults import malformed
from foretell.core.limits import BodyLimits
from foretell.core.signature import Signature
from foretell.errors import MalformedRequest

__all__ = ["CsvCodec", "codec"]

_BOM = b"\xef\xbb\xbf"
_FIELD = re.compile(r'(?:"([^"]*+(?:""[^"]*+)*+)"|([^",\r\n]*+))(,|\r?\n|\Z)')
_BLANK_LINES = re.compile(r"(?:\r?\n)++")


class CsvCodec:
    """The codec of ``text/csv``. The parameter ``header`` may be ``present`` or ``absent``."""

    @property
    def media_type(self) -> str:
        return "text/csv"

    single = True
    off_loop_bytes: int | None = None
    missing: str | None = None
    write: Callable[[Answers], bytes] | None = None

    def compile(self, signature: Signature, limits: BodyLimits) -> Decoders | None:  # noqa: ARG002
        return None

    def parse(self, body: bytes, many: bool, limits: BodyLimits, parameters: Mapping[str, str]) -> Document:
        text = _text(body)
        if not text.strip():
            detail = "The body is empty; send a header line and at least one row."
            raise malformed("body_empty", "the body is empty", detail)
        # a header, the rows allowed, and one more by which it is known that there are too many
        enough = (limits.max_rows if many else 1) + 2
        records: list[list[str]] = []
        for record in _records(text):
            records.append(record)
            if len(records) == enough:
                break
        return Document("csv", not many, records, header=_header(parameters))


codec = CsvCodec()


def _header(parameters: Mapping[str, str]) -> Header:
    match parameters.get("header", "").lower():
        case "present":
            return "present"
        case "absent":
            return "absent"
        case "":
            return "auto"
        case _:
            detail = "The content type's parameter 'header' must be 'present' or 'absent'."
            raise malformed("malformed_csv", "header must be 'present' or 'absent'", detail)


def _text(body: bytes) -> str:
    if 0 in body:
        detail = f"The body has a NUL at byte {body.index(0)}, which no CSV has; send UTF-8 text."
        raise malformed("malformed_csv", "the body has a NUL", detail)
    try:
        return body.removeprefix(_BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        message = f"byte {error.start} is not UTF-8"
        raise malformed("not_utf8", message, f"The body is not UTF-8: {error.reason} at byte {error.start}.") from None


def _records(text: str) -> Iterator[list[str]]:
    """The records in order, blank lines left out."""
    position, number, end = 0, 0, len(text)
    while position < end:
        if blank := _BLANK_LINES.match(text, position):
            position = blank.end()
            continue
        stop = text.find("\n", position)
        stop = end if stop == -1 else stop
        line = text[position:stop].removesuffix("\r") if stop < end else text[position:stop]
        if '"' in line:
            record, position = _quoted(text, position, number)
        elif "\r" in line:
            raise _broken(number, "a carriage return without a line feed", len(line[: line.index("\r")].split(",")))
        else:
            record, position = line.split(","), stop + 1
        yield record
        number += 1


def _quoted(text: str, position: int, number: int) -> tuple[list[str], int]:
    """One record in which quotes stand, and where the next begins."""
    record: list[str] = []
    while True:
        match = _FIELD.match(text, position)
        if match is None:
            raise _broken(number, _why(text, position), len(record) + 1)
        quoted, bare, separator = match.groups()
        record.append(bare if quoted is None else quoted.replace('""', '"'))
        position = match.end()
        if separator != ",":
            return record, position


def _why(text: str, position: int) -> str:
    if text[position] != '"':
        return "a quote or a carriage return stands inside an unquoted field"
    closed = re.compile(r'"[^"]*+(?:""[^"]*+)*+"').match(text, position)
    return "text follows a closing quote" if closed else "a quote is never closed"


def _broken(number: int, why: str, field: int) -> MalformedRequest:
    message = f"record {number + 1}, field {field}: {why}"
    return malformed("malformed_csv", message, f"The body is not valid CSV: {message}.", place=("rows", number))
