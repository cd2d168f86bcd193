"""Writes the single answers of one version, batch by batch.

What a batch shares (timestamp, duration, the texts of all numbers) is made once for it; a row then costs one join. The
result is the same JSON as ``foretell.api.native.translate`` gives, by test.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from foretell.core.identity import Ref
from foretell.core.signature import Output
from foretell.core.values import Outputs, display_names
from foretell.execution.base import Run

_NUMPY = orjson.OPT_SERIALIZE_NUMPY


def writable(output: Output) -> bool:
    """Whether this writer knows the shape: known classes, or one number a row. Other models answer the ordinary way."""
    known = output.kind == "classification" and output.classes is not None
    return not output.several and (known or output.kind == "regression")


class SingleWriter:
    """Answers for one version. ``begin`` a batch, then ask for ``body`` of any of its rows.

    ``begin`` raises where the outputs are not what the version's signature says.
    """

    def __init__(self, ref: Ref, output: Output) -> None:
        self._model = b',"model":' + orjson.dumps(ref.model) + b',"model_version":' + orjson.dumps(ref.version)
        self._output = output
        self._heads = _class_heads(output)
        self._rows: list[bytes | None] = []
        self._middle = b""
        self._tail = b""

    def begin(self, outputs: Outputs, run: Run) -> None:
        """Turns to the batch ``outputs``, which ``run`` gave."""
        self.stamp(run)
        self._rows = self._rows_of(outputs)

    def stamp(self, run: Run) -> None:
        """Whatever is written from here on was answered now, by ``run``."""
        moment = datetime.now(UTC).isoformat(timespec="milliseconds")[:-6].encode()
        milliseconds = orjson.dumps(round(run.duration_s * 1e3, 3))
        self._middle = self._model + b',"prediction_id":"'
        self._tail = b'","timestamp":"' + moment + b'Z","inference_time_ms":' + milliseconds + b"}"

    def _rows_of(self, outputs: Outputs) -> list[bytes | None]:
        if outputs.indices is not None:
            rows = self._class_rows(outputs, outputs.indices)
        else:
            rows = [] if outputs.values is None or self._heads else _value_rows(outputs.values)
        if len(rows) != outputs.count:
            raise ValueError("the model gave outputs of another kind than its signature says")
        return rows

    def body(self, row: int, prediction_id: bytes) -> bytes | None:
        """The answer for a row of the batch; None where the model gave what JSON cannot hold (NaN, an infinity)."""
        head = self._rows[row]
        if head is None:
            return None
        return head + self._middle + prediction_id + self._tail

    def head(self, outputs: Outputs) -> bytes | None:
        """What an answer says of the one row there is, the same whenever it is asked; None as in ``body``."""
        return self._rows_of(outputs)[0]

    def whole(self, head: bytes, prediction_id: bytes) -> bytes:
        """The answer that begins with a ``head``; ``stamp`` before."""
        return head + self._middle + prediction_id + self._tail

    def _class_rows(self, outputs: Outputs, indices: NDArray[np.intp]) -> list[bytes | None]:
        chosen: list[int] = indices.tolist()
        heads = self._heads
        if outputs.probabilities is None:
            return [heads[index] for index in chosen]
        probabilities = np.ascontiguousarray(outputs.probabilities, dtype=np.float64)
        confidences = probabilities[np.arange(len(chosen)), indices]
        every = orjson.dumps(probabilities, option=_NUMPY)
        lists = every[2:-2].split(b"],[")
        best = orjson.dumps(confidences, option=_NUMPY)[1:-1].split(b",")
        rows = [
            heads[index] + b',"confidence":' + confidence + b',"probability":[' + texts + b"]"
            for index, confidence, texts in zip(chosen, best, lists, strict=True)
        ]
        if b"null" not in every:
            return rows  # type: ignore[return-value]  # list is invariant; nobody writes to it
        return [row if b"null" not in texts else None for row, texts in zip(rows, lists, strict=True)]


def _class_heads(output: Output) -> list[bytes]:
    names = display_names(output)
    heads = []
    for index, label in enumerate(output.classes or ()):
        name = b"" if names is None else b',"class_name":' + orjson.dumps(names[index])
        heads.append(b'{"status":"success","prediction":' + orjson.dumps(label) + name)
    return heads


def _value_rows(array: NDArray[Any]) -> list[bytes | None]:
    values = np.ascontiguousarray(array, dtype=np.float64).ravel()
    texts = orjson.dumps(values, option=_NUMPY)[1:-1].split(b",")
    return [None if text == b"null" else b'{"status":"success","prediction":' + text for text in texts]
