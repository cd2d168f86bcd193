"""What a request's body is read by, and what its answer is written by (contract §3, Formats)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from foretell.api.middleware.context import Exchange
from foretell.codecs.base import Codec
from foretell.codecs.multipart import upload_of
from foretell.codecs.negotiate import MULTIPART, answer_codec, media_type, request_codec
from foretell.errors import MalformedRequest

Codecs = tuple[Codec, ...]


class Formats(NamedTuple):
    """The codec of the body with its parameters, the codec of the answer, and the body itself, out of its form."""

    reading: Codec
    parameters: Mapping[str, str]
    answering: Codec
    body: bytes


def formats_of(exchange: Exchange, body: bytes, codecs: Codecs, *, many: bool) -> Formats:
    """The formats of a request; ``many`` on a batch path.

    Raises UnsupportedMediaType before NotAcceptable, and MalformedRequest, for a form that is no form of one file,
    after both.
    """
    headers = tuple(map(exchange.headers.get, (b"content-type", b"content-encoding", b"accept")))
    content_type, content_encoding, accept = (None if h is None else h.decode("latin-1") for h in headers)
    if content_type is not None and content_type[:10].lower() == "multipart/":
        kind, parameters = media_type(content_type) or ("", {})
        if kind == MULTIPART and (content_encoding or "").strip().lower() in ("", "identity"):
            return _of_form(body, parameters, accept, codecs, many=many)
    # most callers send the same short headers, so those are remembered
    short = sum(len(header) for header in headers if header is not None) <= 256
    remember = _negotiated if short else _negotiated.__wrapped__
    return Formats(*remember(content_type, content_encoding, accept, codecs, many), body)


@lru_cache(maxsize=128)
def _negotiated(
    content_type: str | None, content_encoding: str | None, accept: str | None, codecs: Codecs, many: bool
) -> tuple[Codec, Mapping[str, str], Codec]:
    codec, parameters = request_codec(content_type, content_encoding, codecs, many=many)
    return codec, parameters, answer_codec(accept, codecs, many=many)


def _of_form(body: bytes, parameters: Mapping[str, str], accept: str | None, codecs: Codecs, *, many: bool) -> Formats:
    try:
        upload = upload_of(body, parameters)
    except MalformedRequest:
        answer_codec(accept, codecs, many=many)
        raise
    codec, of_file = request_codec(upload.content_type, None, codecs, many=many)
    return Formats(codec, of_file, answer_codec(accept, codecs, many=many), upload.content)
