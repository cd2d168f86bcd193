"""Each operation of the native API as OpenAPI 3.1 describes it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from foretell.api.native.media import answer_content, request_content
from foretell.api.native.parameters import MAX_TOP_K
from foretell.api.native.schemas import Schema, ref
from foretell.api.native.stream_operation import stream_operation
from foretell.api.problems import MEDIA_TYPE
from foretell.codecs.base import Codec
from foretell.codecs.negotiate import JSON, offered
from foretell.core.limits import BodyLimits
from foretell.core.schema import request_schema, response_schema
from foretell.lifecycle.catalog import ModelVersions
from foretell.lifecycle.servable import Servable

_SUMMARIES = {
    "predict": "One prediction",
    "predict_batch": "Many predictions",
    "predict_batch_alias": "Many predictions, under another name",
    "predict_model": "One prediction from a named model",
    "predict_batch_model": "Many predictions from a named model",
    "predict_version": "One prediction from a named version",
    "predict_batch_version": "Many predictions from a named version",
    "predict_stream": "Predictions without end",
    "predict_stream_model": "Predictions without end from a named model",
    "predict_stream_version": "Predictions without end from a named version",
    "predict_default_version": "One prediction from a version of the default model",
    "models": "All models",
    "model": "One model",
    "model_version": "One version",
    "model_info": "The default model in short",
    "health": "Health for people",
    "live": "Liveness probe",
    "ready": "Readiness probe",
    "index": "What is here",
}
_ANSWERS = {
    "models": "Models",
    "model": "Model",
    "model_version": "Version",
    "model_info": "ModelInfo",
    "health": "Health",
    "live": "Live",
    "ready": "Ready",
    "index": "Index",
}
_PROBLEMS = {
    400: "The request cannot be read as this request.",
    404: "No such model or version; the answer lists those that exist.",
    406: "No format that the caller takes.",
    413: "The body is larger than `limits.max_body_bytes`.",
    415: "The body's format is not read here.",
    422: "A value is wrong.",
    500: "The model failed on valid input.",
    503: "Not now: no version is ready, too much is waiting, or the server is stopping.",
    504: "The time allowed has passed.",
    507: "The server's disk has no room for a Parquet file, which it keeps until it is whole.",
}
REFUSALS = {
    401: "No valid credential.",
    403: "A valid credential that does not reach this far.",
    429: "A rate or quota is used up; `Retry-After` says until when.",
}
"""What every operation may answer that is not open to all."""
_NO_STREAM_PROBLEMS = tuple(status for status in _PROBLEMS if status != 507)
_READ_PROBLEMS = {"model": (404,), "model_version": (404, 503), "model_info": (400, 404, 503)}
_NAME: Schema = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"}
_REQUEST_ID_HEADER = {"X-Request-ID": {"description": "The caller's own, or ours.", "schema": {"type": "string"}}}

_CACHE_HEADER = {
    "X-Cache": {
        "description": "Whether the answer was remembered; absent for models without a cache.",
        "schema": {"type": "string", "enum": ["hit", "miss"]},
    }
}


class Target(NamedTuple):
    """The model a predict operation is described for: its newest ready version, and what ``model_version`` may name."""

    servable: Servable
    versions: tuple[str, ...]

    @classmethod
    def of(cls, model: ModelVersions) -> Target | None:
        """The target for a model; None where no version of it is ready. Only versions that take the same are named."""
        latest = model.latest
        if latest is None:
            return None
        alike = [version for version, servable in model.table.items() if servable.signature == latest.signature]
        return cls(latest, tuple(version for version in alike if version is not None))


def operation(name: str, path: str, target: Target | None, codecs: Sequence[Codec], *, own: bool = False) -> Schema:
    """The operation called ``name`` at ``path``; ``own`` where the path is one model's own.

    ``codecs`` are those of the server; described are the formats they offer.
    """
    summary, tag = _SUMMARIES[name], "predict" if name.startswith("predict") else "info"
    if own and target is not None:
        tag = target.servable.ref.model
        summary = f"{summary} from {tag}"
    described: Schema = {
        "operationId": re.sub(r"[^\w.-]+", "_", name + path).strip("_"),
        "summary": summary,
        "tags": [tag],
        "parameters": [_path_parameter(parameter) for parameter in re.findall(r"{(\w+)}", path)],
    }
    if not name.startswith("predict"):
        return {**described, "responses": _read_responses(name)}
    if "stream" in name:
        made = stream_operation(_REQUEST_ID_HEADER, {str(status): problem(status) for status in _PROBLEMS})
        return {**described, **made, "parameters": described["parameters"] + made["parameters"]}
    target = None if "{model}" in path else target
    if target is None or target.servable.signature.output.probabilities:
        described["parameters"] += _PREDICT_PARAMETERS
    many = "batch" in name
    media_types = [codec.media_type for codec in offered(codecs, many=many)] or [JSON]  # before the start there is none
    return described | {"description": _PREDICT_DESCRIPTION} | _predict(target, media_types, many=many)


def _predict(target: Target | None, media_types: Sequence[str], *, many: bool) -> Schema:
    kind = "Batch" if many else ""
    owner = "Any" if target is None else f"{target.servable.ref.model}."
    servable = None if target is None else target.servable
    return {
        "requestBody": {
            "required": True,
            "content": request_content(f"{owner}{kind}Request", servable, media_types, many=many),
        },
        "responses": {
            "200": {
                "description": "The predictions." if many else "The prediction.",
                "headers": {**_REQUEST_ID_HEADER, **_CACHE_HEADER},
                "content": answer_content(f"{owner}{kind}Answer", servable, media_types),
            },
            **{str(status): problem(status) for status in _NO_STREAM_PROBLEMS},
        },
    }


def components(target: Target, limits: BodyLimits) -> dict[str, Schema]:
    """The schemas of one model's requests and answers."""
    signature, owner = target.servable.signature, target.servable.ref.model
    made: dict[str, Schema] = {}
    for kind, many in (("", False), ("Batch", True)):
        made[f"{owner}.{kind}Request"] = request_schema(signature, many, limits, target.versions)
        made[f"{owner}.{kind}Answer"] = response_schema(signature, many)
    return made


