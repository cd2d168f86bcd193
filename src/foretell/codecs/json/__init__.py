"""JSON and NDJSON bodies.

``strict`` is the explaining way; ``single`` and ``batch`` are the fast way, compiled per signature; ``lines`` has both
for NDJSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from foretell.codecs.base import Answers, Decoders
from foretell.codecs.json.batch import batch_decoder
from foretell.codecs.json.lines import NdjsonCodec
from foretell.codecs.json.shapes import Shapes
from foretell.codecs.json.single import single_decoder
from foretell.codecs.json.slices import sliced
from foretell.codecs.json.strict import parse
from foretell.core.document import Document
from foretell.core.limits import BodyLimits
from foretell.core.signature import Signature

__all__ = ["JsonCodec", "NdjsonCodec", "codec", "ndjson_codec"]


class JsonCodec:
    """The codec of ``application/json``."""

    @property
    def media_type(self) -> str:
        return "application/json"

    single = True
    off_loop_bytes: int | None = None
    missing: str | None = None
    write: Callable[[Answers], bytes] | None = None

    def compile(self, signature: Signature, limits: BodyLimits) -> Decoders | None:
        shapes = Shapes.of(signature, limits)
        if shapes is None:
            return None
        batch = batch_decoder(signature, shapes, limits)
        return Decoders(single_decoder(signature, shapes), batch, lambda body: sliced(body, batch, limits.max_rows))

    def parse(self, body: bytes, many: bool, limits: BodyLimits, parameters: Mapping[str, str]) -> Document:  # noqa: ARG002
        return parse(body, many, limits)


codec = JsonCodec()
ndjson_codec = NdjsonCodec()
