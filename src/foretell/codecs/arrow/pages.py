"""What a Parquet file says of its own size, held against the bytes there are (apache/parquet-format, parquet.thrift).

pyarrow makes room for what the footer and each page's header say before it looks further. So the footer is bounded
before it is parsed, and the pages of every column that will be read are walked through by their headers: each must lie
inside the file, have no more values than the file has rows, and all of them together must not grow too large.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from foretell.codecs.arrow.library import too_large
from foretell.codecs.arrow.thrift import BINARY, I32, I64, LIST, STRUCT, Damaged, Fields, Known, ListOf, ThriftReader
from foretell.core.faults import malformed
from foretell.core.limits import BodyLimits
from foretell.errors import MalformedRequest

MAX_FOOTER_BYTES = 2 * 1024 * 1024
MAX_FOOTER_VALUES = 200_000
"""pyarrow takes up to a few hundred bytes of memory for each."""

_MAGIC = b"PAR1"
MAX_PAGES = 20_000

_HEADER_VALUES = 10_000
_HEADER_BYTES = 64 * 1024
"""A page's header has room for statistics; writers keep each of those below 4 KiB."""
_DICTIONARY_PAGE = 2
# by kind of page: the field of its own header, and the place of the encoding in that; the count of values stands first
_HEADERS = {0: (5, 2), _DICTIONARY_PAGE: (7, 2), 3: (8, 4)}
_COLUMN: Known = {
    2: ListOf(I32),
    3: ListOf(BINARY),
    8: ListOf(STRUCT),
    13: ListOf(STRUCT),
    16: {2: ListOf(I64), 3: ListOf(I64)},
    17: {2: ListOf(I32)},
}
_GROUP: Known = {1: ListOf(STRUCT, {3: _COLUMN}), 4: ListOf(STRUCT)}
_FOOTER: Known = {2: ListOf(STRUCT), 4: ListOf(STRUCT, _GROUP), 5: ListOf(STRUCT), 7: ListOf(STRUCT)}
# DELTA_BYTE_ARRAY (7) is left out: each text may repeat the one before, so a page may hold any number of bytes
_ENCODINGS = frozenset({0, 2, 3, 4, 5, 6, 8, 9})


class Source(Protocol):
    """The bytes of a file, wherever they lie."""

    @property
    def size(self) -> int: ...

    def part(self, start: int, stop: int) -> memoryview:
        """The bytes from ``start`` up to ``stop``, both inside the file."""
        ...


class InMemory(NamedTuple):
    """A file that is a body."""

    body: bytes

    @property
    def size(self) -> int:
        return len(self.body)

    def part(self, start: int, stop: int) -> memoryview:
        return memoryview(self.body)[start:stop]


class Chunk(NamedTuple):
    """Where the pages of one column in one row group lie, and how many values they have."""

    values: int
    compressed_bytes: int
    data_offset: int
    dictionary_offset: int | None


class Group(NamedTuple):
    """One row group: its rows, and its columns as Parquet counts them."""

    rows: int
    chunks: list[Chunk]


def footer_of(body: bytes) -> list[Group]:
    """The row groups of a file in memory; see ``read_footer``."""
    return read_footer(InMemory(body))


def read_footer(source: Source) -> list[Group]:
    """The row groups. Raises MalformedRequest unless the file ends in a footer that pyarrow may be given.

    pyarrow is not asked for them: what it makes of a damaged footer ends the process.
    """
    size = source.size
    if size < 12 or source.part(0, 4) != _MAGIC or source.part(size - 4, size) != _MAGIC:
        raise broken("it does not begin and end as a Parquet file does")
    length = int.from_bytes(source.part(size - 8, size - 4), "little")
    if length > size - 12:
        raise broken("it is cut short")
    if length > MAX_FOOTER_BYTES:
        raise broken(f"its footer is larger than {MAX_FOOTER_BYTES} bytes; write fewer row groups")
    try:
        footer = ThriftReader(source.part(size - 8 - length, size - 8), 0, MAX_FOOTER_VALUES).struct(_FOOTER)
        groups = [
            Group(group.get(3, I64), [_chunk(column.get(3, STRUCT)) for column in group.get(1, LIST)])
            for group in footer.get(4, LIST)
        ]
        rows = [group.rows for group in groups]
        if min(rows, default=0) < 0 or sum(rows) != footer.get(3, I64):
            raise Damaged
    except Damaged:
        raise broken("its footer is damaged, or has more row groups and columns than are read here") from None
    return groups


