"""The formats of requests and answers as OpenAPI describes them, for one model or for any."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from foretell.api.native.schemas import Schema, ref
from foretell.codecs.negotiate import CSV, JSON, MULTIPART
from foretell.core.signature import Output, Signature
from foretell.lifecycle.servable import Servable

NDJSON = "application/x-ndjson"
NPY = "application/x-npy"
_TEXTS = (CSV, NDJSON)
_BYTES: Schema = {"type": "string", "format": "binary"}


def request_content(name: str, servable: Servable | None, offered: Sequence[str], *, many: bool) -> dict[str, Schema]:
    """What a body may be: in JSON the schema called ``name``, and whichever of ``offered`` can carry the model's rows.

    ``servable`` is None for paths that any model may answer.
    """
    content: dict[str, Schema] = {}
    for media_type in offered:
        if media_type == JSON:
            content[JSON] = {"schema": ref(name)}
        elif servable is None or _carries(media_type, servable.signature):
            content[media_type] = {"schema": {"type": "string"} if media_type in _TEXTS else _BYTES}
    if servable is not None and servable.example is not None:
        for media_type, example in _examples(servable, many=many).items():
            if media_type in content:
                content[media_type]["example"] = example
    form = {"type": "object", "properties": {"file": _BYTES}, "required": ["file"]}
    content[MULTIPART] = {"schema": {**form, "description": f"One file, of any of {', '.join(content)}."}}
    return content


def answer_content(name: str, servable: Servable | None, offered: Sequence[str]) -> dict[str, Schema]:
    """What an answer may be."""
    fits = [kind for kind in offered if servable is None or kind != NPY or _one_array(servable.signature.output)]
    schemas = {JSON: ref(name), **{media_type: {"type": "string"} for media_type in _TEXTS}}
    return {media_type: {"schema": schemas.get(media_type, _BYTES)} for media_type in fits}


def _carries(media_type: str, signature: Signature) -> bool:
    """Whether rows of the signature can be written in the format."""
    if signature.tensors:
        return media_type == NDJSON or (media_type == NPY and len(signature.tensors) == 1)
    # one array has one type: numbers, as a rule
    return media_type != NPY or signature.layout == "matrix"


def _one_array(output: Output) -> bool:
    return len(output.tensors) <= 1


def _examples(servable: Servable, *, many: bool) -> dict[str, Any]:
    row = servable.example
    examples: dict[str, Any] = {JSON: {"features": [row, row] if many else row}}
    if (text := csv_example(servable)) is not None:
        examples[CSV] = text
    if isinstance(row, Mapping | Sequence):
        examples[NDJSON] = (orjson.dumps(row) + b"\n").decode() * 2
    return examples


def csv_example(servable: Servable) -> str | None:
    """The example row as CSV with a header; None for models whose rows are no columns."""
    row, names = servable.example, servable.signature.names
    if not names or not isinstance(row, Sequence | Mapping):
        return None
    cells = [row.get(name) for name in names] if isinstance(row, Mapping) else list(row)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([names, [str(cell).lower() if isinstance(cell, bool) else cell for cell in cells]])
    return text.getvalue()
