"""Which files can be read and written, by the end of their names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from foretell.codecs.csv import codec as csv_codec
from foretell.codecs.json import codec as json_codec
from foretell.codecs.stream.base import StreamFormat
from foretell.codecs.stream.csv import CsvFormat
from foretell.codecs.stream.ndjson import NdjsonFormat
from foretell.errors import OperatorError

SUFFIXES = {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson"}
TEXTS: Mapping[str, StreamFormat] = {"csv": CsvFormat(csv_codec), "ndjson": NdjsonFormat(json_codec)}


def format_of(path: Path) -> str:
    """The format of a file by its name. Raises OperatorError."""
    found = SUFFIXES.get(path.suffix.lower())
    if found is None:
        raise OperatorError(f"{path.name} ends in none of {', '.join(SUFFIXES)}, which are the formats there are.")
    return found


def read_format(name: str) -> StreamFormat:
    """How a file of the format is read."""
    return TEXTS[name]


def write_format(name: str) -> StreamFormat:
    """How a file of the format is written."""
    return TEXTS[name]
