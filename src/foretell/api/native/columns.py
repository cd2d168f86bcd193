"""Predictions as columns, which formats of rows are written from, and as one array. Pure; no framework."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from foretell.codecs.base import Answers, Labelled, Values
from foretell.core.signature import Output
from foretell.core.values import Outputs, display_names

Columns = dict[str, Sequence[Any]]


class Options(NamedTuple):
    """What the caller asked for beside the prediction. A ``top_k`` over the number of classes means all of them."""

    top_k: int | None = None
    probabilities: bool = False


PLAIN = Options()


def answers(outputs: Outputs, options: Options = PLAIN, *, single: bool = False) -> Answers:
    """All rows as codecs write them; where ``single`` the array is that of the one row, without the axis of rows."""

    def array() -> NDArray[Any] | None:
        rows = _array(outputs, options)
        return rows[0] if single and rows is not None else rows

    return Answers(lambda: _array_columns(outputs, options) or answer_columns(outputs, options), array)


def answer_columns(outputs: Outputs, options: Options = PLAIN) -> Columns:
    """A column for each thing an answer says of a row."""
    listed, output = outputs.listed, outputs.output
    columns = _prediction_columns(listed.predictions, output)
    if listed.class_names is not None:
        columns["class_name"] = listed.class_names
    if listed.confidences is not None:
        columns["confidence"] = listed.confidences
    if listed.probabilities is not None:
        if options.top_k is not None:
            columns |= _top_columns(output, listed.probabilities, options.top_k)
        if options.probabilities:
            labels = display_names(output) or output.classes or ()
            by_class = zip(*listed.probabilities, strict=True) if listed.probabilities else ([] for _ in labels)
            for label, column in zip(labels, by_class, strict=True):
                columns[f"probability_{label}"] = column
    return columns


def _array_columns(outputs: Outputs, options: Options) -> dict[str, Values] | None:
    """The same columns of a classification as arrays, without an object for each row; None where it is not so plain."""
    output, indices = outputs.output, outputs.indices
    labels = np.array(output.classes or ())
    if indices is None or output.several or options.top_k is not None or labels.dtype.kind not in "iufbU":
        return None
    if len({type(label) for label in output.classes or ()}) != 1:
        return None
    columns: dict[str, Values] = {"prediction": labels[indices]}
    if labels.dtype.kind == "U":
        columns["prediction"] = Labelled(output.classes or (), indices)
    names = display_names(output)
    if names is not None:
        columns["class_name"] = Labelled(names, indices)
    if outputs.probabilities is not None:
        probabilities = np.asarray(outputs.probabilities, dtype=np.float64)
        columns["confidence"] = probabilities[np.arange(len(indices)), indices]
        if options.probabilities:
            for label, column in zip(names or output.classes or (), probabilities.T, strict=True):
                columns[f"probability_{label}"] = column
    return columns


def top_classes(output: Output, probability: Sequence[float], k: int) -> list[dict[str, Any]]:
    """The ``k`` most probable classes, best first; of equals the earlier class comes first."""
    classes, names = output.classes or (), display_names(output)
    best = sorted(range(len(probability)), key=lambda i: -probability[i])[:k]
    if names is None:
        return [{"prediction": classes[i], "probability": probability[i]} for i in best]
    return [{"prediction": classes[i], "class_name": names[i], "probability": probability[i]} for i in best]


def _prediction_columns(predictions: list[Any], output: Output) -> Columns:
    if not output.several or not predictions or not isinstance(predictions[0], list):
        return {"prediction": predictions}
    by_output = zip(*predictions, strict=True)
    return {f"prediction_{name}": column for name, column in zip(output.names, by_output, strict=True)}


def _top_columns(output: Output, probabilities: list[list[float]], k: int) -> Columns:
    rows = [top_classes(output, probability, k) for probability in probabilities]
    columns: Columns = {}
    for place in range(min(k, len(output.classes or ()))):
        columns[f"top_{place + 1}"] = [row[place].get("class_name", row[place]["prediction"]) for row in rows]
        columns[f"top_{place + 1}_probability"] = [row[place]["probability"] for row in rows]
    return columns


def _array(outputs: Outputs, options: Options) -> NDArray[Any] | None:
    """The probabilities where they were asked for, as float64; else the predictions; None for several tensors."""
    if options.probabilities and outputs.probabilities is not None:
        return np.asarray(outputs.probabilities, dtype=np.float64)
    if outputs.indices is not None:
        return _plain(np.array(outputs.output.classes or ()))[outputs.indices]
    if outputs.values is not None:
        return _plain(outputs.values)
    tensors = list((outputs.tensors or {}).values())
    return _plain(tensors[0]) if len(tensors) == 1 else None


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    """Objects, which are labels or texts, as an array of the type they have in common."""
    if array.dtype.kind != "O":
        return array
    made = np.array(array.tolist())
    return made.astype(np.str_) if made.dtype.kind == "O" else made