_PREDICT_DESCRIPTION = """\
A body in CSV has a header row by name, or none with `Content-Type: text/csv; header=absent`; in NDJSON, Arrow and
Parquet columns have names, in NPY they stand in the model's order. A form carries one file of any of these. `Accept`
chooses the format of the answer. The header `X-Request-Timeout` says how many seconds the caller waits, parts of a
second included; the server's own limit holds where that is shorter.
"""

_PREDICT_PARAMETERS: list[Schema] = [
    {
        "name": "top_k",
        "in": "query",
        "description": "Adds `top`: the most probable classes, best first. More than there are means all of them.",
        "schema": {"type": "integer", "minimum": 1, "maximum": MAX_TOP_K},
    },
    {
        "name": "probabilities",
        "in": "query",
        "description": "Whether a batch, or an answer in CSV, carries the probabilities of all classes.",
        "schema": {"type": "boolean", "default": False},
    },
]


def _path_parameter(name: str) -> Schema:
    meaning = {"model": "The model's name.", "version": "A version, or the alias `latest`."}[name]
    return {"name": name, "in": "path", "required": True, "description": meaning, "schema": _NAME}


def _read_responses(name: str) -> dict[str, Any]:
    content = {"application/json": {"schema": ref(_ANSWERS[name])}}
    answer = {"description": _SUMMARIES[name] + ".", "headers": _REQUEST_ID_HEADER, "content": content}
    responses = {"200": answer, **{str(status): problem(status) for status in _READ_PROBLEMS.get(name, ())}}
    if name in ("health", "ready"):
        responses["503"] = {**answer, "description": "Not ready; `Retry-After` says when to ask again."}
    return responses


def problem(status: int) -> Schema:
    """An answer that is a problem document."""
    return {
        "description": (_PROBLEMS | REFUSALS)[status],
        "headers": _REQUEST_ID_HEADER,
        "content": {MEDIA_TYPE: {"schema": ref("Problem")}},
    }
