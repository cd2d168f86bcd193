"""Parquet files too large for memory: one row group after the other, in batches whose memory is known beforehand.

A few kilobytes may decode to any number of bytes: a long text stands once in a dictionary and in every row, a page is
zeros. So the headers of a row group's pages are read first; by them, and by the longest value of its dictionaries, a
batch has as many rows as surely fit, and a row group that cannot be read within the bounds is refused.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

from foretell.codecs.arrow.library import refusing, too_many_columns
from foretell.codecs.arrow.pages import MAX_FOOTER_VALUES, MAX_PAGES, Group, broken, pages_of, read_footer
from foretell.codecs.arrow.parquet import MAX_DEPTH, first_leaves, flat_column
from foretell.core.faults import clip, malformed
from foretell.core.limits import BodyLimits
from foretell.errors import BodyTooLarge, MalformedRequest

BATCH_ROWS = 8192
BATCH_CELLS = 1024 * 1024
BATCH_BYTES = 16 * 1024 * 1024
WIDEST_BYTES = 1024
"""Columns whose values are each of so many bytes or fewer are read, where their width is fixed."""
_LEAST_BYTES = 16  # of one value in memory
_BUFFERS_BYTES = 16 * 1024 * 1024  # of all columns together, for what is read ahead of each
_BUFFER_BYTES = (4 * 1024, 256 * 1024)
_CODE, _WHAT = "malformed_parquet", "a Parquet file"


class OnDisk:
    """An open file as ``pages.Source``. Whoever writes it has ended."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.size = os.fstat(file.fileno()).st_size

    def part(self, start: int, stop: int) -> memoryview:
        return memoryview(os.pread(self.file.fileno(), stop - start, start))


class _Cost(NamedTuple):
    """What reading one column of a row group takes: bytes of memory at any time, and for each row of a batch."""

    held_bytes: int
    row_bytes: int
    dictionary_bytes: int


