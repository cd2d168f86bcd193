"""Compressed bodies, inflated step by step and never beyond a bound. Pure."""

from __future__ import annotations

import zlib

from foretell.errors import BodyTooLarge, MalformedRequest

STEP_BYTES = 64 * 1024
_WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


def compression(content_encoding: str | None) -> str | None:
    """The one compression that ``inflate`` undoes of those a ``Content-Encoding`` names; None for none, or another, or
    several on top of each other."""
    encoding = (content_encoding or "").strip().lower()
    return encoding if encoding in _WINDOWS else None


def inflate(body: bytes, encoding: str, max_bytes: int, max_ratio: int) -> bytes:
    """What was compressed, at most ``max_bytes`` of it and ``max_ratio`` times as much as came.

    Raises BodyTooLarge beyond either, MalformedRequest where it is not one whole piece compressed in this way.
    """
    inflater = zlib.decompressobj(wbits=_WINDOWS[encoding])
    bound = min(max_bytes, max_ratio * len(body))
    parts: list[bytes] = []
    size, rest = 0, body
    try:
        while rest and not inflater.eof:
            parts.append(inflater.decompress(rest, min(STEP_BYTES, bound + 1 - size)))
            size += len(parts[-1])
            if size > bound:
                raise BodyTooLarge(
                    f"The body grows beyond {bound} bytes as it is inflated (limits.max_body_bytes, wire.max_ratio).",
                    hint="send the rows in several batches",
                )
            rest = inflater.unconsumed_tail
        if not inflater.eof:
            parts.append(inflater.flush(STEP_BYTES))
            size += len(parts[-1])
    except zlib.error:
        raise MalformedRequest(f"The body is not what its content encoding, {encoding}, says.") from None
    if size > bound or not inflater.eof or inflater.unused_data:
        raise MalformedRequest(f"The body is not one whole piece of {encoding}.")
    return b"".join(parts)
