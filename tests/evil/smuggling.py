"""Requests that two readers of one connection could take for different ones (faults.md, row 54).

A case is the bytes of a connection and how many answers it may get. Where that is one, the answer is a refusal and the
connection ends, for what stands behind could be taken for a request of somebody else: every case carries one there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

HOST = b"Host: localhost\r\n"
HIDDEN = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: smuggled\r\n\r\n"
CHUNKS = b"0\r\n\r\n" + HIDDEN
ONE_CHUNK = b"5\r\nhello\r\n0\r\n\r\n" + HIDDEN

TRANSFER_ENCODINGS = [
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: chunkedx",
    b"Transfer-Encoding: chunked chunked",
    b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: gzip",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: chunked, gzip",
    b"Transfer-Encoding: deflate, chunked",
    b"Transfer-Encoding: chunked;q=1",
    b'Transfer-Encoding: "chunked"',
    b"Transfer-Encoding: 'chunked'",
    b"Transfer-Encoding: chunked,",
    b"Transfer-Encoding: ,chunked",
    b"Transfer-Encoding:",
    b"Transfer-Encoding: cow",
    b"Transfer-Encoding: chun ked",
    b"Transfer-Encoding: chunke",
    b"Transfer-Encoding: \x0bchunked",
    b"Transfer-Encoding: chunked\x0b",
    b"Transfer-Encoding: \x0cchunked",
    b"Transfer-Encoding: chunked\x00",
    b"Transfer-Encoding: \x00chunked",
    b"Transfer-Encoding: chunked\x7f",
    b"Transfer-Encoding : chunked",
    b"Transfer-Encoding\t: chunked",
    b" Transfer-Encoding: chunked",
    b"Transfer-Encoding\x00: chunked",
    b"Transfer\x0bEncoding: chunked",
    b"X: y\r Transfer-Encoding: chunked",
    b"X: y\rTransfer-Encoding: chunked",
    b"X: y\nTransfer-Encoding: chunked",
    b"Transfer-Encoding:\r\n chunked",
    b"Transfer-Encoding:\n chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: cow",
    b"Transfer-Encoding: \xa0chunked",
    b"Transfer-Encoding: ch\xc5\xabnked",
    b"Transfer-Encoding: chunked\xff",
    b"Transfer-Encoding: chunked\r",
]
"""Each wrong by itself: but for the length that may stand beside it."""

RIGHT_ENCODINGS = [b"Transfer-Encoding: chunked", b"transfer-encoding: Chunked", b"TRANSFER-ENCODING:chunked"]

LENGTHS = [
    b"+5",
    b"-5",
    b"0x5",
    b"5 5",
    b"5,5",
    b"5, 5",
    b"5;",
    b"5.0",
    b"5e0",
    b'"5"',
    b"",
    b"five",
    b"5\x00",
    b"\x005",
    b"5\x0b",
    b"99999999999999999999",
    b"18446744073709551616",
    b"-0",
    b"0_5",
    b"\xb2",
    b"5\r\nContent-Length: 6",
    b"5\r\nContent-Length: 5",
    b"0\r\nContent-Length: 5",
    b"5\r\ncontent-length: 0",
    b"5\r\n Content-Length: 6",
    b"5\rContent-Length: 0",
    b"5\nContent-Length: 0",
    b"5\r\nContent-Length : 0",
    b"5\r\nContent-Length\x00: 0",
]

HEADERS = [
    b"X\x00Y: z",
    b"X Y: z",
    b"X: y\x00z",
    b"X: y\rz",
    b"X: y\nz",
    b": no name",
    b"no colon",
    b"X\x7f: y",
    b"X(: y",
    b"X,: y",
    b"X@: y",
    b"X[: y",
    b"X\xff: y",
    b"\tX: y",
    b" X: y",
    b"X : y",
    b"X\t: y",
    b"X: y\r\n folded",
    b"X: y\r\n\tfolded",
    b"X: \x01",
    b"X: \x1f",
    b"X: \x7f",
    b"X: y\r\r\n",
    b"\x00X: y",
    b"X:y\x0b\x00",
    b"Host: localhost",
    b"Host: other",
    b"host:localhost",
    b"HOST: localhost",
    b"Host : localhost",
    b"Host: localhost\r\n folded",
    b"X: y\n",
    b"X=y",
]

LINES = [
    b"GET /\tHTTP/1.1",
    b"GET\t/ HTTP/1.1",
    b" GET / HTTP/1.1",
    b"\tGET / HTTP/1.1",
    b"GET / HTTP/1.1 ",
    b"GET / HTTP/1.1\x00",
    b"GET / HTTP/1.2",
    b"GET / HTTP/2.0",
    b"GET / HTTP/0.9",
    b"GET / HTTP/1.10",
    b"GET / HTTP/01.1",
    b"GET / HTTP/1,1",
    b"GET / http/1.1",
    b"GET / HTTQ/1.1",
    b"GET /",
    b"GET",
    b"/ HTTP/1.1",
    b"get / HTTP/1.1",
    b"G\x00T / HTTP/1.1",
    b"GET /\x00 HTTP/1.1",
    b"GET /\x0b HTTP/1.1",
    b"GET /a b HTTP/1.1",
    b"GET /\xff HTTP/1.1",
    b"GET /#f HTTP/1.1",
    b"GET a HTTP/1.1",
    b"GET http:// HTTP/1.1",
    b"GET http://other/ HTTP/1.1",
    b"GET ftp://localhost/ HTTP/1.1",
    b"GET http://localhost@other/ HTTP/1.1",
    b"CONNECT localhost:80 HTTP/1.1",
    b"CONNECT / HTTP/1.1",
    b"PRI * HTTP/2.0",
    b"GET / HTTP/1.1\rX: y",
    b"GET / HTTP/1.1 HTTP/1.1",
    b"\x16\x03\x01\x00\xa5",
    b"GET /\x7f HTTP/1.1",
    b"G=T / HTTP/1.1",
]

SIZES = [
    b"zz",
    b"-1",
    b"+1",
    b"0x5",
    b"5 5",
    b" 5",
    b"5\x00",
    b"5;\x00",
    b"fffffffffffffffff",
    b"5\n",
    b"5\rx",
    b"",
    b";x",
    b"g",
    b"1\r\nab",
    b'5;x="\n"',
    b"5\x0b",
    b"5\t\t;",
    b"\xff",
    b"5\r\nhello",
]

UPGRADES = [b"websocket", b"h2c", b"TLS/1.0", b"x", b"websocket, h2c"]


class Case(NamedTuple):
    """``answers``: how many at most; a connection that gets one refusal ends with it."""

    name: str
    data: bytes
    answers: int = 1


def cases(path: bytes = b"/api/v1/predict") -> Iterator[Case]:
    """Every case, each of which must be refused."""
    post = b"POST " + path + b" HTTP/1.1\r\n" + HOST
    for header in TRANSFER_ENCODINGS:
        yield Case(f"{header!r}", post + header + b"\r\n\r\n" + ONE_CHUNK)
        yield Case(f"{header!r}, then a length", post + header + b"\r\nContent-Length: 5\r\n\r\n" + ONE_CHUNK)
        yield Case(f"a length, then {header!r}", post + b"Content-Length: 5\r\n" + header + b"\r\n\r\n" + CHUNKS)
    for header in RIGHT_ENCODINGS:
        for length in (b"0", b"5", b"4", b"100"):
            name = f"{header!r} and the length {length.decode()}"
            yield Case(name, post + header + b"\r\nContent-Length: " + length + b"\r\n\r\n" + CHUNKS)
            yield Case(name + " first", post + b"Content-Length: " + length + b"\r\n" + header + b"\r\n\r\n" + CHUNKS)
        old = b"POST " + path + b" HTTP/1.0\r\n" + HOST
        yield Case(f"{header!r} in HTTP/1.0", old + header + b"\r\nConnection: keep-alive\r\n\r\n" + CHUNKS)
    for length in LENGTHS:
        yield Case(f"the length {length!r}", post + b"Content-Length: " + length + b"\r\n\r\nhello" + HIDDEN)
    for header in HEADERS:
        yield Case(f"the header {header!r}", b"GET /health/live HTTP/1.1\r\n" + HOST + header + b"\r\n\r\n" + HIDDEN)
        yield Case(
            f"the header {header!r} before",
            b"GET /health/live HTTP/1.1\r\n" + header + b"\r\n" + HOST + b"\r\n" + HIDDEN,
        )
    for line in LINES:
        yield Case(f"the line {line!r}", line + b"\r\n" + HOST + b"\r\n" + HIDDEN)
    for size in SIZES:
        yield Case(
            f"the chunk size {size!r}",
            post + b"Transfer-Encoding: chunked\r\n\r\n" + size + b"\r\nhello\r\n0\r\n\r\n" + HIDDEN,
        )
    for upgrade in UPGRADES:
        head = post + b"Connection: Upgrade\r\nUpgrade: " + upgrade + b"\r\n"
        yield Case(f"upgrade to {upgrade!r} and a length", head + b"Content-Length: 5\r\n\r\nhello" + HIDDEN)
        yield Case(f"upgrade to {upgrade!r} and chunks", head + b"Transfer-Encoding: chunked\r\n\r\n" + ONE_CHUNK)
        get = b"GET /health/live HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: " + upgrade + b"\r\n\r\n"
        yield Case(f"upgrade to {upgrade!r} and another request", get + HIDDEN)
    yield Case("no Host", b"GET /health/live HTTP/1.1\r\n\r\n" + HIDDEN)
    yield Case("bare line feeds", b"GET /health/live HTTP/1.1\nHost: localhost\n\n" + HIDDEN)
    yield Case("bare carriage returns", b"GET /health/live HTTP/1.1\rHost: localhost\r\r" + HIDDEN)
    yield Case(
        "a chunk that goes on", post + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhellohello\r\n0\r\n\r\n" + HIDDEN
    )
    yield Case("a closing request", b"GET /health/live HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n" + HIDDEN)


def pipelined(path: bytes = b"/api/v1/predict") -> Iterator[Case]:
    """What is right, however unusual: as many answers as there are requests."""
    post = b"POST " + path + b" HTTP/1.1\r\n" + HOST
    get = b"GET /health/live HTTP/1.1\r\n" + HOST + b"\r\n"
    row = b'{"features":[1,2]}'
    plain = post + b"Content-Length: %d\r\n\r\n" % len(row) + row
    for count in (1, 2, 3, 7):
        yield Case(f"{count} at once", plain * count, count)
        yield Case(f"{count} of two kinds", (plain + get) * count, 2 * count)
    for header in RIGHT_ENCODINGS:
        chunked = post + header + b"\r\n\r\n" + b"".join(b"1\r\n%c\r\n" % byte for byte in row) + b"0\r\n\r\n"
        yield Case(f"{header!r}", chunked * 2 + get, 3)
    trailer = post + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n" % (len(row), row)
    yield Case("trailers", trailer + b"Host: other\r\nX-Forwarded-For: 1.2.3.4\r\nAuthorization: x\r\n\r\n" + get, 2)
    yield Case(
        "an extension", post + b"Transfer-Encoding: chunked\r\n\r\n%x;a=b\r\n%b\r\n0\r\n\r\n" % (len(row), row) + get, 2
    )
    yield Case("empty lines between", plain + b"\r\n\r\n" + get, 2)
