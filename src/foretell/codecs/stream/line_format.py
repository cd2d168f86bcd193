"""What the formats of lines share."""

from __future__ import annotations

from dataclasses import replace

from foretell.codecs.base import Codec
from foretell.codecs.stream.base import StreamLimits
from foretell.codecs.stream.lines import Lines
from foretell.core.signature import Signature


class LineFormat:
    """A format of lines; ``codec`` reads what stands in one."""

    single = False
    missing: str | None = None

    def __init__(self, codec: Codec) -> None:
        self._codec = codec


class LineReader:
    """The beginning of a reader of lines; see ``base.Reader``. ``quoted``: as CSV has records."""

    off_loop = False

    def __init__(self, codec: Codec, signature: Signature, label: str, limits: StreamLimits, *, quoted: bool) -> None:
        self._codec = codec
        self._signature = signature
        self._label = label
        self._limits = limits
        self._body = replace(limits.body, max_rows=limits.chunk_rows)
        self._lines = Lines(limits, quoted=quoted)

    def feed(self, data: bytes) -> None:
        self._lines.feed(data)

    def end(self) -> None:
        self._lines.end()

    def close(self) -> None:
        """Holds nothing but memory."""
