"""Headers that are hard on whoever reads or logs them (faults.md, rows 58 and 60)."""

from __future__ import annotations

from collections.abc import Iterator

INJECTED = [
    b"\x1b[2J\x1b[1;31mred",
    b"%0d%0aSet-Cookie: a=b",
    b"\xe2\x80\xae gnitirw",
    b'"}\\n{"event":"request"',
    b"\xc2\x9b31m",
    b"\\r\\nX: y",
    b"\xff\xfe\x80",
    b"${jndi:ldap://x}",
    b"%n%n%s",
    b"'; drop table keys; --",
    b"\xe2\x80\xa8line",
    b"a" * 7000,
]
"""Values that a header may hold on the wire, and that must not act on a log."""

UNITS = [
    b"a", b"1", b"e", b"1e", b"_", b"-", b"/", b"../", b"@", b".", b"a.", b"a..", b",", b";", b" ", b"\t", b"=", b"a=",
    b"a=b;", b"a;b=c;", b"&", b"a=b&", b"(", b"[", b"]", b"[:", b":", b'"', b"\\", b'\\"', b'"\\"', b'"\\",', b'";',
    b'x="\\', b'a/b;x="\\', b'a/b;q="', b"a/b,", b"a/b;", b"*/*,", b"*;q=0.1,", b"text/html;q=0.1,",
    b"application/json;", b"application/json,", b"multipart/form-data;", b"boundary=", b"0-,", b'W/"', b"1.2.3.4,",
    b"1.2.3.4, ", b'for="', b"for=1.2.3.4;", b'for="[::1]",', b"http://", b"%", b"%61", b"Bearer ", b"ft_",
    b"ft_aaaaaaaa_", b"eyJ", b"\xff", b"\xe2\x80\xae",
]  # fmt: skip
"""What a reader that is not linear chokes on where there are thousands of them."""

OPENINGS: dict[str, list[bytes]] = {
    "accept": [b"", b"application/json;"],
    "accept-encoding": [b""],
    "accept-language": [b""],
    "access-control-request-headers": [b""],
    "authorization": [b"", b"Bearer ", b"Basic ", b"Bearer ft_", b"Bearer eyJ."],
    "cache-control": [b"", b"no-cache,"],
    "connection": [b""],
    "content-disposition": [b""],
    "content-encoding": [b"", b"gzip,"],
    "content-length": [b""],
    "content-type": [
        b"",
        b"application/json;",
        b'application/json; charset="',
        b"multipart/form-data;boundary=",
        b"text/csv;",
        b"application/x-www-form-urlencoded;",
    ],
    "cookie": [b""],
    "expect": [b""],
    "forwarded": [b"", b'for="'],
    "host": [b"", b"["],
    "idempotency-key": [b""],
    "if-none-match": [b"", b'W/"'],
    "origin": [b"", b"https://"],
    "range": [b"", b"bytes="],
    "referer": [b""],
    "te": [b""],
    "traceparent": [b"", b"00-"],
    "tracestate": [b""],
    "user-agent": [b""],
    "x-api-key": [b"", b"ft_"],
    "x-forwarded-for": [b"", b"1.2.3.4, "],
    "x-forwarded-host": [b""],
    "x-forwarded-proto": [b""],
    "x-request-id": [b""],
    "x-request-timeout": [b"", b"1."],
}
"""How the values of each header may begin."""


def repeated(unit: bytes, size: int, opening: bytes = b"") -> bytes:
    """As many of ``unit`` behind ``opening`` as ``size`` bytes hold."""
    return opening + unit * ((size - len(opening)) // len(unit))


def slow(size: int) -> Iterator[tuple[str, bytes, bytes]]:
    """Names of headers, how the value begins, and what it goes on with, over and over."""
    for name, openings in OPENINGS.items():
        for opening in openings:
            for unit in UNITS:
                if len(opening) + len(unit) < size:
                    yield name, opening, unit
