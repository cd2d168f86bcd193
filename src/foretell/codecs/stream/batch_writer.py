"""Answered rows as Arrow record batches: the input's own columns with their own types, and the answer's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from foretell.codecs.stream.base import Answered, Layout, OnError, answer_names, kept_rows
from foretell.codecs.stream.batches import Batch, arrow_type
from foretell.core.signature import Output
from foretell.core.values import Outputs, display_names

SUMMARY = b"foretell.summary"
"""The key of the summary, in the metadata of a last batch without rows or of a file."""


class AnsweredBatches:
    """Answered chunks as record batches, all of one schema."""

    def __init__(self, output: Output, on_error: OnError) -> None:
        self._output = output
        self._on_error = on_error

    def batch(self, answered: Answered, layout: Layout) -> Any:
        """The rows that are written of a chunk; there may be none."""
        import pyarrow as pa

        own = self._own(answered, layout)
        names, arrays = list(own), list(own.values())
        answers = self._answers(answered)
        if self._on_error == "skip" and answered.faults:
            kept = pa.array(list(kept_rows(answered, "skip")), pa.int64())
            arrays = [array.take(kept) for array in arrays]
            answers = {name: array.take(kept) for name, array in answers.items()}
        return pa.record_batch([*arrays, *answers.values()], names=[*names, *answers])

    def schema(self, layout: Layout) -> Any:
        """The schema where no row has told."""
        import pyarrow as pa

        fields = [pa.field(name, arrow_type(kind)) for name, kind in layout.columns.items()]
        return pa.schema([*fields, *(pa.field(name, kind) for name, kind in self._types().items())])

    def _types(self) -> dict[str, Any]:
        """The answer's columns and their types."""
        import pyarrow as pa

        output = self._output
        found: dict[str, Any] = {}
        for name in answer_names(output):
            if name == "prediction" and output.several:
                found |= {f"prediction_{each}": _prediction_type(output) for each in output.names}
            else:
                plain = pa.float64() if name == "confidence" else pa.string()
                found[name] = _prediction_type(output) if name == "prediction" else plain
        if self._on_error == "null":
            found["error"] = pa.string()
        return found

    def _own(self, answered: Answered, layout: Layout) -> Mapping[str, Any]:
        import pyarrow as pa

        own = answered.chunk.own
        if isinstance(own, Batch):
            columns = zip(own.batch.schema.names, own.batch.columns, strict=True)
            # a dictionary holds for the batches of one stream; texts as they are hold for parts of one, too
            return {
                name: column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
                for name, column in columns
            }
        values, absent = own.columns(), [None] * answered.chunk.count
        return {name: _array(values.get(name, absent), arrow_type(kind)) for name, kind in layout.columns.items()}

    def _answers(self, answered: Answered) -> dict[str, Any]:
        import pyarrow as pa

        count, faults = answered.chunk.count, answered.faults
        types = self._types()
        found = {} if answered.outputs is None else _columns(answered.outputs, self._output, types)
        if answered.outputs is None:
            found = {name: pa.nulls(count, kind) for name, kind in types.items()}
        elif faults:
            right = np.ones(count, dtype=np.bool_)
            right[list(faults)] = False
            places = pa.array(np.cumsum(right) - 1, mask=~right)
            found = {name: column.take(places) for name, column in found.items()}
        if "error" in types:
            texts = [faults.get(row) for row in range(count)]
            found["error"] = pa.array(texts, pa.string()) if faults else pa.nulls(count, pa.string())
        return found


def _prediction_type(output: Output) -> Any:
    import pyarrow as pa

    if output.kind == "regression":
        return pa.float64()
    kinds = {type(label) for label in output.classes or ()}
    for kind, arrow in ((bool, pa.bool_()), (int, pa.int64()), (float, pa.float64())):
        if kinds == {kind}:
            return arrow
    return pa.string()


def _columns(outputs: Outputs, output: Output, types: Mapping[str, Any]) -> dict[str, Any]:
    """The answers by column, errors aside."""
    import pyarrow as pa

    indices, probabilities = outputs.indices, outputs.probabilities
    if indices is None:
        return _listed_columns(outputs, output, types)
    found = {"prediction": _array(output.classes or (), types["prediction"]).take(pa.array(indices))}
    if "class_name" in types:
        found["class_name"] = pa.array(display_names(output) or (), pa.string()).take(pa.array(indices))
    if "confidence" in types:
        found["confidence"] = pa.nulls(outputs.count, pa.float64())
        if probabilities is not None:
            chosen = probabilities[np.arange(len(indices)), indices]
            found["confidence"] = pa.array(np.asarray(chosen, dtype=np.float64))
    return found


def _listed_columns(outputs: Outputs, output: Output, types: Mapping[str, Any]) -> dict[str, Any]:
    listed = outputs.listed
    found: dict[str, Sequence[Any]] = {"prediction": listed.predictions}
    if output.several:
        by_output = zip(*listed.predictions, strict=True)
        found = {f"prediction_{name}": each for name, each in zip(output.names, by_output, strict=True)}
    none: list[Any] = [None] * outputs.count
    found |= {"class_name": listed.class_names or none, "confidence": listed.confidences or none}
    return {name: _array(found[name], kind) for name, kind in types.items() if name != "error"}


def _array(values: Sequence[Any], kind: Any) -> Any:
    """Values as an array of a type; null where one does not fit, text where texts are wanted."""
    import pyarrow as pa

    if pa.types.is_string(kind):
        return pa.array([None if value is None else _text(value) for value in values], kind)
    try:
        return pa.array(values, kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([_fitting(value, kind) for value in values], kind)


def _fitting(value: Any, kind: Any) -> Any:
    import pyarrow as pa

    try:
        return pa.scalar(value, kind).as_py()
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
