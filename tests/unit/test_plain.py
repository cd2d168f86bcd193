"""Which headers let a request take the lane."""

from __future__ import annotations

import pytest

from foretell.wire.plain import MAX_HEADERS, Plain, examine

BASE = [(b"Host", b"127.0.0.1:8000"), (b"Content-Length", b"32")]


@pytest.mark.parametrize(
    "client",
    [
        pytest.param(
            [(b"User-Agent", b"curl/7.88.1"), (b"Accept", b"*/*"), (b"content-type", b"application/json")], id="curl"
        ),
        pytest.param(
            [
                (b"User-Agent", b"python-requests/2.34"),
                (b"Accept-Encoding", b"gzip, deflate"),
                (b"Accept", b"*/*"),
                (b"Connection", b"keep-alive"),
                (b"Content-Type", b"application/json"),
            ],
            id="requests",
        ),
        pytest.param(
            [
                (b"accept", b"*/*"),
                (b"accept-language", b"*"),
                (b"sec-fetch-mode", b"cors"),
                (b"connection", b"Keep-Alive"),
                (b"content-type", b"application/json; charset=UTF-8"),
            ],
            id="node",
        ),
        pytest.param(
            [(b"Accept", b"application/json, text/plain, */*"), (b"Cookie", b"a=b"), (b"X-Anything", b"1")], id="axios"
        ),
        pytest.param([], id="none at all"),
    ],
)
def test_ordinary_clients_are_plain(client: list[tuple[bytes, bytes]]) -> None:
    assert examine([*BASE, *client]) == Plain(32, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"Expect", b"100-continue"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Content-Encoding", b"gzip"),
        (b"Upgrade", b"websocket"),
        (b"Range", b"bytes=0-1"),
        (b"X-Request-Timeout", b"2"),
        (b"TE", b"trailers"),
        (b"Trailer", b"X-Sum"),
        (b"If-Match", b'"x"'),
        (b"Accept", b"text/csv"),
        (b"Accept", b"text/csv, */*"),
        (b"Accept", b"application/json;q=0.1, text/csv"),
        (b"Content-Type", b"text/csv"),
        (b"Content-Type", b"application/json; charset=latin-1"),
        (b"Content-Type", b"application/x-www-form-urlencoded"),
        (b"Connection", b"close"),
        (b"Connection", b"keep-alive, upgrade"),
        (b"Content-Length", b"32"),
        (b"Host", b"other"),
        (b"X-Request-ID", b"has white space"),
        (b"X-Request-ID", b"x" * 200),
    ],
)
def test_headers_that_change_the_meaning_go_the_ordinary_way(name: bytes, value: bytes) -> None:
    assert examine([*BASE, (name, value)]) is None


@pytest.mark.parametrize("twice", [b"Content-Type", b"Accept", b"Connection", b"X-Request-ID"])
def test_a_header_that_stands_once_but_comes_twice_goes_the_ordinary_way(twice: bytes) -> None:
    value = {b"Content-Type": b"application/json", b"Accept": b"*/*", b"Connection": b"keep-alive"}.get(twice, b"id-1")
    assert examine([*BASE, (twice, value)]) is not None
    assert examine([*BASE, (twice, value), (twice.lower(), value)]) is None


@pytest.mark.parametrize("length", [b"", b"-1", b"+3", b"3.0", b"0x10", b"9" * 10])
def test_an_odd_length_goes_the_ordinary_way(length: bytes) -> None:
    assert examine([(b"host", b"a"), (b"content-length", length)]) is None


def test_a_request_without_host_or_length_or_with_a_crowd_of_headers_goes_the_ordinary_way() -> None:
    assert examine([(b"content-length", b"3")]) is None
    assert examine([(b"host", b"a")]) is None
    assert examine([*BASE, *[(b"x-%d" % i, b"") for i in range(MAX_HEADERS)]]) is None


def test_a_sane_request_id_travels_along() -> None:
    assert examine([*BASE, (b"X-Request-Id", b"order-17/3")]) == Plain(32, "order-17/3")
