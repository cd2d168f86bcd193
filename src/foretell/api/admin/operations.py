"""The operations of the admin API as OpenAPI 3.1 describes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from foretell.api.admin.queries import MOST_ENTRIES
from foretell.api.problems import MEDIA_TYPE
from foretell.core.access.grant import MAX_MODELS, MAX_RATES
from foretell.core.access.rates import UNITS
from foretell.core.access.scopes import SCOPES

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_NULLABLE: Schema = {"type": ["string", "null"]}
_MOMENT: Schema = {"type": "string", "format": "date-time"}
_NULLABLE_MOMENT: Schema = {"type": ["string", "null"], "format": "date-time"}
_SCOPE_LIST: Schema = {"type": "array", "items": {"enum": list(SCOPES)}, "minItems": 1}
_MODEL_LIST: Schema = {"type": ["array", "null"], "items": _TEXT, "maxItems": MAX_MODELS}
_RATE_LIST: Schema = {"type": "array", "items": _TEXT, "maxItems": MAX_RATES}
_LIFETIME = "A time such as `90d`, `24h` or `1y`, or `never`."


def _object(required: Schema, optional: Schema | None = None) -> Schema:
    return {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required)}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_KEY: Schema = {
    "id": {**_TEXT, "description": "Stands in the key's text, after `ft_`."},
    "name": _TEXT,
    "tenant": _TEXT,
    "state": {"enum": ["active", "replaced", "expired", "revoked"]},
    "scopes": _SCOPE_LIST,
    "models": {**_MODEL_LIST, "description": "The models it may use; null: all."},
    "rates": _RATE_LIST,
    "created": _MOMENT,
    "expires": _NULLABLE_MOMENT,
    "revoked": _NULLABLE_MOMENT,
    "last_used": {**_NULLABLE_MOMENT, "description": "True to about a minute."},
    "replaced_by": {**_NULLABLE, "description": "The id of the key that a rotation put in its place."},
}

SCHEMAS: Mapping[str, Schema] = {
    "Key": _object(_KEY),
    "NewKey": _object({**_KEY, "key": {**_TEXT, "description": "The key itself; it is never shown again."}}),
    "Keys": _object({"keys": {"type": "array", "items": _ref("Key")}}),
    "RevokedKeys": _object({"revoked": {"type": "array", "items": _ref("Key")}}),
    "KeyRequest": {
        **_object(
            {"name": {**_TEXT, "minLength": 1, "maxLength": 128}, "scopes": _SCOPE_LIST},
            {
                "tenant": {**_NULLABLE, "description": "Whose data it works on. Default: the name."},
                "models": {**_MODEL_LIST, "description": "The models it may use. Default: all."},
                "rates": {**_RATE_LIST, "description": "Such as `100/m`, `1M/month`, `5k rows/h`."},
                "expires": {**_NULLABLE, "description": f"{_LIFETIME} Default: `never`."},
            },
        ),
        "additionalProperties": False,
        "example": {"name": "partner-x", "scopes": ["predict"], "models": ["iris"], "rates": ["100/m"]},
    },
    "RotationRequest": {
        **_object(
            {},
            {
                "grace": {**_NULLABLE, "description": "How long the old key stays valid. Default: `24h`."},
                "expires": {**_NULLABLE, "description": f"{_LIFETIME} Default: as long as the old key."},
            },
        ),
        "additionalProperties": False,
        "example": {"grace": "24h"},
    },
    "AuditEntry": _object(
        {
            "id": {"type": "integer"},
            "at": _MOMENT,
            "actor": {**_TEXT, "description": "A principal, or `cli:USER`."},
            "action": _TEXT,
            "target": _TEXT,
            "before": {"type": ["object", "null"]},
            "after": {"type": ["object", "null"]},
            "request_id": _NULLABLE,
            "address": _NULLABLE,
        }
    ),
    "Audit": _object(
        {
            "entries": {"type": "array", "items": _ref("AuditEntry"), "description": "The newest first."},
            "next_before": {"type": ["integer", "null"], "description": "`before` of the next page; null: none."},
        }
    ),
    "UsageLine": _object(
        {
            "day": {"type": "string", "format": "date", "description": "In UTC."},
            "principal": {**_TEXT, "description": "Such as `key:partner-x`."},
            "tenant": _TEXT,
            "model": {**_TEXT, "description": "Empty where no model was asked."},
            **{unit: {"type": "integer"} for unit in UNITS},
        }
    ),
    "Usage": _object({"usage": {"type": "array", "items": _ref("UsageLine"), "description": "The oldest day first."}}),
}

_PROBLEMS = {
    "400": "The request cannot be read as this request.",
    "401": "No valid credential.",
    "403": "The credential does not have the scope `admin`.",
    "404": "There is no such key.",
    "409": "It contradicts what there is.",
    "413": "The body is too large.",
    "422": "A value is wrong; every fault is named.",
    "503": "The state cannot be reached now.",
    "507": "The disk is full.",
}
_ALWAYS = ("401", "403", "503")
_WRITES = (*_ALWAYS, "507")
_BODY = ("400", "413", "422")
_ID: Schema = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "A key's id or name.",
    "schema": _TEXT,
}
_PAGE: list[Schema] = [
    {"name": "since", "in": "query", "description": "A date or time.", "schema": _TEXT},
    {"name": "before", "in": "query", "description": "`next_before` of a page.", "schema": {"type": "integer"}},
    {
        "name": "limit",
        "in": "query",
        "schema": {"type": "integer", "minimum": 1, "maximum": MOST_ENTRIES, "default": 100},
    },
]


_USAGE: list[Schema] = [
    {
        "name": "since",
        "in": "query",
        "description": "The first day, in UTC. Default: 30 days, today among them.",
        "schema": _TEXT,
    },
    {"name": "until", "in": "query", "description": "The last day. Default: today.", "schema": _TEXT},
    {"name": "key", "in": "query", "description": "A key's name, or a whole principal.", "schema": _TEXT},
    {"name": "model", "in": "query", "description": "A model's name.", "schema": _TEXT},
]


def _operation(
    name: str,
    summary: str,
    answer: str,
    problems: tuple[str, ...],
    *,
    status: str = "200",
    body: str | None = None,
    parameters: list[Schema] | None = None,
) -> Schema:
    described: Schema = {"operationId": name, "summary": summary, "tags": ["admin"], "parameters": parameters or []}
    if body is not None:
        content = {"application/json": {"schema": _ref(body)}}
        described["requestBody"] = {"required": body == "KeyRequest", "content": content}
    described["responses"] = {
        status: {"description": f"{summary}.", "content": {"application/json": {"schema": _ref(answer)}}},
        **{
            problem: {"description": _PROBLEMS[problem], "content": {MEDIA_TYPE: {"schema": _ref("Problem")}}}
            for problem in sorted(problems)
        },
    }
    return described


def _with_csv(operation: Schema) -> Schema:
    operation["responses"]["200"]["content"]["text/csv"] = {"schema": _TEXT}
    return operation


OPERATIONS: Mapping[str, Schema] = {
    "admin_keys": _operation("admin_keys", "All keys, without their secrets", "Keys", _ALWAYS),
    "admin_key_create": _operation(
        "admin_key_create",
        "A new key",
        "NewKey",
        (*_WRITES, *_BODY, "409"),
        status="201",
        body="KeyRequest",
    ),
    "admin_key": _operation("admin_key", "One key", "Key", (*_ALWAYS, "404"), parameters=[_ID]),
    "admin_key_revoke": _operation(
        "admin_key_revoke", "Revoke a key", "RevokedKeys", (*_WRITES, "404", "409"), parameters=[_ID]
    ),
    "admin_key_rotate": _operation(
        "admin_key_rotate",
        "A new key in place of one",
        "NewKey",
        (*_WRITES, *_BODY, "404", "409"),
        status="201",
        body="RotationRequest",
        parameters=[_ID],
    ),
    "admin_audit": _operation("admin_audit", "The audit trail", "Audit", (*_ALWAYS, "400"), parameters=_PAGE),
    "admin_usage": _with_csv(
        _operation(
            "admin_usage", "What was used per day, principal and model", "Usage", (*_ALWAYS, "400"), parameters=_USAGE
        )
    ),
}
