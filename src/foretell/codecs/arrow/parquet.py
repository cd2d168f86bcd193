"""Parquet files: columns of plain types; nested ones are never decoded."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import Any

from foretell.codecs.arrow.arrays import frame_of, readable, textual
from foretell.codecs.arrow.library import ByArrow, refusing, too_many_columns
from foretell.codecs.arrow.pages import Group, broken, examine_pages, footer_of
from foretell.codecs.arrow.tables import table_of
from foretell.codecs.base import Answers
from foretell.core.document import Document
from foretell.core.faults import malformed
from foretell.core.frame import Frame
from foretell.core.limits import BodyLimits

MAX_DEPTH = 64
_WIDEST_NUMBER = 32  # bytes of a decimal


class ParquetCodec(ByArrow):
    """The codec of ``application/vnd.apache.parquet``."""

    @property
    def media_type(self) -> str:
        return "application/vnd.apache.parquet"

    def parse(self, body: bytes, many: bool, limits: BodyLimits, parameters: Mapping[str, str]) -> Document:  # noqa: ARG002
        if not body:
            raise malformed("body_empty", "the body is empty", "The body is empty; send a Parquet file.")
        groups = footer_of(body)
        rows = sum(group.rows for group in groups)
        if not 0 < rows <= limits.max_rows:
            return Document("parquet", not many, Frame((), (), rows))
        with refusing("malformed_parquet", "a Parquet file"):
            return Document("parquet", not many, _frame(body, groups, rows, limits))

    def write(self, answers: Answers) -> bytes:
        import pyarrow as pa
        from pyarrow import parquet

        sink = pa.BufferOutputStream()
        parquet.write_table(table_of(answers), sink)
        written: bytes = sink.getvalue().to_pybytes()
        return written


def _frame(body: bytes, groups: list[Group], rows: int, limits: BodyLimits) -> Frame:
    file = _opened(body, limits, [])
    schema = file.schema_arrow
    if len(schema) > limits.max_columns:
        raise too_many_columns(len(schema), limits)
    leaves = _readable_leaves(file)
    with_dictionary = examine_pages(body, groups, list(leaves.values()), limits)
    # a text that stands in a dictionary once and in a thousand rows is kept once
    fields = [schema.field(place) for place, leaf in leaves.items() if leaf in with_dictionary]
    encoded = [field.name for field in fields if textual(field.type)]
    reader = _opened(body, limits, encoded).reader
    table = reader.read_all(column_indices=list(leaves.values()), use_threads=False)
    table.validate(full=True)
    if leaves and table.num_rows != rows:
        raise broken("its columns do not have as many rows as the file")
    return frame_of(schema, dict(zip(leaves, table.columns, strict=True)), rows, limits)


def _opened(body: bytes, limits: BodyLimits, read_dictionary: list[str]) -> Any:
    import pyarrow as pa
    from pyarrow import parquet

    return parquet.ParquetFile(
        pa.BufferReader(pa.py_buffer(body)),
        read_dictionary=read_dictionary,
        pre_buffer=False,
        thrift_string_size_limit=len(body),
        thrift_container_size_limit=limits.max_columns + 1,
        schema_depth_limit=MAX_DEPTH,
    )


def _readable_leaves(file: Any) -> dict[int, int]:
    """The place of each column that can be read: in the schema, and as Parquet counts, parts of nested ones too."""
    found = {}
    for place, leaf in enumerate(first_leaves(file)):
        if readable(file.schema_arrow.field(place).type):
            column = flat_column(file, place, leaf)
            if column.physical_type != "FIXED_LEN_BYTE_ARRAY" or column.length <= _WIDEST_NUMBER:
                found[place] = leaf
    return found


def flat_column(file: Any, place: int, leaf: int) -> Any:
    """What the schema says of a column that is not nested. Raises MalformedRequest where it says two things."""
    column = file.schema.column(leaf)
    if column.max_repetition_level or column.max_definition_level > 1 or column.path != file.schema_arrow.names[place]:
        raise broken("its schema contradicts itself")
    return column


def first_leaves(file: Any) -> list[int]:
    """Where each column of the schema begins among those that Parquet counts. Raises MalformedRequest."""
    counts = [_leaves(field.type) for field in file.schema_arrow]
    if sum(counts) != len(file.schema):
        raise broken("its schema contradicts itself")
    return [0, *accumulate(counts)][:-1]


def _leaves(kind: Any) -> int:
    """How many columns of Parquet one of Arrow's takes."""
    import pyarrow as pa

    if isinstance(kind, pa.BaseExtensionType):
        return _leaves(kind.storage_type)
    return sum(_leaves(kind.field(index).type) for index in range(kind.num_fields)) if kind.num_fields else 1
