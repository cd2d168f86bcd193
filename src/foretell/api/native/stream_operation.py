"""Streams as OpenAPI 3.1 describes them: which formats, which parameters; it has no words for rows that never end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from foretell.api.native.schemas import Schema
from foretell.api.native.stream_options import ON_ERROR

_DESCRIPTION = """\
Rows are answered while they come: read the answer while you send. Any of the formats can be answered in any other
(`Accept`); without one the answer has the format of the body. Every answer is the row's own columns and `prediction`,
`class_name` and `confidence` where the model has them. A row that is wrong comes back with its `error`; it ends
nothing.
A Parquet file has its index at its end: it is answered once all of it has come.
JSON lines end with a `summary`. A stream that could not be answered to its end is broken off, never ended in order.
"""
_FORMATS = ("application/x-ndjson", "text/csv", "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet")
_PARAMETERS: list[Schema] = [
    {
        "name": "on_error",
        "in": "query",
        "description": "What becomes of a bad row: it has an `error` (`null`), is left out, or ends the stream.",
        "schema": {"type": "string", "enum": list(ON_ERROR), "default": "null"},
    },
    {
        "name": "summary",
        "in": "query",
        "description": "Whether JSON lines end with one that counts them.",
        "schema": {"type": "boolean", "default": True},
    },
]


def stream_operation(headers: Mapping[str, Any], problems: Mapping[str, Any]) -> Schema:
    """What the paths that end in ``/predict/stream`` have beside names, tags and path parameters."""
    content = {kind: {"schema": {"type": "string"}} for kind in _FORMATS}
    return {
        "description": _DESCRIPTION,
        "parameters": _PARAMETERS,
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": {"description": "The rows and their predictions.", "headers": headers, "content": content},
            **problems,
        },
    }
