"""What an Arrow stream says of its own size, held against the bytes there are (Arrow columnar format, IPC streaming).

Read are the headers alone: how many rows there are, and how large compressed buffers say they become. pyarrow makes
room for what a buffer says before it looks at the bytes, so the sum is bounded first.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

from foretell.codecs.arrow.flat import FlatTable, OutOfBounds
from foretell.codecs.arrow.library import too_large
from foretell.core.faults import malformed
from foretell.core.limits import BodyLimits
from foretell.errors import MalformedRequest

MAX_MESSAGES = 20_000

_FILE_MAGIC = b"ARROW1"
_CONTINUATION = 0xFFFFFFFF
_SCHEMA, _DICTIONARY, _BATCH = 1, 2, 3


def examine(body: bytes, limits: BodyLimits) -> int:
    """How many rows the stream has.

    Raises MalformedRequest for what is no stream of a schema and batches, BodyTooLarge where it decompresses to more
    than ``limits.max_decoded_bytes``.
    """
    if body.startswith(_FILE_MAGIC):
        detail = "The body is an Arrow file, and a stream is read here: write it with pyarrow.ipc.new_stream."
        raise malformed("malformed_arrow", "the body is an Arrow file, not a stream", detail)
    rows = size = 0
    try:
        for number, (kind, header, content) in enumerate(_messages(memoryview(body))):
            if (kind == _SCHEMA) != (number == 0) or kind not in (_SCHEMA, _DICTIONARY, _BATCH):
                raise broken("it is not a schema followed by batches")
            if number == MAX_MESSAGES:
                raise broken(f"it has more than {MAX_MESSAGES} batches; write fewer, larger ones")
            batch = header.table(1) if kind == _DICTIONARY else header
            if kind == _SCHEMA or batch is None:
                continue
            length = _length(batch, limits)
            rows += length if kind == _BATCH else 0
            size += _decompressed(batch, content)
            if size > limits.max_decoded_bytes:
                raise too_large(limits)
    except (OutOfBounds, struct.error):
        raise broken("it is cut short or damaged") from None
    return rows


def broken(why: str) -> MalformedRequest:
    """The body is no Arrow stream that is read here."""
    return malformed("malformed_arrow", why, f"The body is not an Arrow stream that can be read: {why}.")


def _messages(body: memoryview) -> Iterator[tuple[int, FlatTable, memoryview]]:
    """The kind, the header and the content of each message."""
    position = 0
    while position < len(body):
        marker, size = struct.unpack_from("<Ii", body, position)
        if marker != _CONTINUATION:
            raise broken("it does not start as a stream does" if not position else "a message is damaged")
        if size == 0:
            return
        start = position + 8
        if size < 0 or start + size > len(body):
            raise OutOfBounds
        message = FlatTable.root(body[start : start + size])
        length = message.number(3, "<q")
        header = message.table(2)
        if header is None or not 0 <= length <= len(body) - start - size:
            raise OutOfBounds
        position = start + size + length
        yield message.number(1, "<B"), header, body[start + size : position]


def _length(batch: FlatTable, limits: BodyLimits) -> int:
    length = batch.number(0, "<q")
    longest = int(batch.pairs(1)[:, 0].max(initial=0))
    if length < 0 or longest > limits.max_decoded_bytes:
        raise broken("a batch says it has more rows than it can have")
    return length


def _decompressed(batch: FlatTable, content: memoryview) -> int:
    """How many bytes the compressed buffers of a batch say they become; 0 where nothing is compressed."""
    if batch.table(3) is None:
        return 0
    buffers = batch.pairs(2)
    starts, lengths = buffers[:, 0], buffers[:, 1]
    starts = starts[lengths > 0]
    if np.any((starts < 0) | (starts > len(content) - 8)):
        raise OutOfBounds
    # each begins with its length decompressed, -1 where it is not compressed after all
    says = [struct.unpack_from("<q", content, start)[0] for start in starts.tolist()]
    if min(says, default=0) < -1:
        raise OutOfBounds
    return sum(length for length in says if length > 0)
