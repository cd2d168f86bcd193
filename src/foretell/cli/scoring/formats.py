"""Which files can be read and written, by the end of their names, and how what was written becomes one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foretell.codecs.arrow.library import LIBRARY, missing
from foretell.codecs.csv import codec as csv_codec
from foretell.codecs.json import codec as json_codec
from foretell.codecs.stream.arrow import END, ArrowFormat
from foretell.codecs.stream.base import StreamFormat
from foretell.codecs.stream.csv import CsvFormat
from foretell.codecs.stream.ndjson import NdjsonFormat
from foretell.errors import OperatorError

SUFFIXES = {
    ".csv": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".arrows": "arrows",
}
COLUMNS = frozenset({"parquet", "arrow", "arrows"})
TEXTS: Mapping[str, StreamFormat] = {"csv": CsvFormat(csv_codec), "ndjson": NdjsonFormat(json_codec)}
_GROUP_ROWS = 128 * 1024


def format_of(path: Path) -> str:
    """The format of a file by its name. Raises OperatorError."""
    found = SUFFIXES.get(path.suffix.lower())
    if found is None:
        raise OperatorError(f"{path.name} ends in none of {', '.join(SUFFIXES)}, which are the formats there are.")
    install = missing(LIBRARY) if found in COLUMNS else None
    if install is not None:
        raise OperatorError(f"{path.name} needs {LIBRARY}.", hint=install)
    return found


def write_format(name: str) -> StreamFormat:
    """How rows are written while they come; files of columns begin as a stream of batches."""
    return ArrowFormat() if name in COLUMNS else TEXTS[name]


def finished(rows: Path, name: str) -> Path:
    """What was written as the file it is to be: texts are it already, batches get an end or become such a file."""
    if name not in COLUMNS:
        return rows
    import pyarrow as pa

    if not rows.stat().st_size:
        rows.write_bytes(pa.schema([]).serialize().to_pybytes())
    with rows.open("ab") as out:
        out.write(END)
    if name == "arrows":
        return rows
    whole = rows.with_name("whole")
    with pa.memory_map(str(rows)) as source, pa.ipc.open_stream(source) as stream:
        _write_file(stream, whole, name)
    return whole


def _write_file(stream: Any, whole: Path, name: str) -> None:
    import pyarrow as pa

    if name == "arrow":
        with pa.ipc.new_file(str(whole), stream.schema) as writer:
            for batch in stream:
                writer.write_batch(batch)
        return
    from pyarrow import parquet

    with parquet.ParquetWriter(str(whole), stream.schema) as writer:
        gathered, count = [], 0
        for batch in stream:
            gathered.append(batch)
            count += batch.num_rows
            if count >= _GROUP_ROWS:
                writer.write_table(pa.Table.from_batches(gathered))
                gathered, count = [], 0
        if gathered:
            writer.write_table(pa.Table.from_batches(gathered))