class RowGroups:
    """The rows of an open Parquet file of columns that are not nested.

    ``limits.max_decoded_bytes`` is how much memory a row group's pages may need at once. Raises MalformedRequest for
    what is no such file.
    """

    def __init__(self, file: BinaryIO, limits: BodyLimits) -> None:
        self._source = OnDisk(file)
        self._limits = limits
        self._groups = read_footer(self._source)
        with refusing(_CODE, _WHAT):
            self._rows = self._opened([])
            self._leaves = self._flat(self._rows)
            texts = [column.path for column in self._leaves if column.physical_type == "BYTE_ARRAY"]
            self._dictionaries = self._opened(texts)
        self.schema: Any = _plain_schema(self._rows.schema_arrow)

    def batches(self) -> Iterator[Any]:
        """Record batches, none of them empty. Raises MalformedRequest, BodyTooLarge for a row group that cannot be."""
        every = list(range(len(self._leaves)))
        for number, group in enumerate(self._groups):
            if not group.rows:
                continue
            found = 0
            rows = self._batch_rows(number, group)
            with refusing(_CODE, _WHAT):
                for batch in self._rows.reader.iter_batches(
                    rows, row_groups=[number], column_indices=every, use_threads=False
                ):
                    batch.validate(full=True)
                    found += batch.num_rows
                    yield _plain(batch, self.schema)
            if found != group.rows:
                raise broken("its columns do not have as many rows as the file")

    def _opened(self, read_dictionary: list[str]) -> Any:
        import pyarrow as pa
        from pyarrow import parquet

        least, most = _BUFFER_BYTES
        columns = max(len(self._groups[0].chunks) if self._groups else 1, 1)
        return parquet.ParquetFile(
            pa.PythonFile(self._source.file, mode="r"),
            read_dictionary=read_dictionary,
            pre_buffer=False,
            buffer_size=max(least, min(most, _BUFFERS_BYTES // columns)),
            thrift_string_size_limit=self._source.size,
            thrift_container_size_limit=MAX_FOOTER_VALUES,
            schema_depth_limit=MAX_DEPTH,
        )

    def _flat(self, file: Any) -> list[Any]:
        """The columns, as Parquet's own schema has them."""
        fields = list(file.schema_arrow)
        if len(fields) > self._limits.max_columns:
            raise too_many_columns(len(fields), self._limits)
        for field in fields:
            if field.type.num_fields:
                raise _nested(field.name)
        columns = [flat_column(file, place, leaf) for place, leaf in enumerate(first_leaves(file))]
        for column in columns:
            if column.physical_type == "FIXED_LEN_BYTE_ARRAY" and column.length > WIDEST_BYTES:
                raise broken(f"its column '{clip(column.path)}' has values of more than {WIDEST_BYTES} bytes each")
        return columns

    def _batch_rows(self, number: int, group: Group) -> int:
        """How many rows of a row group a batch may have."""
        costs = self._costs(group)
        held = sum(cost.held_bytes for cost in costs)
        if held > self._limits.max_decoded_bytes:
            raise BodyTooLarge(
                f"Row group {number} has pages that take {held} bytes of memory at once; at most "
                f"{self._limits.max_decoded_bytes} are allowed, eight times limits.max_record_batch_bytes.",
                hint="write smaller pages and dictionaries, or fewer columns",
            )
        row_bytes = sum(self._row_bytes(number, costs))
        return max(1, min(BATCH_ROWS, BATCH_CELLS // max(1, len(costs)), BATCH_BYTES // max(1, row_bytes)))

    def _costs(self, group: Group) -> list[_Cost]:
        pages = 0
        costs = []
        for leaf in range(len(self._leaves)):
            dictionary, largest, every, row = 0, 0, 0, _LEAST_BYTES
            encoded = False
            for page in pages_of(self._source, group, leaf):
                pages += 1
                if pages > MAX_PAGES:
                    raise broken(f"a row group has more than {MAX_PAGES} pages; write fewer, larger ones")
                if page.dictionary:
                    if encoded:
                        raise broken("a column has two dictionaries in one row group")
                    encoded, dictionary = True, page.decoded_bytes
                    continue
                largest, every = max(largest, page.decoded_bytes), every + page.decoded_bytes
                if page.values:
                    row = max(row, -(-page.decoded_bytes // page.values))
            # what becomes a dictionary in memory gathers the values of all pages in it
            gathers = _is_dictionary(self._rows.schema_arrow.field(leaf).type)
            costs.append(_Cost(dictionary + (every if gathers else largest), row, dictionary))
        return costs

    def _row_bytes(self, number: int, costs: Sequence[_Cost]) -> Iterator[int]:
        """For each column the most bytes a row may have, on the average of any rows that follow each other."""
        encoded = [leaf for leaf, cost in enumerate(costs) if cost.dictionary_bytes]
        longest = self._longest(number, costs, encoded) if encoded else {}
        for leaf, (column, cost) in enumerate(zip(self._leaves, costs, strict=True)):
            width = column.length if column.physical_type == "FIXED_LEN_BYTE_ARRAY" else 0
            yield max(cost.row_bytes, width, longest.get(leaf, 0))

    def _longest(self, number: int, costs: Sequence[_Cost], encoded: list[int]) -> dict[int, int]:
        """The longest value of each dictionary of texts. One that cannot be seen whole has one value, to be safe."""
        import pyarrow.compute as pc

        found: dict[int, int] = {}
        with refusing(_CODE, _WHAT):
            batches = self._dictionaries.reader.iter_batches(
                1, row_groups=[number], column_indices=encoded, use_threads=False
            )
            first = next(iter(batches), None)
            if first is None:
                raise broken("its columns do not have as many rows as the file")
            for leaf, column in zip(encoded, first.columns, strict=True):
                size = costs[leaf].dictionary_bytes
                if self._leaves[leaf].physical_type != "BYTE_ARRAY":
                    continue
                found[leaf] = size
                if _is_dictionary(column.type):
                    lengths = pc.binary_length(column.dictionary)
                    # each stands in the page behind its length, in four bytes
                    if (pc.sum(lengths).as_py() or 0) + 4 * len(lengths) == size:
                        found[leaf] = pc.max(lengths).as_py() or 0
        return found


def _nested(name: str | None) -> MalformedRequest:
    which = "A column" if name is None else f"The column '{clip(name)}'"
    detail = (
        f"{which} is nested, and Parquet streams are read only where none is. Leave it out, or send an Arrow stream."
    )
    return malformed("nested_column", "expected a column that is not nested", detail)


def _is_dictionary(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_dictionary(kind))


def _plain_schema(schema: Any) -> Any:
    import pyarrow as pa

    kinds = [field.type.value_type if _is_dictionary(field.type) else field.type for field in schema]
    return pa.schema([pa.field(name, kind) for name, kind in zip(schema.names, kinds, strict=True)])


def _plain(batch: Any, schema: Any) -> Any:
    """The batch with values in place of dictionaries: they take no more than was allowed for."""
    import pyarrow as pa

    columns = [column.dictionary_decode() if _is_dictionary(column.type) else column for column in batch.columns]
    return pa.record_batch(columns, schema=schema)
