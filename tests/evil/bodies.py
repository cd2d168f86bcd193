"""Bodies that lie, that grow as they are read, and forms that are hard to take apart (faults.md, rows 49, 53 and 57)."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from typing import NamedTuple

MIB = 1024 * 1024
ROW = b'{"features": [5.1, 3.5, 1.4, 0.2]}'
BOUNDARY = "b0und4ry"
FILE = b'Content-Disposition: form-data; name="file"; filename="rows.csv"'


class Body(NamedTuple):
    """What is sent, and the headers that say what it is."""

    name: str
    data: bytes
    headers: tuple[str, ...]


def bombs() -> Iterator[Body]:
    """Few bytes that become many."""
    zeros = gzip.compress(bytes(100 * MIB))
    blanks = b'{"features": [' + b" " * (100 * MIB) + b"]}"
    twice = gzip.compress(gzip.compress(zeros))
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rows.json", bytes(20 * MIB))
    named = bytearray(gzip.compress(ROW))
    named[3] |= 8  # a file name follows the head, and does not end
    for name, encoding, data in (
        ("zeros", "gzip", zeros),
        ("blanks", "gzip", gzip.compress(blanks)),
        ("blanks of zlib", "deflate", zlib.compress(blanks)),
        ("three times over", "gzip", twice),
        ("one in another", "gzip, gzip", twice),
        ("many members", "gzip", gzip.compress(bytes(64 * 1024)) * 2000),
        ("many empty members", "gzip", gzip.compress(b"") * 100_000),
        ("a name without an end", "x-gzip", bytes(named[:10]) + b"a" * MIB),
        ("empty blocks", "deflate", b"\x78\x9c" + b"\x00\x00\x00\xff\xff" * 400_000),
        ("an archive", "gzip", zipped.getvalue()),
        ("an archive of its own", "zip", zipped.getvalue()),
        ("brotli", "br", b"\x5b\xff\xff\xff" * 1000),
        ("zstandard", "zstd", b"\x28\xb5\x2f\xfd" * 1000),
    ):
        yield Body(name, data, ("Content-Type: application/json", f"Content-Encoding: {encoding}"))


def lies() -> Iterator[Body]:
    """JSON that nests, repeats, breaks off, or holds what is no number and no text."""
    deep = 100_000
    for name, data in (
        ("arrays in arrays", b"[" * deep),
        ("arrays in arrays, closed", b'{"features": ' + b"[" * deep + b"]" * deep + b"}"),
        ("objects in objects", b'{"a":' * deep + b"1" + b"}" * deep),
        ("a number of 100,000 digits", b'{"features": [%b, 3.5, 1.4, 0.2]}' % (b"9" * deep)),
        ("a fraction of 100,000 digits", b'{"features": [0.%b, "x", 1.4, 0.2]}' % (b"1" * deep)),
        ("an exponent of 100,000 digits", b'{"features": [1e%b, 3.5, 1.4, 0.2]}' % (b"9" * deep)),
        ("NaN", b'{"features": [NaN, 3.5, 1.4, 0.2]}'),
        ("infinity", b'{"features": [-Infinity, 3.5, 1.4, 0.2]}'),
        ("1e999", b'{"features": [1e999, 3.5, 1.4, 0.2]}'),
        ("one key many times", b"{" + b'"features": [1], ' * 10_000 + b'"features": [1]}'),
        ("many keys", b"{" + b", ".join(b'"k%d": 1' % i for i in range(20_000)) + b"}"),
        ("half a surrogate", b'{"features": ["\\ud800", 3.5, 1.4, 0.2]}'),
        ("surrogates", b'{"features": ["' + b"\\ud800" * 50_000 + b'", 3.5, 1.4, 0.2]}'),
        ("escapes", b'{"features": ["' + b"\\u0041" * 50_000 + b'", 3.5, 1.4, 0.2]}'),
        ("no UTF-8", b'{"features": ["\xff\xfe\xc0\xaf", 3.5, 1.4, 0.2]}'),
        ("a mark in front", b"\xef\xbb\xbf" + ROW + b"x"),
        ("UTF-16", ROW.decode().encode("utf-16")),
        ("a megabyte of text", b'{"features": ["' + b"x" * MIB + b'", 3.5, 1.4, 0.2]}'),
        ("a megabyte of blanks", b" " * MIB + b"x"),
        ("a megabyte of a key", b'{"' + b"k" * MIB + b'": 1}'),
        ("a text without an end", b'{"features": ["' + b"x" * MIB),
        ("backslashes", b'{"features": ["' + b"\\\\" * (MIB // 2)),
        ("features without an end", b'{"features": [' + b"1," * 200_000),
        ("100,000 features", b'{"features": [' + b"1," * deep + b"1]}"),
    ):
        yield Body(name, data, ("Content-Type: application/json",))


def _form(
    *parts: bytes, boundary: str = BOUNDARY, before: bytes = b"", after: bytes = b"", end: bytes = b"--"
) -> bytes:
    line = b"--" + boundary.encode("latin-1")
    return before + b"".join(line + b"\r\n" + part + b"\r\n" for part in parts) + line + end + after


def _part(*headers: bytes, content: bytes = b"1,2\r\n") -> bytes:
    return b"".join(header + b"\r\n" for header in headers) + b"\r\n" + content


def _named(filename: bytes) -> bytes:
    return b'Content-Disposition: form-data; name="file"; filename="' + filename + b'"'


def _wrong() -> Iterator[tuple[str, bytes]]:
    part = _part(FILE)
    yield "ten thousand parts", _form(*[part] * 10_000)
    yield "a field ten thousand times", _form(*[_part(b'Content-Disposition: form-data; name="file"')] * 10_000)
    yield "a megabyte before the first", _form(part, part, before=b"x" * MIB + b"\r\n")
    yield "boundaries that nearly are in front", _form(part, part, before=b"\r\n--b0und4r" * 100_000 + b"\r\n")
    yield "boundaries that nearly are within", _form(_part(FILE, content=b"\r\n--b0und4r" * 100_000), part)
    yield "line ends", b"\r\n" * 500_000
    yield "dashes", b"-" * MIB
    yield "a megabyte behind the last", _form(part, part, after=b"x" * MIB)
    yield "a header of a megabyte", _form(_part(FILE, b"X-A: " + b"a" * MIB))
    yield "ten thousand headers", _form(_part(FILE, *[b"X-%d: a" % i for i in range(10_000)]))
    yield "a header in a thousand lines", _form(_part(FILE + b"\r\n " * 1000))
    yield "a header without a colon", _form(_part(FILE, b"X" * 8000))
    yield "a header twice", _form(_part(FILE, FILE))
    yield "parameters", _form(_part(b"Content-Disposition: form-data" + b"; a=b" * 1500))
    yield "quotes", _form(_part(b'Content-Disposition: form-data; name="' + b'\\"' * 3500))
    yield "a form in a form", _form(_part(FILE, b"Content-Type: multipart/form-data; boundary=x", content=_form(part)))
    yield "mixed in a form", _form(_part(FILE, b"Content-Type: multipart/mixed; boundary=x", content=b"--x\r\n" * 9000))
    yield "no end", b"--b0und4ry\r\n" + part + b"\r\n"
    yield "an end of one dash", _form(part, end=b"-")
    yield "no line end behind the boundary", b"--b0und4ry" + part + b"\r\n--b0und4ry--"
    yield "line feeds alone", _form(part).replace(b"\r\n", b"\n")
    yield "carriage returns alone", _form(part).replace(b"\r\n", b"\r")
    yield "blanks behind the boundary", b"--b0und4ry" + b" \t" * (3 * MIB) + b"x"
    yield "no disposition", _form(_part())
    yield "an attachment", _form(_part(FILE.replace(b"form-data", b"attachment")))
    yield "base64", _form(_part(FILE, b"Content-Transfer-Encoding: base64", content=b"MSwyCg=="))
    yield "one file twice", _form(part, part)
    for filename in (
        b"../../etc/passwd",
        b"/etc/passwd",
        b"..\\..\\x",
        b"rows\x00.exe",
        b"rows.csv\x00.exe",
        b"C:\\rows.exe",
    ):
        yield f"the name {filename!r}", _form(_part(_named(filename)))
    yield "a name of 8,000 characters", _form(_part(_named(b"a" * 7900)))
    yield "a name that runs from right to left", _form(_part(_named("\u202evsc.exe".encode())))


def forms() -> Iterator[Body]:
    """Forms that are none, or hold no one file that is read: none of them may be answered with 200 or 5xx."""
    for name, data in _wrong():
        yield Body(name, data, (f"Content-Type: multipart/form-data; boundary={BOUNDARY}",))
    for boundary in ("", "x" * 71, "a b ", "\xe9", '"', '"x', "x" * 7000, "--", "=", "*", "\\"):
        data = _form(_part(FILE), boundary=boundary.strip())
        yield Body(
            f"the boundary {boundary[:80]!r}", data, (f"Content-Type: multipart/form-data; boundary={boundary}",)
        )
    yield Body("no boundary", _form(_part(FILE)), ("Content-Type: multipart/form-data",))
    yield Body(
        "two boundaries", _form(_part(FILE)), ("Content-Type: multipart/form-data; boundary=x; boundary=b0und4ry",)
    )
