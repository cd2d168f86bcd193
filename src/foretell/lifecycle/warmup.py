"""Trying a loaded model before anybody may ask it: rows to try it with, and whether its answers have the right form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.core.document import Document
from foretell.core.examples import example_row
from foretell.core.limits import BodyLimits
from foretell.core.manifest import Manifest
from foretell.core.signature import Column, ColumnType, Signature, Tensor
from foretell.core.validation import bind
from foretell.core.values import Inputs, Outputs, Tensors, assemble
from foretell.errors import ArtifactError, GoldenMismatch, LoadFailed, RequestError
from foretell.runtimes.base import Model

_ROWS = 3
_TEXT = "text"
_SHOWN_VALUES = 4096
"""A row of tensors with more values than this is no example for people."""
_MOMENT = "2026-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Trial:
    """Rows to try a model with.

    ``features`` is one of them as a caller would send it, or None where callers cannot send such a row. ``guessed``
    says that values had to be made up whose kind the signature does not tell, so that a model may rightly refuse them;
    ``refused`` that it did.
    """

    inputs: Inputs
    features: Any = None
    guessed: bool = False
    refused: bool = False


def trial_of(signature: Signature, manifest: Manifest | None, label: str) -> Trial:
    """The golden examples' inputs, else rows made up from the signature.

    Raises GoldenMismatch where the golden examples are not what the signature takes.
    """
    if manifest is not None and manifest.golden:
        rows = [_plain(golden.features) for golden in manifest.golden]
        try:
            return Trial(_bind(rows, signature, label), rows[0])
        except RequestError as error:
            raise GoldenMismatch(f"the golden examples are not what the signature takes: {_first(error)}") from None
    if signature.tensors:
        return _made_up_tensors(signature)
    guessed = any(_is_guess(column) for column in signature.columns)
    cells = [_made_up(column) for column in signature.columns]
    features = dict(zip(signature.names, cells, strict=True)) if signature.named else cells
    try:
        return Trial(_bind([features] * _ROWS, signature, label), features, guessed)
    except RequestError:
        row = [_value(column, cell) for column, cell in zip(signature.columns, cells, strict=True)]
        return Trial(assemble(signature, [row] * _ROWS), None, True)


def warm(model: Model, trial: Trial) -> Outputs | None:
    """Predicts one row of the trial, then all of them, and looks at what comes back.

    Gives the outputs of all rows; None where the model refused rows that were guessed. Raises LoadFailed where the
    answers are not what the signature promises; whatever the model raises on rows it has to know goes through.
    """
    try:
        check_outputs(model.predict(trial.inputs.part(0, 1)), model.signature, 1)
        outputs = model.predict(trial.inputs)
    except ArtifactError:
        raise
    except Exception:
        if trial.guessed:
            return None
        raise
    check_outputs(outputs, model.signature, trial.inputs.count)
    return outputs


def check_outputs(outputs: Outputs, signature: Signature, rows: int) -> None:
    """Raises LoadFailed where outputs are not ``rows`` answers of the kind the signature promises, or hold NaN."""
    fault = _outputs_fault(outputs, signature, rows)
    if fault:
        raise LoadFailed(f"tried with {rows} row{'s' if rows > 1 else ''}, {fault}")


def _outputs_fault(outputs: Any, signature: Signature, rows: int) -> str | None:
    if not isinstance(outputs, Outputs):
        return f"the model gave {type(outputs).__name__}, not outputs"
    filled = [part for part in (outputs.indices, outputs.values, outputs.tensors) if part is not None]
    if len(filled) != 1:
        return "the model gave no answer, or several kinds of answers at once"
    promised, given = signature.output, outputs.output
    if given.kind != promised.kind:
        return f"the model gave {given.kind}, the signature promises {promised.kind}"
    if outputs.tensors is not None:
        return _tensors_fault(outputs.tensors, signature, rows)
    if outputs.indices is not None:
        return _classes_fault(outputs, outputs.indices, rows)
    return _values_fault(filled[0], signature, rows)


def _values_fault(values: Any, signature: Signature, rows: int) -> str | None:
    promised = signature.output
    width = len(promised.names) if promised.several else 1
    if not values.ndim or len(values) != rows or values.ndim > 2:
        return f"the model gave answers of shape {values.shape}"
    if promised.several and values.shape[1:] != (width,):
        return f"the model gave answers of shape {values.shape}, the signature promises {width} for a row"
    return "the model answered NaN" if _has_nan(values) else None


def _classes_fault(outputs: Outputs, indices: NDArray[np.intp], rows: int) -> str | None:
    classes = outputs.output.classes or ()
    if indices.shape != (rows,):
        return f"the model gave answers of shape {indices.shape}"
    if indices.dtype.kind not in "iu" or indices.min() < 0 or indices.max() >= len(classes):
        return f"the model gave classes outside the {len(classes)} there are"
    probabilities = outputs.probabilities
    if probabilities is None:
        return None
    if probabilities.shape != (rows, len(classes)):
        return f"the model gave probabilities of shape {probabilities.shape} for {len(classes)} classes"
    return None if np.isfinite(probabilities).all() else "the model gave probabilities that are not finite"


def _tensors_fault(tensors: dict[str, NDArray[Any]], signature: Signature, rows: int) -> str | None:
    promised = {tensor.name for tensor in signature.output.tensors}
    if promised and set(tensors) != promised:
        return f"the model gave the tensors {', '.join(sorted(tensors))}, not {', '.join(sorted(promised))}"
    for name, array in tensors.items():
        if not array.ndim or len(array) != rows:
            return f"the model gave tensor {name} of shape {array.shape}"
        if _has_nan(array):
            return f"the model answered NaN in tensor {name}"
    return None


def _has_nan(values: NDArray[Any]) -> bool:
    return values.dtype.kind == "f" and bool(np.isnan(values).any())


def _bind(rows: Sequence[Any], signature: Signature, label: str) -> Inputs:
    limits = BodyLimits(max_rows=max(len(rows), _ROWS))
    return bind(Document("json", False, list(rows), "/features"), signature, limits, label)


def _first(error: RequestError) -> str:
    return error.faults[0].message if error.faults else error.detail


def _plain(value: Any) -> Any:
    """What TOML gave as JSON would have it: moments are texts."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _is_guess(column: Column) -> bool:
    texts = column.type in (ColumnType.STRING, ColumnType.CATEGORY)
    return texts and not column.categories and column.example is None


