"""Headers of Parquet files as we read them ourselves: what could be read in two ways, or lies, is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from foretell.codecs.arrow.pages import examine_pages, footer_of
from foretell.codecs.arrow.thrift import BINARY, I32, I64, LIST, STRUCT, Damaged, Fields, ListOf, ThriftReader
from foretell.core.limits import BodyLimits
from foretell.errors import BodyTooLarge, MalformedRequest
from tests.columnar_bodies import parquet


def struct(body: bytes, known: Any = None, max_values: int = 100) -> Fields:
    return ThriftReader(memoryview(body), 0, max_values).struct(known)


def test_fields_of_every_kind_are_read_or_passed_over() -> None:
    body = bytes([
        0x15, 0x02,  # 1: i32 1
        0x16, 0x03,  # 2: i64 -2
        0x11, 0x12,  # 3: true, 4: false
        0x13, 0x07,  # 5: a byte
        0x14, 0x04,  # 6: i16 2
        0x17, *bytes(8),  # 7: a double
        0x18, 0x02, 0x61, 0x62,  # 8: two bytes
        0x19, 0x25, 0x02, 0x04,  # 9: a list of two i32
        0x1A, 0x11, 0x01,  # 10: a set of one boolean
        0x1B, 0x01, 0x55, 0x02, 0x02,  # 11: a map of i32 to i32
        0x1B, 0x00,  # 12: an empty map
        0x1C, 0x15, 0x06, 0x00,  # 13: a structure with 1: i32 3
        0x05, 0x80, 0x02, 0x08,  # 128, its number written out: i32 4
        0x00,
    ])  # fmt: skip
    fields = struct(body)
    assert fields.get(1, I32) == 1
    assert fields.get(2, I64) == -2
    assert fields.get(9, LIST) == [1, 2]
    assert fields.get(13, STRUCT).get(1, I32) == 3
    assert fields.get(128, I32) == 4
    assert fields.find(99, I32) is None
    for number, kind in ((99, I32), (1, I64), (8, I32)):
        with pytest.raises(Damaged):
            fields.get(number, kind)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        bytes([0x15]),  # ends inside a field
        bytes([0x15, 0x02, 0x05, 0x02, 0x02, 0x00]),  # the first field twice
        bytes([0x15, 0x80, 0x80, 0x80, 0x80, 0x20, 0x00]),  # an i32 of more than 32 bits
        bytes([0x16, *[0xFF] * 11, 0x00]),  # a number without end
        bytes([0x18, 0x05, 0x61, 0x00]),  # five bytes where there are two
        bytes([0x19, 0xF5, 0xFF, 0x01, 0x00]),  # more values than allowed
        bytes([0x1D, 0x00]),  # a kind there is not
        bytes([0x19, 0x1D, 0x00]),  # a list of such
        bytes([0x1C] * 40),  # nested without end
        bytes([0x19, 0x19] * 40),  # lists nested without end
    ],
)
def test_what_is_damaged_is_refused(body: bytes) -> None:
    with pytest.raises(Damaged):
        struct(body)


@pytest.mark.parametrize(
    ("body", "known"),
    [
        (bytes([0x19, 0x25, 0x02, 0x04, 0x00]), {1: ListOf(BINARY)}),  # a list of numbers where texts belong
        (bytes([0x15, 0x02, 0x00]), {1: ListOf(STRUCT)}),  # a number where a list belongs
        (bytes([0x15, 0x02, 0x00]), {1: {2: ListOf(I32)}}),  # a number where a structure belongs
        (bytes([0x1C, 0x15, 0x02, 0x00, 0x00]), {1: {1: ListOf(I32)}}),  # the same, further in
        (bytes([0x19, 0x1C, 0x15, 0x02, 0x00, 0x00]), {1: ListOf(STRUCT, {1: ListOf(I32)})}),
    ],
)
def test_what_others_would_read_differently_is_refused(body: bytes, known: Any) -> None:
    struct(body)
    with pytest.raises(Damaged):
        struct(body, known)


def test_an_empty_list_may_be_of_any_kind() -> None:
    assert struct(bytes([0x19, 0x00, 0x00]), {1: ListOf(BINARY)}).get(1, LIST) == []


# -- footers and pages -------------------------------------------------------------------------------------------------

LIMITS = BodyLimits()
BODY = parquet(pa.table({"x": ["a", "b", "a"], "y": [1.0, 2.0, 3.0]}), row_group_size=2)


def test_a_footer_says_where_pages_lie_and_which_columns_have_dictionaries() -> None:
    groups = footer_of(BODY)
    assert [group.rows for group in groups] == [2, 1]
    assert examine_pages(BODY, groups, [0, 1], LIMITS) == {0, 1}
    plain = parquet(pa.table({"x": [1.0]}), use_dictionary=False)
    assert examine_pages(plain, footer_of(plain), [0], LIMITS) == set()


@pytest.mark.parametrize(
    "lie",
    [
        {"values": 3},
        {"data_offset": 3},
        {"data_offset": len(BODY), "dictionary_offset": None},
        {"compressed_bytes": -1},
        {"compressed_bytes": len(BODY)},
        {"data_offset": 5, "dictionary_offset": None},
    ],
)
def test_a_footer_that_lies_about_pages_is_refused(lie: dict[str, Any]) -> None:
    group = footer_of(BODY)[0]
    chunks = [group.chunks[0]._replace(**lie), group.chunks[1]]
    with pytest.raises(MalformedRequest):
        examine_pages(BODY, [group._replace(chunks=chunks)], [0], LIMITS)


def test_a_row_group_that_lacks_a_column_is_refused() -> None:
    group = footer_of(BODY)[0]
    with pytest.raises(MalformedRequest, match="lacks a column"):
        examine_pages(BODY, [group._replace(chunks=[])], [0], LIMITS)


def test_pages_are_counted_over_all_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = footer_of(BODY)
    with pytest.raises(BodyTooLarge):
        examine_pages(BODY, groups, [0, 1], BodyLimits(max_body_bytes=8))
    monkeypatch.setattr("foretell.codecs.arrow.pages.MAX_PAGES", 3)
    with pytest.raises(MalformedRequest, match="more than 3 pages"):
        examine_pages(BODY, groups, [0, 1], LIMITS)


def test_every_byte_of_a_footer_may_be_any_other() -> None:
    size = int.from_bytes(BODY[-8:-4], "little")
    start = len(BODY) - 8 - size
    for at in range(start, len(BODY), 3):
        for byte in (0, 255, BODY[at] ^ 1):
            bent = BODY[:at] + bytes([byte]) + BODY[at + 1 :]
            try:
                examine_pages(bent, footer_of(bent), [0, 1], LIMITS)
            except (MalformedRequest, BodyTooLarge) as error:
                assert error.detail


def test_values_are_bounded_by_what_pages_hold() -> None:
    body = parquet(pa.table({"x": np.zeros(10)}), use_dictionary=False)
    groups = footer_of(body)
    few = [groups[0]._replace(rows=9, chunks=[groups[0].chunks[0]._replace(values=9)])]
    with pytest.raises(MalformedRequest, match="a page is damaged"):
        examine_pages(body, few, [0], LIMITS)
