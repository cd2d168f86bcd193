"""Each operation of the native API as OpenAPI 3.1 describes it."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from foretell.api.native.parameters import MAX_TOP_K
from foretell.api.native.schemas import Schema, ref
from foretell.api.problems import MEDIA_TYPE
from foretell.core.limits import BodyLimits
from foretell.lifecycle.servable import Servable

_SUMMARIES = {
    "predict": "One prediction",
    "predict_batch": "Many predictions",
    "predict_model": "One prediction from a named model",
    "predict_batch_model": "Many predictions from a named model",
    "predict_version": "One prediction from a named version",
    "predict_batch_version": "Many predictions from a named version",
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
}
_READ_PROBLEMS = {"model": (404,), "model_version": (404, 503), "model_info": (400, 404, 503)}
_NAME: Schema = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"}
_REQUEST_ID_HEADER = {"X-Request-ID": {"description": "The caller's own, or ours.", "schema": {"type": "string"}}}


class Target(NamedTuple):
    """Whose signature a predict operation is described by; None where any model may be meant."""

    servable: Servable | None
    named: bool


class Operations:
    """Makes operations. ``limits`` bound what request schemas allow."""

    def __init__(self, limits: BodyLimits) -> None:
        self._limits = limits

    def operation(self, name: str, path: str, target: Target) -> dict[str, Any]:
        """The operation called ``name`` at ``path``."""
        summary = _SUMMARIES[name]
        tag = "info"
        if name.startswith("predict"):
            tag = "predict"
            if target.named and target.servable is not None:
                tag = target.servable.ref.model
                summary = f"{summary} from {tag}"
        operation: dict[str, Any] = {
            "operationId": _operation_id(path, name),
            "summary": summary,
            "tags": [tag],
            "parameters": [_path_parameter(name) for name in re.findall(r"{(\w+)}", path)],
        }
        if name.startswith("predict"):
            described = None if "{" in path else target.servable
            operation["parameters"] += _PREDICT_PARAMETERS
            operation |= self._predict(described, many="batch" in name)
        else:
            operation["responses"] = _read_responses(name)
        return operation

    def _predict(self, servable: Servable | None, *, many: bool) -> dict[str, Any]:
        return {
            "requestBody": {"required": True, "content": _request_content(servable, self._limits, many)},
            "responses": {
                "200": {
                    "description": "The predictions." if many else "The prediction.",
                    "headers": _REQUEST_ID_HEADER,
                    "content": _answer_content(servable, many),
                },
                **{str(status): _problem(status) for status in _PROBLEMS},
            },
        }


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
    {
        "name": "X-Request-Timeout",
        "in": "header",
        "description": "Seconds the caller waits; the server's own limit holds where that is shorter.",
        "schema": {"type": "number", "exclusiveMinimum": 0},
    },
]


def _operation_id(path: str, name: str) -> str:
    return re.sub(r"\W+", "_", f"{name}_{path}").strip("_")


def _path_parameter(name: str) -> Schema:
    meaning = {"model": "The model's name.", "version": "A version, or the alias `latest`."}[name]
    return {"name": name, "in": "path", "required": True, "description": meaning, "schema": _NAME}


def _read_responses(name: str) -> dict[str, Any]:
    content = {"application/json": {"schema": ref(_ANSWERS[name])}}
    answer = {"description": _SUMMARIES[name] + ".", "headers": _REQUEST_ID_HEADER, "content": content}
    responses = {"200": answer, **{str(status): _problem(status) for status in _READ_PROBLEMS.get(name, ())}}
    if name in ("health", "ready"):
        responses["503"] = {**answer, "description": "Not ready; `Retry-After` says when to ask again."}
    return responses


def _problem(status: int) -> Schema:
    return {
        "description": _PROBLEMS[status],
        "headers": _REQUEST_ID_HEADER,
        "content": {MEDIA_TYPE: {"schema": ref("Problem")}},
    }


def _request_content(servable: Servable | None, limits: BodyLimits, many: bool) -> Schema:
    schema, example = _any_request(many), None
    json_content: Schema = {"schema": schema}
    if example is not None:
        json_content["example"] = example
    return {"application/json": json_content, "text/csv": {"schema": {"type": "string"}}}


def _any_request(many: bool) -> Schema:
    description = "What it has to be is in the model's signature: `GET /models/{model}`."
    key = "rows as lists or as objects" if many else "a list in column order, or an object by column name"
    return {"type": "object", "description": f"`features`: {key}. {description}"}


def _answer_content(servable: Servable | None, many: bool) -> Schema:
    return {"application/json": {"schema": {"type": "object"}}, "text/csv": {"schema": {"type": "string"}}}