def _made_up(column: Column) -> Any:
    """A cell for the column as JSON has it, within what is declared where that is simple to meet."""
    if column.example is not None:
        return column.example
    match column.type:
        case ColumnType.FLOAT | ColumnType.INTEGER:
            number = _within(column)
            return number if column.type is ColumnType.FLOAT else math.ceil(number)
        case ColumnType.BOOLEAN:
            return False
        case ColumnType.DATETIME:
            return _MOMENT
    return column.categories[0] if column.categories else _TEXT[: column.max_length]


def _within(column: Column) -> float:
    """The number nearest to zero that the bounds allow; a step away from an exclusive one."""
    low, high = column.minimum, column.maximum
    below, above = column.exclusive_minimum, column.exclusive_maximum
    if below is not None and (low is None or low <= below):
        top = min([bound for bound in (high, above) if bound is not None], default=math.inf)
        low = min(below + 1.0, (below + top) / 2) if column.type is ColumnType.FLOAT else below + 1.0
    if above is not None and (high is None or high >= above):
        bottom = low if low is not None else -math.inf
        high = max(above - 1.0, (above + bottom) / 2) if column.type is ColumnType.FLOAT else above - 1.0
    return float(max(low if low is not None else -math.inf, min(high if high is not None else math.inf, 0.0)))


def _value(column: Column, cell: Any) -> Any:
    return datetime.fromisoformat(cell) if column.type is ColumnType.DATETIME else cell


def _made_up_tensors(signature: Signature) -> Trial:
    fixed = [tensor.shape[0] for tensor in signature.tensors if tensor.shape and tensor.shape[0] > 0]
    rows = fixed[0] if fixed else _ROWS
    arrays = {tensor.name: _zeros(tensor, rows) for tensor in signature.tensors}
    guessed = any(-1 in tensor.shape[1:] or tensor.dtype == "string" for tensor in signature.tensors) or bool(fixed)
    size = sum(math.prod(tensor.shape[1:]) for tensor in signature.tensors)
    features = None if guessed or size > _SHOWN_VALUES else example_row(signature)
    return Trial(Tensors(arrays), features, guessed)


def _zeros(tensor: Tensor, rows: int) -> NDArray[Any]:
    shape = (rows, *(1 if size < 0 else size for size in tensor.shape[1:]))
    return np.full(shape, _TEXT, dtype=object) if tensor.dtype == "string" else np.zeros(shape, dtype=tensor.dtype)
