"""JSON lines with their answers, as ``ndjson.NdjsonWriter`` wrote them, read back to be written in another format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from foretell.codecs.stream.base import Answered, Chunk, Raw
from foretell.codecs.stream.ndjson import row_by_name
from foretell.core.signature import Output, Signature
from foretell.core.values import Outputs

Line = dict[str, Any]


class Unanswered(Exception):
    """A line holds no answer that the model could have given."""


@dataclass(frozen=True, slots=True)
class _Rows:
    """The callers' own columns of some lines."""

    rows: Sequence[Line]

    def columns(self) -> Mapping[str, Sequence[Any]]:
        names = dict.fromkeys(name for row in self.rows for name in row)
        return {name: [row.get(name) for row in self.rows] for name in names}


def read_answered(raw: Raw, signature: Signature) -> Answered:
    """Lines as the chunk they were answered as. Raises Unanswered."""
    lines = [_line(line) for line in raw.rows]
    faults = {row: str(line["error"]) for row, line in enumerate(lines) if _faulty(line)}
    right = [line for row, line in enumerate(lines) if row not in faults]
    try:
        outputs = _outputs(right, signature.output) if right else None
    except (KeyError, TypeError, ValueError) as error:
        raise Unanswered(f"{type(error).__name__} in a prediction") from error
    own = _Rows([row_by_name(_own(line, faulty=row in faults), signature) for row, line in enumerate(lines)])
    return Answered(Chunk(raw.start, raw.count, own, None, faults), outputs, faults)


def _line(text: bytes) -> Line:
    try:
        line = orjson.loads(text)
    except ValueError:
        raise Unanswered("a line is not JSON") from None
    if not isinstance(line, dict) or "prediction" not in line:
        raise Unanswered("a line has no prediction")
    return line


def _faulty(line: Line) -> bool:
    return line["prediction"] is None and line.get("error") is not None


def _own(line: Line, *, faulty: bool) -> Any:
    """The row as it was sent."""
    own = {name: value for name, value in line.items() if name not in _ANSWERED}
    # what could not bear the answer's keys was put under a key of its own
    return own["line"] if faulty and own.keys() == {"line"} else own


_ANSWERED = frozenset({"prediction", "class_name", "confidence", "error"})


def _outputs(lines: Sequence[Line], output: Output) -> Outputs:
    predictions = [line["prediction"] for line in lines]
    if output.classes is not None and not output.several:
        return _classified(lines, predictions, output)
    if output.kind == "tensors" or isinstance(predictions[0], dict):
        return Outputs(output, tensors=_tensors(predictions, output))
    if output.kind == "regression":
        return Outputs(output, values=np.asarray(predictions, dtype=np.float64))
    mixed = len({type(each) for each in predictions}) > 1
    return Outputs(output, values=np.array(predictions, dtype=object if mixed else None))


def _classified(lines: Sequence[Line], predictions: Sequence[Any], output: Output) -> Outputs:
    classes = output.classes or ()
    places = {label: place for place, label in enumerate(classes)}
    indices = np.array([places[prediction] for prediction in predictions], dtype=np.intp)
    confidences = [line.get("confidence") for line in lines]
    if any(confidence is None for confidence in confidences):
        return Outputs(output, indices=indices)
    # only that of the class that was chosen is told, and only that is written again
    probabilities = np.zeros((len(lines), len(classes)))
    probabilities[np.arange(len(lines)), indices] = confidences
    return Outputs(output, indices=indices, probabilities=probabilities)


def _tensors(predictions: Sequence[Any], output: Output) -> dict[str, Any]:
    if isinstance(predictions[0], dict):
        return {name: np.asarray([each[name] for each in predictions]) for name in predictions[0]}
    name = output.tensors[0].name if output.tensors else "prediction"
    return {name: np.asarray(predictions)}