def _chunk(column: Fields) -> Chunk:
    return Chunk(column.get(5, I64), column.get(7, I64), column.get(9, I64), column.find(11, I64))


class Page(NamedTuple):
    """What a page's header says: the values of the column it has, and how many bytes it becomes."""

    kind: int
    values: int
    decoded_bytes: int

    @property
    def dictionary(self) -> bool:
        """Whether it holds the values that those of other pages are numbers of."""
        return self.kind == _DICTIONARY_PAGE


def examine_pages(body: bytes, groups: list[Group], leaves: list[int], limits: BodyLimits) -> set[int]:
    """Those of ``leaves``, places of columns, that have a dictionary.

    Raises MalformedRequest, or BodyTooLarge, unless all their pages may be read.
    """
    size = pages = 0
    encoded: set[int] = set()
    source = InMemory(body)
    for group in groups:
        for leaf in leaves:
            for page in pages_of(source, group, leaf):
                size, pages = size + page.decoded_bytes, pages + 1
                if page.dictionary:
                    encoded.add(leaf)
                if size > limits.max_decoded_bytes:
                    raise too_large(limits)
                if pages > MAX_PAGES:
                    raise broken(f"it has more than {MAX_PAGES} pages; write fewer, larger ones")
    return encoded


def broken(why: str) -> MalformedRequest:
    """The body is no Parquet file that is read here."""
    return malformed("malformed_parquet", why, f"The body is not a Parquet file that can be read: {why}.")


def pages_of(source: Source, group: Group, leaf: int) -> Iterator[Page]:
    """The pages of one column in one row group, as far as they are read. Raises MalformedRequest."""
    if leaf >= len(group.chunks):
        raise broken("a row group lacks a column")
    chunk = group.chunks[leaf]
    start, first = chunk.data_offset, chunk.dictionary_offset
    if first is not None and 0 < first < start:
        start = first
    end = start + chunk.compressed_bytes
    if not 4 <= start <= end <= source.size - 8 or chunk.values != group.rows:
        raise broken("its footer points at what is not there")
    left = group.rows
    try:
        while start < end and left:
            reader = ThriftReader(source.part(start, min(end, start + _HEADER_BYTES)), 0, _HEADER_VALUES)
            header = reader.struct()
            start += reader.position
            compressed = header.get(3, I32)
            if not 0 <= compressed <= end - start:
                raise Damaged
            page = _page(header, left)
            left -= page.values
            start += compressed
            yield page
    except Damaged:
        raise broken("a page is damaged, or encoded in a way that is not read here") from None


def _page(page: Fields, left: int) -> Page:
    """What a page's header says; ``left`` values of the column are still to come. Raises Damaged for what cannot be."""
    kind, decoded = page.get(1, I32), page.get(2, I32)
    if decoded < 0:
        raise Damaged
    if kind not in _HEADERS:  # pages of other kinds are passed over
        return Page(kind, 0, decoded)
    field, place = _HEADERS[kind]
    header = page.get(field, STRUCT)
    values, encoding = header.get(1, I32), header.get(place, I32)
    # a value in a dictionary takes a byte at least
    most = decoded if kind == _DICTIONARY_PAGE else left
    if encoding not in _ENCODINGS or not 0 <= values <= most:
        raise Damaged
    return Page(kind, 0 if kind == _DICTIONARY_PAGE else values, decoded)
