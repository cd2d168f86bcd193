"""What a Parquet file says of its own size, held against the bytes there are (apache/parquet-format, parquet.thrift).

pyarrow makes room for what the footer and each page's header say before it looks further. So the footer is bounded
before it is parsed, and the pages of every column that will be read are walked through by their headers: each must lie
inside the file, have no more values than the file has rows, and all of them together must not grow too large.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from foretell.codecs.arrow.library import too_large
from foretell.codecs.arrow.thrift import Damaged, ThriftReader
from foretell.core.faults import malformed
from foretell.core.limits import BodyLimits
from foretell.errors import MalformedRequest

MAX_FOOTER_BYTES = 2 * 1024 * 1024
MAX_FOOTER_VALUES = 200_000
"""pyarrow takes up to a few hundred bytes of memory for each."""

_MAGIC = b"PAR1"
MAX_PAGES = 20_000

_HEADER_VALUES = 10_000
# DELTA_BYTE_ARRAY (7) is left out: each text may repeat the one before, so a page may hold any number of bytes
_ENCODINGS = frozenset({0, 2, 3, 4, 5, 6, 8, 9})


def examine_footer(body: bytes) -> None:
    """Raises MalformedRequest unless ``body`` ends in a footer that pyarrow may be given."""
    if len(body) < 12 or body[:4] != _MAGIC or body[-4:] != _MAGIC:
        raise broken("it does not begin and end as a Parquet file does")
    size = int.from_bytes(body[-8:-4], "little")
    if size > len(body) - 12:
        raise broken("it is cut short")
    if size > MAX_FOOTER_BYTES:
        raise broken(f"its footer is larger than {MAX_FOOTER_BYTES} bytes; write fewer row groups")
    try:
        ThriftReader(memoryview(body)[: len(body) - 8], len(body) - 8 - size, MAX_FOOTER_VALUES).struct()
    except Damaged:
        raise broken("its footer is damaged, or has more row groups and columns than are read here") from None


def examine_pages(body: bytes, metadata: Any, leaves: list[int], limits: BodyLimits) -> None:
    """Raises MalformedRequest, or BodyTooLarge, unless the pages of the columns ``leaves`` may be read.

    ``metadata`` is pyarrow's ``FileMetaData``.
    """
    size = pages = 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for leaf in leaves:
            for decoded in _pages(body, group.column(leaf), group.num_rows):
                size, pages = size + decoded, pages + 1
                if size > limits.max_decoded_bytes:
                    raise too_large(limits)
                if pages > MAX_PAGES:
                    raise broken(f"it has more than {MAX_PAGES} pages; write fewer, larger ones")


def broken(why: str) -> MalformedRequest:
    """The body is no Parquet file that is read here."""
    return malformed("malformed_parquet", why, f"The body is not a Parquet file that can be read: {why}.")


def _pages(body: bytes, chunk: Any, rows: int) -> Iterator[int]:
    """How many bytes each page of one column in one row group says it becomes."""
    start, first = chunk.data_page_offset, chunk.dictionary_page_offset
    if first is not None and 0 < first < start:
        start = first
    end = start + chunk.total_compressed_size
    if not 4 <= start <= end <= len(body) - 8 or chunk.num_values != rows:
        raise broken("its footer points at what is not there")
    data, seen = memoryview(body)[:end], 0
    try:
        while start < end and seen < rows:
            reader = ThriftReader(data, start, _HEADER_VALUES)
            page = reader.struct()
            compressed, decoded = page[3], page[2]
            if not (0 <= compressed <= end - reader.position and decoded >= 0):
                raise Damaged
            seen += _values(page, rows - seen, decoded)
            start = reader.position + compressed
            yield decoded
    except (Damaged, KeyError, TypeError):
        raise broken("a page is damaged, or encoded in a way that is not read here") from None


def _values(page: dict[int, Any], left: int, decoded: int) -> int:
    """How many of the column's values a page has. Raises Damaged where it says what cannot be."""
    match page[1]:
        case 2:
            # a value in a dictionary takes a byte at least
            if page[7][2] not in _ENCODINGS or not 0 <= page[7][1] <= decoded:
                raise Damaged
            return 0
        case 0:
            values, encoding = page[5][1], page[5][2]
        case 3:
            values, encoding = page[8][1], page[8][4]
        case _:
            return 0  # pages of other kinds are passed over
    if encoding not in _ENCODINGS or not 0 <= values <= left:
        raise Damaged
    return int(values)
