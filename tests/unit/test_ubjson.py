"""UBJSON is read exactly, or refused."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.runtimes.ubjson import MalformedDocument, read
from tests import zoo


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value.tolist() if isinstance(value, np.ndarray) else value


@pytest.mark.parametrize("name", zoo.names("xgboost"))
def test_xgboost_says_the_same_in_both_its_formats(name: str) -> None:
    booster = zoo.specimen(name).estimator.get_booster()
    binary, text = read(bytes(booster.save_raw("ubj"))), json.loads(bytes(booster.save_raw("json")))

    def same(one: Any, other: Any) -> None:
        if isinstance(one, dict):
            assert one.keys() == other.keys()
            for key in one:
                same(one[key], other[key])
        elif isinstance(one, list):
            assert len(one) == len(other)
            for left, right in zip(one, other, strict=True):
                same(left, right)
        else:
            assert one == (pytest.approx(other, rel=1e-5) if isinstance(one, float) else other)

    same(plain(binary), text)


def text(value: str) -> bytes:
    return b"L" + struct.pack(">q", len(value.encode())) + value.encode()


def test_every_type_is_read() -> None:
    numbers = b"i\xffU\xffI\xff\xfel\xff\xff\xff\xfdL" + struct.pack(">q", -4) + b"d" + struct.pack(">f", 0.5)
    content = b"[" + numbers + b"D" + struct.pack(">d", 0.1) + b"TFZS" + text("é") + b"{" + text("k") + b"[#U\x02TF}]"
    assert read(content) == [-1, 255, -2, -3, -4, 0.5, 0.1, True, False, None, "é", {"k": [True, False]}]
    assert read(b"[$I#U\x02\x00\x01\xff\xff").tolist() == [1, -1]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[",
        b"i",
        b"?",
        b"TT",
        b"[$S#U\x01",
        b"[$i?U\x01",
        b"[$i#U\x09\x00",
        b"[#U\x09",
        b"[#D" + bytes(8),
        b"Si\xff",
        b"SU\x01\xff",
        b"{" + text("a") + b"T" + text("a") + b"F}",
        b"[" * 500,
        b"[$D#L\x7f\xff\xff\xff\xff\xff\xff\xff",
    ],
    ids=repr,
)
def test_what_is_cut_off_or_unknown_is_refused(content: bytes) -> None:
    with pytest.raises(MalformedDocument):
        read(content)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_document_or_refused(content: bytes) -> None:
    try:
        read(b"[" + content)
    except MalformedDocument:
        return
