"""Arrow streams: a schema and record batches without end, columns in and columns out.

Messages are cut out of the bytes here, and each batch is examined before pyarrow sees it (``foretell.codecs.arrow``).
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Mapping
from typing import Any

import orjson

from foretell.codecs.arrow.flat import FlatTable, OutOfBounds
from foretell.codecs.arrow.library import LIBRARY, missing, refusing
from foretell.codecs.arrow.messages import broken, examine
from foretell.codecs.stream.base import Answered, Layout, OnError, StreamLimits, Summary
from foretell.codecs.stream.batch_writer import SUMMARY, AnsweredBatches
from foretell.codecs.stream.batches import BatchReader, BatchRows
from foretell.codecs.stream.columns import refuse_tensors
from foretell.core.limits import BodyLimits
from foretell.core.signature import Output, Signature
from foretell.errors import BodyTooLarge

END = b"\xff\xff\xff\xff\0\0\0\0"
_CONTINUATION = 0xFFFFFFFF
_SCHEMA, _DICTIONARY, _BATCH = 1, 2, 3


class ArrowFormat:
    """The format of ``application/vnd.apache.arrow.stream``."""

    media_type = "application/vnd.apache.arrow.stream"
    single = False

    @property
    def missing(self) -> str | None:
        return missing(LIBRARY)

    def reader(
        self,
        signature: Signature,
        label: str,
        limits: StreamLimits,
        parameters: Mapping[str, str],  # noqa: ARG002  # Arrow has none
        layout: Layout | None = None,  # noqa: ARG002  # the schema says it
    ) -> ArrowReader:
        refuse_tensors(signature, label, "Arrow")
        return ArrowReader(signature, label, limits)

    def writer(self, output: Output, on_error: OnError, *, summary: bool, begun: bool = False) -> ArrowWriter:
        return ArrowWriter(output, on_error, summary=summary, begun=begun)


class ArrowReader(BatchReader):
    """See ``base.Reader``."""

    def __init__(self, signature: Signature, label: str, limits: StreamLimits) -> None:
        super().__init__(signature, label, limits)
        self._body = BodyLimits(max_body_bytes=limits.batch_bytes)
        self._bytes = bytearray()
        self._schema = b""
        self._dictionaries = b""
        self._batches: deque[Any] = deque()
        self._over = False

    def feed(self, data: bytes) -> None:
        if self._over:
            return
        self._bytes += data
        while (message := self._message()) is not None:
            self._take_message(*message)

    def end(self) -> None:
        if self._bytes and not self._over:
            raise broken("it is cut short")

    def _message(self) -> tuple[int, bytes] | None:
        """The kind and the bytes of the next message, once it is whole."""
        if self._over or len(self._bytes) < 8:
            return None
        marker, size = struct.unpack_from("<Ii", self._bytes)
        if marker != _CONTINUATION:
            raise broken("a message is damaged, or it does not start as a stream does")
        if size == 0:
            self._over = True
            return None
        self._bound(size)
        if len(self._bytes) < 8 + size:
            return None
        kind, length = _header(bytes(self._bytes[8 : 8 + size]))
        self._bound(length)
        whole = 8 + size + length
        if len(self._bytes) < whole:
            return None
        message = bytes(self._bytes[:whole])
        del self._bytes[:whole]
        return kind, message

    def _bound(self, size: int) -> None:
        if size < 0:
            raise broken("a message is damaged")
        if size > self._limits.batch_bytes:
            raise BodyTooLarge(
                f"A record batch is larger than {self._limits.batch_bytes} bytes (limits.max_record_batch_bytes).",
                hint="write smaller batches",
            )

    def _take_message(self, kind: int, message: bytes) -> None:
        if (kind == _SCHEMA) != (not self._schema) or kind not in (_SCHEMA, _DICTIONARY, _BATCH):
            raise broken("it is not a schema followed by batches")
        if kind == _SCHEMA:
            self._schema = message
            self._rows = BatchRows(self._opened(b"").schema, self._signature, self._label, self._limits)
        elif kind == _DICTIONARY:
            self._dictionaries += message
            self._bound(len(self._dictionaries))
        else:
            batch = self._opened(message).read_next_batch()
            with refusing("malformed_arrow", "an Arrow stream"):
                batch.validate(full=True)
            if batch.num_rows:
                self._batches.append(batch)

    def _opened(self, message: bytes) -> Any:
        """A stream of the schema, the dictionaries so far and one message. Raises MalformedRequest, BodyTooLarge."""
        import pyarrow as pa

        body = b"".join([self._schema, self._dictionaries if message else b"", message, END])
        examine(body, self._body)
        with refusing("malformed_arrow", "an Arrow stream"):
            return pa.ipc.open_stream(pa.py_buffer(body))

    def _next_batch(self) -> Any:
        return self._batches.popleft() if self._batches else None


class ArrowWriter:
    """See ``base.Writer``."""

    off_loop = False

    def __init__(self, output: Output, on_error: OnError, *, summary: bool, begun: bool = False) -> None:
        self._batches = AnsweredBatches(output, on_error)
        self._summary = summary
        self._begun = begun
        self._schema: Any = None

    def write(self, answered: Answered, layout: Layout) -> bytes:
        batch = self._batches.batch(answered, layout)
        self._schema = batch.schema
        return self._head() + batch.serialize().to_pybytes() if batch.num_rows else self._head()

    def end(self, summary: Summary, layout: Layout | None) -> bytes:
        if layout is None or not summary.complete:
            return b""
        if self._schema is None:
            self._schema = self._batches.schema(layout)
        return self._head() + (self._told(summary) if self._summary else b"") + END

    def _head(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        head: bytes = self._schema.serialize().to_pybytes()
        return head

    def _told(self, summary: Summary) -> bytes:
        """The summary as a batch without rows."""
        import pyarrow as pa

        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self._schema) as writer:
            empty = pa.RecordBatch.from_pylist([], self._schema)
            writer.write_batch(empty, custom_metadata={SUMMARY: orjson.dumps(summary.to_document())})
        written: bytes = sink.getvalue().to_pybytes()
        return written[self._schema.serialize().size : -len(END)]


def _header(metadata: bytes) -> tuple[int, int]:
    """The kind of a message and the length of what follows its header."""
    try:
        table = FlatTable.root(memoryview(metadata))
        return table.number(1, "<B"), table.number(3, "<q")
    except (OutOfBounds, struct.error):
        raise broken("a message is damaged") from None
