"""The bodies of the admin API: strict JSON objects, and every fault in them named at once."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from foretell.core.access.grant import Grant, read_duration, read_grant
from foretell.core.faults import clip
from foretell.core.identity import closest
from foretell.errors import Fault, InvalidInput, MalformedRequest

DEFAULT_GRACE = "24h"
_MOST_FAULTS = 100
_GRANT: Mapping[str, type] = {"name": str, "tenant": str, "scopes": list, "models": list, "rates": list, "expires": str}
_ROTATION: Mapping[str, type] = {"grace": str, "expires": str}
_NAMES: Mapping[type, str] = {str: "a text", list: "a list of texts"}


def read_grant_body(body: bytes) -> Grant:
    """The key that is asked for. Raises MalformedRequest, and InvalidInput naming every fault."""
    document, faults = _read(body, _GRANT, required=("name", "scopes"))
    grant, more = read_grant(
        document.get("name", "unnamed"),
        tenant=document.get("tenant"),
        scopes=document.get("scopes", ["predict"]),
        models=document.get("models"),
        rates=[(f"/rates/{index}", text) for index, text in enumerate(document.get("rates", []))],
        expires=document.get("expires"),
    )
    faults += more
    if grant is None or faults:
        raise _invalid(faults)
    return grant


def read_rotation_body(body: bytes) -> tuple[float, float | None]:
    """Seconds of grace for the old key, and of life for the new one (None: as long as the old one's)."""
    document, faults = _read(body, _ROTATION) if body.strip() else ({}, [])
    times: dict[str, float | None] = {"grace": None, "expires": None}
    for name, text in {"grace": DEFAULT_GRACE, **document}.items():
        try:
            times[name] = read_duration(text)
        except ValueError as error:
            faults.append(Fault("invalid_grant", str(error), f"/{name}", value=clip(text)))
    grace_s = times["grace"]
    if grace_s == math.inf:
        faults.append(Fault("invalid_grant", "must come to an end", "/grace", value="never"))
    if faults or grace_s is None:
        raise _invalid(faults)
    return grace_s, times["expires"]


class _Twice(Exception):
    """A key stands twice in one object."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        names = [name for name, _ in pairs]
        raise _Twice(next(name for name in names if names.count(name) > 1))
    return document


def _read(body: bytes, fields: Mapping[str, type], required: Iterable[str] = ()) -> tuple[dict[str, Any], list[Fault]]:
    """The fields that are of their kinds, and the faults of the others."""
    try:
        document: Any = json.loads(body.decode(), object_pairs_hook=_once)
    except _Twice as error:
        raise MalformedRequest(
            f"The key {clip(str(error))!r} stands twice.", code="duplicate_key", hint=_HINT
        ) from None
    except (ValueError, RecursionError):
        raise MalformedRequest("The body is not JSON.", code="malformed_json", hint=_HINT) from None
    if not isinstance(document, dict):
        raise MalformedRequest("The body must be a JSON object.", code="not_an_object", hint=_HINT)
    read: dict[str, Any] = {}
    faults: list[Fault] = []
    for name, value in list(document.items())[:_MOST_FAULTS]:
        found = [] if value is None else _field_faults(name, value, fields)
        faults += found
        if value is not None and not found:
            read[name] = value  # null is as if it were left out
    faults += [_fault(f"/{name}", "is missing") for name in required if document.get(name) is None]
    return read, faults


def _field_faults(name: str, value: Any, fields: Mapping[str, type]) -> list[Fault]:
    kind = fields.get(name)
    if kind is None:
        said = f"is not known here; known are {', '.join(fields)}"
        return [_fault(f"/{_escaped(name)}", said, None, closest(name, fields))]
    if not isinstance(value, kind):
        return [_fault(f"/{name}", f"must be {_NAMES[kind]}", _shown(value))]
    if isinstance(value, list):
        wrong = [index for index, item in enumerate(value) if not isinstance(item, str)]
        return [_fault(f"/{name}/{index}", "must be a text", _shown(value[index])) for index in wrong[:_MOST_FAULTS]]
    return []


def _shown(value: Any) -> str | None:
    return str(value) if isinstance(value, str | int | float) else None


_HINT = 'such as {"name": "partner-x", "scopes": ["predict"], "models": ["iris"], "rates": ["100/m"], "expires": "90d"}'


def _fault(pointer: str, message: str, value: str | None = None, suggestion: str | None = None) -> Fault:
    return Fault("invalid_grant", message, pointer, value=value and clip(value), suggestion=suggestion)


def _escaped(name: str) -> str:
    return name[:64].replace("~", "~0").replace("/", "~1")


def _invalid(faults: list[Fault]) -> InvalidInput:
    first = faults[0]
    meant = f" Did you mean {first.suggestion!r}?" if first.suggestion else ""
    more = f" {len(faults)} faults in all." if len(faults) > 1 else ""
    return InvalidInput(f"{first.pointer} {first.message}.{meant}{more}", faults=faults, code="invalid_grant")
