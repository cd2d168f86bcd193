"""Compressed bodies: never more than the bound, and one whole piece."""

from __future__ import annotations

import gzip
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.core.inflation import compression, inflate
from foretell.errors import BodyTooLarge, MalformedRequest

MIB = 1024 * 1024


@given(st.binary(max_size=5000))
def test_what_was_compressed_comes_back(body: bytes) -> None:
    assert inflate(gzip.compress(body), "gzip", MIB, 1000) == body
    assert inflate(zlib.compress(body), "deflate", MIB, 1000) == body


@pytest.mark.parametrize("size", [1000, MIB, 50 * MIB])
def test_a_bomb_ends_at_the_bound(size: int) -> None:
    bomb = gzip.compress(bytes(size))
    began = time.thread_time()
    with pytest.raises(BodyTooLarge):
        inflate(bomb, "gzip", 8 * MIB, 20)
    assert time.thread_time() - began < 2
    with pytest.raises(BodyTooLarge):
        inflate(bomb, "gzip", size - 1, 100_000)
    assert len(inflate(bomb, "gzip", size, 100_000)) == size


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no gzip",
        gzip.compress(b"a" * 100)[:-1],
        gzip.compress(b"a") + gzip.compress(b"b"),
        gzip.compress(b"a") + b"x",
        zlib.compress(b"a"),
        gzip.compress(b"a" * 100)[:-5] + b"\x00" * 5,
    ],
    ids=["nothing", "nonsense", "cut off", "two members", "more behind", "zlib", "wrong sum"],
)
def test_what_is_not_one_whole_piece_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedRequest):
        inflate(body, "gzip", MIB, 1000)


def test_one_compression_alone_is_undone() -> None:
    assert [compression(name) for name in (" GZIP", "deflate", "x-gzip")] == ["gzip", "deflate", "x-gzip"]
    assert [compression(name) for name in (None, "", "identity", "br", "gzip, gzip", "zstd")] == [None] * 6
