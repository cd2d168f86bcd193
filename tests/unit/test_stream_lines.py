"""Lines and chunks: their boundaries depend on the rows alone, never on where the bytes were cut."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.codecs.stream.base import StreamLimits
from foretell.codecs.stream.lines import Lines, TooLong
from foretell.core.limits import BodyLimits

SMALL = StreamLimits(BodyLimits(), row_bytes=12, chunk_rows=3, chunk_bytes=20)


def chunks_of(parts: Sequence[bytes], *, quoted: bool, limits: StreamLimits = SMALL) -> list[list[bytes]]:
    lines, found = Lines(limits, quoted=quoted), []
    for part in parts:
        lines.feed(part)
        while (raw := lines.take(flush=False)) is not None:
            found.append(list(raw.rows))
    lines.end()
    while (raw := lines.take(flush=True)) is not None:
        found.append(list(raw.rows))
    return found


def cut(body: bytes, places: Sequence[int]) -> list[bytes]:
    ends = sorted({place % (len(body) + 1) for place in places})
    return [body[start:end] for start, end in zip([0, *ends], [*ends, len(body)], strict=True)]


PIECES = [b"a", b"bcd", b'"', b",", b"\r\n", b"\n", b"\xef\xbb\xbf", b"0123456789"]
NO_LINE = set(b'\r\n" \t\x0b\x0c\x1c\x1d\x1e\x1f\x85\xef')


@settings(deadline=None)
@given(
    body=st.lists(st.sampled_from(PIECES)).map(b"".join),
    places=st.lists(st.integers(0, 1000), max_size=8),
    quoted=st.booleans(),
)
def test_where_the_bytes_are_cut_makes_no_difference(body: bytes, places: list[int], quoted: bool) -> None:
    assert chunks_of(cut(body, places), quoted=quoted) == chunks_of([body], quoted=quoted)


@settings(deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=10).filter(NO_LINE.isdisjoint)))
def test_every_line_comes_out_once_and_in_order(lines: list[bytes]) -> None:
    chunks = chunks_of([b"\n".join(lines)], quoted=False)
    assert [line for chunk in chunks for line in chunk] == lines
    assert all(len(chunk) <= 3 and (len(chunk) == 1 or sum(map(len, chunk)) <= 20) for chunk in chunks)


def test_a_chunk_is_given_only_when_no_further_row_could_belong_to_it() -> None:
    lines = Lines(SMALL, quoted=False)
    lines.feed(b"1\n2\n")
    assert lines.take(flush=False) is None
    lines.feed(b"3\n")
    raw = lines.take(flush=False)
    assert raw is not None
    assert (raw.start, raw.count, list(raw.rows)) == (0, 3, [b"1", b"2", b"3"])


def test_lines_that_were_taken_are_not_kept() -> None:
    """However many come in pieces that never end where a chunk does."""
    limits = StreamLimits(BodyLimits(), chunk_rows=10)
    lines, piece = Lines(limits, quoted=False), (b"x" * 10_000 + b"\n") * 10
    lines.feed(b"begun\n")
    tracemalloc.start()
    try:
        for _ in range(500):
            lines.feed(bytes(piece))
            while lines.take(flush=False) is not None:
                pass
        assert tracemalloc.get_traced_memory()[0] < 5 * len(piece)
    finally:
        tracemalloc.stop()


def test_a_record_may_hold_line_ends_in_quotes() -> None:
    assert chunks_of([b'a,"b\r\nc"\r\nd\r\n'], quoted=True) == [[b'a,"b\r\nc"', b"d"]]


def test_a_quote_that_is_never_closed_costs_its_own_line_only() -> None:
    assert chunks_of([b'a,"b\nc\nd\ne\nf\ng\nh\n'], quoted=True) == [[b'a,"b', b"c", b"d"], [b"e", b"f", b"g"], [b"h"]]
    assert chunks_of([b'x\na,"b\nc'], quoted=True) == [[b"x", b'a,"b', b"c"]]


@pytest.mark.parametrize("quoted", [True, False])
def test_a_line_that_is_too_long_stands_as_a_mark_and_keeps_nothing(quoted: bool) -> None:
    [[first, long, last]] = chunks_of([b"a\n", b"x" * 8, b"y" * 8, b"z" * 100, b"\nb\n"], quoted=quoted)
    assert (first, last) == (b"a", b"b")
    assert isinstance(long, TooLong)
    assert long == b""
    [[whole]] = chunks_of([b"x" * 13 + b"\n"], quoted=quoted)
    assert isinstance(whole, TooLong)


def test_blank_lines_are_no_rows_but_blanks_may_be_a_csv_record() -> None:
    assert chunks_of([b"\xef\xbb\xbfa\n\n \n\r\nb"], quoted=False) == [[b"a", b"b"]]
    assert chunks_of([b"\xef\xbb\xbfa\n\n \n\r\nb"], quoted=True) == [[b"a", b" ", b"b"]]
    assert chunks_of([], quoted=True) == []
    assert chunks_of([b"\xef\xbb"], quoted=True) == [[b"\xef\xbb"]]
