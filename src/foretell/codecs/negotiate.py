"""Which codec reads a body, and in which format to answer: pure functions of headers.

Every step is linear in the header's length, whatever it holds. Where a caller's ``Accept`` cannot be read, the part
that cannot is passed over, as RFC 9110 lets a server do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Protocol, TypeVar

from foretell.core.faults import clip
from foretell.errors import NotAcceptable, UnsupportedMediaType

JSON = "application/json"
CSV = "text/csv"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
MAX_PARTS = 64
"""Ranges of an ``Accept``, or parameters of a media type, that are looked at; browsers send fewer than ten."""
_WEIGHT = re.compile(r"[01](?:\.[0-9]{0,3})?|\.[0-9]{1,3}")
_PARTS = {
    ",": re.compile(r'((?:[^,"]++|"(?:[^"\\]++|\\.)*+(?:"|\\?\Z))*+)(,|\Z)', re.DOTALL),
    ";": re.compile(r'((?:[^;"]++|"(?:[^"\\]++|\\.)*+(?:"|\\?\Z))*+)(;|\Z)', re.DOTALL),
}
_ESCAPED = re.compile(r"\\?+([^\\]++|.)", re.DOTALL)
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


class Format(Protocol):
    """What is negotiated about a codec, or a format of streams; see ``codecs.base.Codec``."""

    @property
    def media_type(self) -> str: ...

    @property
    def single(self) -> bool: ...

    @property
    def missing(self) -> str | None: ...


F = TypeVar("F", bound=Format)


def offered(codecs: Sequence[F], *, many: bool) -> tuple[F, ...]:
    """Those of ``codecs`` that a path for many rows, or for one, reads and writes, their libraries being there."""
    return tuple(codec for codec in codecs if (many or codec.single) and codec.missing is None)


def request_codec(
    content_type: str | None, content_encoding: str | None, codecs: Sequence[F], *, many: bool = True
) -> tuple[F, Mapping[str, str]]:
    """The codec for a ``Content-Type`` and the type's parameters, names in lower case; ``many`` on a batch path.

    No content type, or an empty one, is JSON; so is any ``application/*+json``. Only UTF-8 (and its part US-ASCII) is
    read, and no compressed body. Raises UnsupportedMediaType, which lists what is read.
    """
    if (content_encoding or "").strip().lower() not in ("", "identity"):
        detail = f"The content encoding '{clip(content_encoding or '')}' is not read here; send the body as it is."
        raise UnsupportedMediaType(detail, hint="send no 'content-encoding' header")
    kind, parameters = media_type(content_type or "") or ("", {})
    if not (content_type or "").strip() or (kind.startswith("application/") and kind.endswith("+json")):
        kind = JSON
    served = {codec.media_type: codec for codec in offered(codecs, many=many)}
    if kind not in served:
        raise _unsupported(kind or (content_type or ""), tuple(served), codecs)
    charset = parameters.get("charset", "utf-8").lower()
    if charset not in ("utf-8", "utf8", "us-ascii", "ascii"):
        raise UnsupportedMediaType(f"The charset '{clip(charset)}' is not read here; send UTF-8.")
    return served[kind], parameters


def _unsupported(kind: str, served: tuple[str, ...], codecs: Sequence[Format]) -> UnsupportedMediaType:
    if kind == FORM:
        detail = "The body came as a form, which is what curl sends unless told otherwise."
        return UnsupportedMediaType(detail, hint=f"add the header: -H 'content-type: {JSON}'")
    read = ", ".join((*served, MULTIPART))
    known = next((codec for codec in codecs if codec.media_type == kind), None)
    if known is not None and known.missing is not None:
        return UnsupportedMediaType(
            f"Content type '{kind}' is not read here, as this server lacks a library; these are: {read}.",
            hint=f"whoever runs the server can add it: {known.missing}",
        )
    why = "is for batches and is not read here" if known is not None else "is not read here"
    detail = f"Content type '{clip(kind)}' {why}; these are: {read}."
    return UnsupportedMediaType(detail, hint=f"send the header 'content-type: {served[0]}'")


def media_type(text: str) -> tuple[str, dict[str, str]] | None:
    """A media type in lower case and its parameters, the first of two equal names; None where ``text`` is none."""
    kind, *rest = split(text, ";")
    kind = kind.strip().lower()
    main, slash, sub = kind.partition("/")
    if not (slash and main and sub and _TOKEN.issuperset(main) and _TOKEN.issuperset(sub)):
        return None
    parameters: dict[str, str] = {}
    for part in rest:
        name, equals, value = part.strip().partition("=")
        if equals:
            parameters.setdefault(name.strip().lower(), _unquoted(value.strip()))
    return kind, parameters


def split(text: str, separator: str) -> list[str]:
    """``text`` cut at separators that do not stand inside quotes; the first ``MAX_PARTS`` pieces."""
    if '"' not in text:
        return text.split(separator, MAX_PARTS)[:MAX_PARTS]
    parts = []
    for found in islice(_PARTS[separator].finditer(text), MAX_PARTS):
        parts.append(found[1])
        if not found[2]:
            break
    return parts


def _unquoted(value: str) -> str:
    if len(value) < 2 or not (value[0] == value[-1] == '"'):
        return value
    return "".join(_ESCAPED.findall(value[1:-1]))


def answer_codec(accept: str | None, codecs: Sequence[F], *, many: bool = True) -> F:
    """The codec to answer by: of those offered, best first, the one whose media type the caller likes most.

    A missing, empty or entirely unreadable ``Accept`` takes anything. The most specific range that fits decides a
    type's quality; between equals the order of ``codecs`` decides. Raises NotAcceptable, which lists what is offered.
    """
    ranges, choice = _ranges(accept or ""), offered(codecs, many=many)
    if not ranges:
        return choice[0]
    best, best_quality = choice[0], 0.0
    for codec in choice:
        quality = _quality(codec.media_type, ranges)
        if quality > best_quality:
            best, best_quality = codec, quality
    if best_quality == 0.0:
        lacking = next((codec.missing for codec in codecs if codec.missing and ranges.get(codec.media_type)), None)
        hint = f"send the header 'accept: {choice[0].media_type}', or none"
        raise NotAcceptable(
            f"No answer can be given as '{clip(accept or '')}'; these are offered: "
            f"{', '.join(codec.media_type for codec in choice)}.",
            hint=hint if lacking is None else f"{hint}; whoever runs the server can add more: {lacking}",
        )
    return best


def _ranges(accept: str) -> dict[str, float]:
    """Media ranges with their quality, the highest where a range is named twice."""
    ranges: dict[str, float] = {}
    for part in split(accept, ","):
        head, semicolon, rest = part.partition(";")
        # Java's HttpURLConnection writes */* as *
        parsed = media_type(f"*/*{semicolon}{rest}" if head.strip() == "*" else part)
        if parsed is None:
            continue
        kind, parameters = parsed
        quality = _weight(parameters.get("q", "1"))
        if quality is not None:
            ranges[kind] = max(quality, ranges.get(kind, 0.0))
    return ranges


def _weight(text: str) -> float | None:
    """A quality between 0 and 1 (also written ``.5``), None for what is none."""
    return min(float(text), 1.0) if _WEIGHT.fullmatch(text) else None


def _quality(kind: str, ranges: Mapping[str, float]) -> float:
    main = kind.partition("/")[0]
    for candidate in (kind, f"{main}/*", "*/*"):
        if candidate in ranges:
            return ranges[candidate]
    return 0.0
