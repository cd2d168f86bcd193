"""Holding nested lists against tensors: ranks and lengths are checked before an array is made.

A row is the tensor without its batch axis. With one tensor a row is the nested list itself or an object with the
tensor's name; with several it is an object. A dimension of any length must be the same in all rows of a request.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from foretell.core.cells import kind_of
from foretell.core.document import Document
from foretell.core.faults import Faults, clip
from foretell.core.gathering import Gathering
from foretell.core.limits import BodyLimits
from foretell.core.rows import (
    Place,
    batch_expected,
    check_count,
    place_of,
    refuse_missing,
    refuse_shape,
    single_expected,
)
from foretell.core.signature import Signature
from foretell.core.tensor_array import bind_tensor
from foretell.core.values import Tensors

_TABLES = {"csv": "CSV", "arrow": "Arrow", "parquet": "Parquet"}


def bind_tensors(document: Document, signature: Signature, limits: BodyLimits, faults: Faults) -> Tensors:
    """The document's rows as arrays; raises as ``validation.bind`` promises."""
    if isinstance(document.payload, np.ndarray):
        return bind_tensor(document, document.payload, signature, limits, faults)
    if document.origin in _TABLES:
        format_name = _TABLES[document.origin]
        message = f"this model takes tensors, which {format_name} cannot carry"
        detail = f"Model {faults.label} takes tensors, which {format_name} cannot carry; send JSON."
        faults.add("wrong_shape", message, malformed=True, detail=detail)
        raise faults.error()
    for key in document.beside:
        near = (key, ("features", "instances", "model_version"))
        faults.add("unknown_field", f"'{clip(key)}' is not part of a request", (key,), near=near)
    rows = _rows(document, signature, limits, faults)
    gathered = [Gathering(tensor, limits, faults) for tensor in signature.tensors]
    place = place_of(document)
    for index, row in enumerate(rows):
        number = None if document.single else index
        _gather_row(gathered, row, place if document.single else (*place, index), number, faults)
    faults.refuse()
    return Tensors({item.tensor.name: item.array(len(rows)) for item in gathered})


def _rows(document: Document, signature: Signature, limits: BodyLimits, faults: Faults) -> list[Any]:
    payload = document.payload
    if not document.place:
        refuse_missing(payload, signature, faults)
    if document.single:
        rank = len(signature.tensors[0].shape[1:])
        if len(signature.tensors) == 1 and _depth(payload) == rank + 1:
            raise single_expected(document)
        if isinstance(payload, list) and payload and isinstance(payload[0], dict):
            raise single_expected(document)
        return [payload]
    if isinstance(payload, dict):
        raise batch_expected(document)
    if not isinstance(payload, list):
        refuse_shape(document, "a list of rows", faults)
    check_count(document, len(payload), limits, faults)
    if len(signature.tensors) == 1 and 0 < _depth(payload) == len(signature.tensors[0].shape[1:]):
        raise batch_expected(document)
    return list(payload)


def _depth(value: Any) -> int:
    """How many lists stand inside each other, going by the first item of each; 0 for what is no list."""
    depth = 0
    while isinstance(value, list):
        depth += 1
        value = value[0] if value else None
    return depth


def _gather_row(gathered: Sequence[Gathering], row: Any, place: Place, number: int | None, faults: Faults) -> None:
    if len(gathered) == 1 and not isinstance(row, dict):
        gathered[0].add(row, place, number)
        return
    names = [item.tensor.name for item in gathered]
    if not isinstance(row, dict):
        message = f"expected an object with {', '.join(map(clip, names))}, got {kind_of(row)}"
        faults.add("wrong_shape", message, place, row=number, got=kind_of(row), malformed=True)
        return
    for key in row:
        if key not in names:
            message = f"the model has no tensor '{clip(key)}'"
            faults.add("unknown_column", message, (*place, key), row=number, near=(key, names))
    for item in gathered:
        if item.tensor.name in row:
            item.add(row[item.tensor.name], (*place, item.tensor.name), number)
        else:
            message = f"the tensor '{clip(item.tensor.name)}' is missing"
            faults.add("missing_column", message, (*place, item.tensor.name), row=number, expected=item.tensor.dtype)
