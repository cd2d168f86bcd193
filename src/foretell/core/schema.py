"""JSON Schemas (2020-12, as OpenAPI 3.1 has them) of requests and answers, derived from a signature.

A request schema says what validation accepts, no more and no less, as far as JSON Schema can say it. It cannot say that
a key stands twice, nor that a tensor's free dimension is the same in all rows.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from foretell.core.cells import INT64_MAX, INT64_MIN
from foretell.core.limits import BodyLimits
from foretell.core.signature import Column, ColumnType, Output, Signature, Tensor
from foretell.core.values import display_names

Schema = dict[str, Any]

_LIMITS = BodyLimits()
_RESERVED = frozenset({"features", "instances", "model_version"})
_NAMES_OF_TYPES = {
    ColumnType.FLOAT: "number",
    ColumnType.INTEGER: "integer",
    ColumnType.BOOLEAN: "boolean",
}


def request_schema(
    signature: Signature, many: bool, limits: BodyLimits = _LIMITS, versions: Sequence[str] | None = None
) -> Schema:
    """What ``validation.bind`` accepts on a single path, or on a batch path where ``many``.

    ``versions`` are those ``model_version`` may name; None allows any text, an empty sequence leaves the key out.
    """
    version = _version(versions)
    if many:
        rows = {"type": "array", "items": _row(signature, limits), "minItems": 1, "maxItems": limits.max_rows}
        return {"anyOf": [_object({key: rows}, version) for key in ("features", "instances")]}
    forms = [_object({"features": _row(signature, limits)}, version)]
    if top_level := _top_level(signature, limits, version):
        forms.append(top_level)
    return forms[0] if len(forms) == 1 else {"anyOf": forms}


def _version(versions: Sequence[str] | None) -> dict[str, Schema]:
    if versions is None:
        return {"model_version": {"type": "string"}}
    return {"model_version": {"type": "string", "enum": list(versions)}} if versions else {}


def _top_level(signature: Signature, limits: BodyLimits, version: dict[str, Schema]) -> Schema | None:
    columns = [column for column in signature.columns if column.name not in _RESERVED]
    unsayable = any(not column.nullable for column in signature.columns if column.name in _RESERVED)
    if not signature.columns or not signature.named or unsayable:
        return None
    required, optional = _by_name(columns, limits)
    return _object(required, {**optional, **version})


def _object(required: dict[str, Schema], optional: dict[str, Schema]) -> Schema:
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": list(required),
        "additionalProperties": False,
    }


def _row(signature: Signature, limits: BodyLimits) -> Schema:
    if signature.tensors:
        return _tensor_row(signature.tensors, limits)
    cells = [{"title": column.name, **column_schema(column, limits)} for column in signature.columns]
    listed = {
        "type": "array",
        "prefixItems": cells,
        "items": False,
        "minItems": len(cells),
        "maxItems": len(cells),
    }
    return {"anyOf": [listed, _object(*_by_name(signature.columns, limits))]}


def _by_name(columns: Sequence[Column], limits: BodyLimits) -> tuple[dict[str, Schema], dict[str, Schema]]:
    """Schemas of required and of optional columns."""
    required = {column.name: column_schema(column, limits) for column in columns if not column.nullable}
    return required, {column.name: column_schema(column, limits) for column in columns if column.nullable}


def column_schema(column: Column, limits: BodyLimits = _LIMITS) -> Schema:
    """What one cell of the column may be."""
    name = _NAMES_OF_TYPES.get(column.type, "string")
    schema: Schema = {"type": [name, "null"] if column.nullable else name}
    match column.type:
        case ColumnType.FLOAT:
            schema |= _range(column, -sys.float_info.max, sys.float_info.max)
        case ColumnType.INTEGER:
            schema |= _range(column, INT64_MIN, INT64_MAX)
        case ColumnType.STRING | ColumnType.CATEGORY:
            schema |= _text(column, limits)
        case ColumnType.DATETIME:
            schema["format"] = "date-time"
    if column.description is not None:
        schema["description"] = column.description
    if column.example is not None:
        schema["examples"] = [column.example]
    return schema


def _range(column: Column, lowest: float, highest: float) -> Schema:
    low = lowest if column.minimum is None else max(lowest, column.minimum)
    high = highest if column.maximum is None else min(highest, column.maximum)
    bounds: Schema = {"minimum": low, "maximum": high}
    if column.exclusive_minimum is not None:
        bounds["exclusiveMinimum"] = column.exclusive_minimum
    if column.exclusive_maximum is not None:
        bounds["exclusiveMaximum"] = column.exclusive_maximum
    return {
        key: int(bound) if float(bound).is_integer() and abs(bound) < 2**53 else bound for key, bound in bounds.items()
    }


def _text(column: Column, limits: BodyLimits) -> Schema:
    longest = column.longest(limits.max_text_chars)
    schema: Schema = {"maxLength": longest}
    if column.pattern is not None:
        schema["pattern"] = column.pattern
    if column.closed:
        schema["enum"] = [*(column.categories or ()), *([None] if column.nullable else [])]
    return schema


def _tensor_row(tensors: Sequence[Tensor], limits: BodyLimits) -> Schema:
    nested = {tensor.name: _nested(tensor, limits) for tensor in tensors}
    by_name = _object(nested, {})
    return {"anyOf": [*nested.values(), by_name]} if len(nested) == 1 else by_name


def _nested(tensor: Tensor, limits: BodyLimits) -> Schema:
    schema = _element(tensor.dtype, limits)
    for size in reversed(tensor.shape[1:]):
        sizes = {"minItems": 1} if size == -1 else {"minItems": size, "maxItems": size}
        schema = {"type": "array", "items": schema, **sizes}
    return {**schema, "description": tensor.description} if tensor.description else schema


def _element(dtype: str, limits: BodyLimits) -> Schema:
    if dtype == "string":
        return {"type": "string", "maxLength": limits.max_text_chars}
    if dtype == "bool":
        return {"type": "boolean"}
    if dtype.startswith("float"):
        highest = float(np.finfo(dtype).max)
        return {"type": "number", "minimum": -highest, "maximum": highest}
    bounds = np.iinfo(dtype)
    return {"type": "integer", "minimum": int(bounds.min), "maximum": int(bounds.max)}


# -- answers -----------------------------------------------------------------------------------------------------------


def response_schema(signature: Signature, many: bool) -> Schema:
    """The answer of a single path, or of a batch path where ``many``. What a model cannot give is not in it."""
    output = signature.output
    prediction, name = _prediction(output), _class_name(output)
    probability: Schema | None = None
    if output.probabilities:
        count = {"minItems": len(output.classes), "maxItems": len(output.classes)} if output.classes else {}
        probability = {"type": "array", "items": {"type": "number"}, **count, "description": "In the order of classes."}
    if many:
        return _many_answers(prediction, name, probability)
    optional: dict[str, Schema] = {} if name is None else {"class_name": name}
    if probability is not None:
        optional |= {
            "confidence": {"type": "number", "description": "The probability of the prediction."},
            "probability": probability,
            "top": _top(prediction, name),
        }
    return _answer(
        {"status": {"const": "success"}, "prediction": prediction},
        {"timestamp": {"type": "string", "format": "date-time"}, "inference_time_ms": {"type": "number", "minimum": 0}},
        optional,
    )


def _many_answers(prediction: Schema, name: Schema | None, probability: Schema | None) -> Schema:
    def each(schema: Schema) -> Schema:
        return {"type": "array", "items": schema}

    optional: dict[str, Schema] = {} if name is None else {"class_names": each(name)}
    if probability is not None:
        optional |= {
            "confidences": each({"type": "number"}),
            "probabilities": {**each(probability), "description": "With ?probabilities=true."},
            "top": each(_top(prediction, name)),
        }
    return _answer(
        {"predictions": {**each(prediction), "description": "In the order of the request."}},
        {"batch_size": {"type": "integer", "minimum": 1}, "total_time_ms": {"type": "number", "minimum": 0}},
        optional,
    )


def _answer(first: dict[str, Schema], last: dict[str, Schema], optional: dict[str, Schema]) -> Schema:
    identity: dict[str, Schema] = {
        "model": {"type": "string"},
        "model_version": {"type": "string"},
        "prediction_id": {"type": "string", "description": "Sorts by time."},
    }
    required = {**first, **identity, **last}
    return {"type": "object", "properties": {**required, **optional}, "required": list(required)}


def _prediction(output: Output) -> Schema:
    match output.kind:
        case "tensors":
            return {"description": "Nested lists, by name where there are several."}
        case "regression":
            one: Schema = {"type": "number"}
        case _:
            one = {"enum": list(output.classes)} if output.classes else {"type": ["string", "number", "boolean"]}
    if not output.several:
        return one
    size = len(output.names)
    described = f"In this order: {', '.join(output.names)}."
    return {"type": "array", "items": one, "minItems": size, "maxItems": size, "description": described}


def _class_name(output: Output) -> Schema | None:
    if output.kind != "classification" or output.several:
        return None
    names = display_names(output)
    if names is not None:
        return {"type": "string", "enum": list(dict.fromkeys(names))}
    return None if output.classes else {"type": "string"}


def _top(prediction: Schema, name: Schema | None) -> Schema:
    properties: dict[str, Schema] = {"prediction": prediction, "probability": {"type": "number"}}
    if name is not None:
        properties["class_name"] = name
    best = {"type": "object", "properties": properties, "required": ["prediction", "probability"]}
    return {"type": "array", "items": best, "description": "With ?top_k=, best first."}
