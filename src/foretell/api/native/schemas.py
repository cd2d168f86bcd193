"""JSON Schemas (2020-12, as OpenAPI 3.1 has them) of the answers that do not depend on a model."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_NULLABLE_TEXT: Schema = {"type": ["string", "null"]}
_FLAG: Schema = {"type": "boolean"}
_MOMENT: Schema = {"type": "string", "format": "date-time", "examples": ["2026-11-20T10:30:00.000Z"]}
_ANY_OBJECT: Schema = {"type": "object", "additionalProperties": True}


def ref(name: str) -> Schema:
    """A reference to a component schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def _object(required: dict[str, Schema], optional: dict[str, Schema] | None = None, **more: Any) -> Schema:
    return {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required), **more}


_IDENTITY: dict[str, Schema] = {"model": _TEXT, "model_version": _TEXT, "prediction_id": _TEXT}


def _any_request(what: str, schema: Schema) -> Schema:
    described = (
        f"{what}, as lists in column order or as objects by column name; `GET /models/{{model}}` has the signature"
    )
    return {"type": "object", "properties": {"features": {**schema, "description": described}, "model_version": _TEXT}}


_STATES = ["found", "loading", "warming", "ready", "failed", "retiring", "retired"]
_COUNT: Schema = {"type": "integer", "minimum": 0}

_FAULT = _object(
    {"message": _TEXT, "code": _TEXT},
    {
        "pointer": {**_TEXT, "description": "JSON pointer into the body (RFC 6901)."},
        "parameter": {**_TEXT, "description": "The query parameter or header, where the fault is not in the body."},
        "row": {**_COUNT, "description": "Row of a batch, from 0."},
        "expected": {},
        "got": {},
        "value": {**_TEXT, "description": "The offending value, clipped to 64 characters."},
        "suggestion": _TEXT,
    },
)

_VERSION_HEAD = _object(
    {"version": _TEXT, "state": {"type": "string", "enum": _STATES}},
    {
        "reason": _object({"code": _TEXT, "detail": _TEXT}),
        "model_type": _TEXT,
        "runtime": _TEXT,
        "loaded_at": _MOMENT,
        "digest": _TEXT,
    },
)

_DETAILS: dict[str, Schema] = {
    "model_type": _TEXT,
    "runtime": _TEXT,
    "digest": _TEXT,
    "created_at": {**_MOMENT, "type": ["string", "null"]},
    "loaded_at": _MOMENT,
    "load_seconds": {"type": "number"},
    "signature": ref("Signature"),
    "example": {"description": "One row as `features` takes it."},
    "parameters": _ANY_OBJECT,
    "metadata": _ANY_OBJECT,
    "libraries": {"type": "object", "additionalProperties": _TEXT},
    "cache": {
        **_object(
            {
                "hits": {**_COUNT, "description": "Answers that the model was not asked for, in this worker."},
                "misses": {**_COUNT, "description": "Answers that it was asked for."},
                "shared": {**_COUNT, "description": "Hits that waited for the answer to an equal request."},
                "errors": {**_COUNT, "description": "Lookups that failed, and answers that could not be kept."},
                "rejected": {**_COUNT, "description": "Values of the shared store that were not believed."},
                "entries": _COUNT,
                "bytes": _COUNT,
                "max_bytes": _COUNT,
                "ttl_s": {"type": "number"},
                "shared_store": {
                    **_object({"name": _TEXT, "available": _FLAG}),
                    "type": ["object", "null"],
                },
            }
        ),
        "type": ["object", "null"],
        "description": "Null where answers of this version are not remembered.",
    },
    "execution": _object(
        {
            "mode": {"type": "string", "enum": ["direct", "threaded"]},
            "waiting_rows": _COUNT,
            "costs": _ANY_OBJECT,
            "served": _object({"lane": _COUNT, "ordinary": _COUNT, "rows": _COUNT}),
        }
    ),
}

_MODEL_HEAD: dict[str, Schema] = {
    "name": _TEXT,
    "default": _FLAG,
    "state": {"type": "string", "enum": _STATES},
    "aliases": {"type": "object", "additionalProperties": _TEXT},
    "versions": {"type": "array", "items": ref("VersionHead")},
}

COMPONENTS: dict[str, Schema] = {
    "Problem": _object(
        {
            "type": {"type": "string", "format": "uri"},
            "title": _TEXT,
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": _TEXT,
            "code": {**_TEXT, "description": "Stable; programs may rely on it."},
            "request_id": _TEXT,
        },
        {
            "hint": _TEXT,
            "errors": {"type": "array", "items": _FAULT, "description": "As many faults as fit into 4 KB."},
            "errors_total": {**_COUNT, "description": "All faults there are."},
        },
        description="RFC 9457, at most 4 KB.",
    ),
    "Signature": {
        **_object(
            {"output": _ANY_OBJECT}, {"columns": {"type": "array"}, "tensors": {"type": "array"}, "named": _FLAG}
        ),
        "description": "What the model takes and gives.",
    },
    "VersionHead": _VERSION_HEAD,
    "Models": _object(
        {"default_model": _NULLABLE_TEXT, "models": {"type": "array", "items": _object(_MODEL_HEAD)}},
    ),
    "Model": _object(_MODEL_HEAD, {"latest": _object({"version": _TEXT, **_DETAILS})}),
    "Version": _object({"model": _TEXT, **_VERSION_HEAD["properties"]} | {}, _DETAILS)
    | {"required": ["model", "version", "state"]},
    "ModelInfo": _object(
        {
            "model_name": _TEXT,
            "model_version": _TEXT,
            "model_type": _TEXT,
            "loaded_at": _MOMENT,
            "parameters": _ANY_OBJECT,
            "signature": ref("Signature"),
        }
    ),
    "Health": _object(
        {
            "status": {"type": "string", "enum": ["healthy", "unhealthy"]},
            "model_loaded": _FLAG,
            "uptime_seconds": {"type": "number", "minimum": 0},
            "timestamp": _MOMENT,
        },
        {
            "model_name": _NULLABLE_TEXT,
            "model_version": _NULLABLE_TEXT,
            "models": {
                "type": "object",
                "additionalProperties": _object({"model_loaded": _FLAG, "model_version": _NULLABLE_TEXT}),
            },
        },
    ),
    "Live": _object({"status": {"const": "alive"}}),
    "Ready": _object(
        {"status": {"type": "string", "enum": ["ready", "not_ready"]}},
        {"reason": _TEXT, "waiting_for": {"type": "array", "items": _TEXT}},
    ),
    "AnyRequest": _any_request("one row", {}),
    "AnyBatchRequest": _any_request("rows", {"type": "array"}),
    "AnyAnswer": _object({"status": {"const": "success"}, "prediction": {}, **_IDENTITY}),
    "AnyBatchAnswer": _object({"predictions": {"type": "array"}, **_IDENTITY, "batch_size": _COUNT}),
    "Index": _object({"name": _TEXT, "version": _TEXT, "links": {"type": "object", "additionalProperties": _TEXT}}),
}
