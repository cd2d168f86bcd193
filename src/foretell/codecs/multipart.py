"""``multipart/form-data`` bodies that carry one file (RFC 7578, RFC 2046): which bytes are the file, and what they are.

A body is in memory already and within its bound; parts are found in it by their boundary, without copying, in time
linear in its length. One part is taken, and it must be a file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from foretell.codecs.negotiate import media_type
from foretell.core.faults import clip, listed, malformed
from foretell.errors import MalformedRequest, UnsupportedMediaType

MAX_PART_HEADER_BYTES = 8 * 1024
MAX_PARTS = 16

_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_LINE_END = re.compile(rb"[ \t]*+\r\n")
_ENCODINGS = ("", "binary", "8bit", "7bit")
_UNTOLD = ("", "application/octet-stream", "text/plain", "binary/octet-stream")
_SUFFIXES = {
    ".json": "application/json",
    ".csv": "text/csv",
    ".ndjson": "application/x-ndjson",
    ".jsonl": "application/x-ndjson",
    ".arrow": "application/vnd.apache.arrow.stream",
    ".arrows": "application/vnd.apache.arrow.stream",
    ".parquet": "application/vnd.apache.parquet",
    ".npy": "application/x-npy",
}


class Upload(NamedTuple):
    """The one file of a body: its content type as told or, where that says nothing, as its name's ending tells."""

    content_type: str
    content: bytes


def upload_of(body: bytes, parameters: Mapping[str, str]) -> Upload:
    """The file in a body whose content type has ``parameters``.

    Raises MalformedRequest where the body is no form of one file, UnsupportedMediaType where nobody can tell what the
    file is.
    """
    boundary = parameters.get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise _broken("its content type names no boundary of 1 to 70 characters")
    parts = _parts(body, b"--" + boundary.encode("ascii"))
    names = [_disposition(headers).get("name", "") for headers, _ in parts]
    if len(parts) != 1:
        shown = f": {listed(names)}" if names else ""
        raise _broken(f"expected one part, which is a file, got {len(parts)}{shown}")
    headers, content = parts[0]
    disposition = _disposition(headers)
    encoding = headers.get("content-transfer-encoding", "").lower()
    if encoding not in _ENCODINGS:
        raise _broken(f"the content transfer encoding '{clip(encoding)}' is not read")
    told = headers.get("content-type", "")
    if "filename" not in disposition and not told:
        raise _broken(f"the part '{clip(names[0])}' is a field and no file")
    return Upload(_content_type(told, disposition.get("filename", "")), content)


def _content_type(told: str, filename: str) -> str:
    kind, _ = media_type(told) or (told.strip().lower(), {})
    if kind not in _UNTOLD:
        return told
    ending = re.search(r"\.[0-9a-z]+\Z", filename.lower())
    guessed = _SUFFIXES.get(ending.group() if ending else "")
    if guessed is None:
        raise UnsupportedMediaType(
            f"The file '{clip(filename)}' does not say what it is; its name may end in {', '.join(_SUFFIXES)}.",
            hint="give the part a content type: curl -F 'file=@rows.csv;type=text/csv'",
        )
    return guessed


def _parts(body: bytes, delimiter: bytes) -> list[tuple[dict[str, str], bytes]]:
    """The headers and the content of each part; what stands before the first and after the last does not count."""
    if body.startswith(delimiter):
        position = len(delimiter)
    else:
        before = body.find(b"\r\n" + delimiter)
        if before == -1:
            raise _broken("the boundary that its content type names is not in it")
        position = before + 2 + len(delimiter)
    parts: list[tuple[dict[str, str], bytes]] = []
    while body[position : position + 2] != b"--":
        start = _line_end(body, position)
        end = body.find(b"\r\n" + delimiter, start - 2)
        if end == -1:
            raise _broken("it ends inside a part")
        if len(parts) == MAX_PARTS:
            raise _broken(f"expected one part, which is a file, got more than {MAX_PARTS}")
        parts.append(_part(body, start, end))
        position = end + 2 + len(delimiter)
    return parts


def _line_end(body: bytes, position: int) -> int:
    """Where the line after a delimiter begins; blanks may follow the delimiter."""
    found = _LINE_END.match(body, position)
    if found is None:
        raise _broken("a boundary is not followed by the end of its line")
    return found.end()


def _part(body: bytes, start: int, end: int) -> tuple[dict[str, str], bytes]:
    if body[start : start + 2] == b"\r\n":
        return {}, body[start + 2 : end]
    stop = body.find(b"\r\n\r\n", start, min(end, start + MAX_PART_HEADER_BYTES))
    if stop == -1:
        raise _broken(f"the headers of a part do not end, or are longer than {MAX_PART_HEADER_BYTES} bytes")
    headers: dict[str, str] = {}
    for line in body[start:stop].decode("utf-8", "replace").split("\r\n"):
        name, colon, value = line.partition(":")
        if not colon or not name.strip() or name.strip().lower() in headers:
            raise _broken("a header of a part cannot be read, or stands twice")
        headers[name.strip().lower()] = value.strip()
    return headers, body[stop + 4 : end]


def _disposition(headers: Mapping[str, str]) -> Mapping[str, str]:
    """The parameters of a part's ``Content-Disposition``."""
    text = headers.get("content-disposition", "")
    kind, _, rest = text.partition(";")
    if kind.strip().lower() != "form-data":
        raise _broken("a part is not one of a form: its content disposition must be form-data")
    return (media_type(f"form/data;{rest}") or ("", {}))[1]


def _broken(why: str) -> MalformedRequest:
    return malformed("malformed_multipart", why, f"The body is not a form with one file: {why}.")
