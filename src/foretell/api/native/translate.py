"""Predictions as bytes on the wire: the native answers of contract §3, in JSON and CSV. Pure; no framework.

What a model gives as NaN or infinity is never written: JSON would turn it into a silent null. It is the model's failure
(``ModelFailed``, naming the row), see ADR 0006.
"""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from foretell.api.native.columns import PLAIN, Options, answer_columns, top_classes
from foretell.core.formulas import no_formula
from foretell.core.identity import Ref
from foretell.core.values import Outputs, display_names

JSON = "application/json"
CSV = "text/csv"

ROWS_A_TURN = 1000
TEXT_ROWS_A_TURN = 500
CELLS_A_TURN = 32_768

Turns = Generator[None, None, bytes]
"""Work that may be interrupted wherever it yields, and returns an answer's bytes."""


def single_json(
    outputs: Outputs,
    index: int,
    ref: Ref,
    *,
    prediction_id: str,
    timestamp: str,
    inference_ms: float,
    options: Options = PLAIN,
) -> bytes:
    """The answer for row ``index`` of ``outputs``."""
    listed = outputs.listed
    prediction = listed.predictions[index]
    document: dict[str, Any] = {"status": "success", "prediction": prediction}
    if listed.class_names is not None:
        document["class_name"] = listed.class_names[index]
    if listed.probabilities is not None and listed.confidences is not None:
        probability = listed.probabilities[index]
        document["confidence"] = listed.confidences[index]
        document["probability"] = probability
        if options.top_k is not None:
            document["top"] = top_classes(outputs.output, probability, options.top_k)
    document["model"] = ref.model
    document["model_version"] = ref.version
    document["prediction_id"] = prediction_id
    document["timestamp"] = timestamp
    document["inference_time_ms"] = round(inference_ms, 3)
    return orjson.dumps(document)


def batch_json(outputs: Outputs, ref: Ref, *, prediction_id: str, total_ms: float, options: Options = PLAIN) -> bytes:
    """The answer for all rows of ``outputs``."""
    return finished(
        batch_json_turns(outputs, ref, prediction_id=prediction_id, total_ms=lambda: total_ms, options=options)
    )


def batch_json_turns(
    outputs: Outputs, ref: Ref, *, prediction_id: str, total_ms: Callable[[], float], options: Options = PLAIN
) -> Turns:
    """``batch_json`` in turns of a few milliseconds each; ``total_ms`` is asked in the last."""
    parts = _parts(outputs, options)
    tail: dict[str, Any] = {"model": ref.model, "model_version": ref.version, "batch_size": outputs.count}
    tail["prediction_id"] = prediction_id
    if len(parts) == 1:
        tail["total_time_ms"] = round(total_ms(), 3)
        return orjson.dumps({**_lists(outputs, options), **tail}, option=orjson.OPT_SERIALIZE_NUMPY)
    pieces: dict[str, list[bytes]] = {}
    for part in parts:
        for name, values in _lists(part, options).items():
            pieces.setdefault(name, []).append(orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1])
        yield
    tail["total_time_ms"] = round(total_ms(), 3)
    lists = [b'"%b":[%b],' % (name.encode(), b",".join(texts)) for name, texts in pieces.items()]
    return b"".join([b"{", *lists, orjson.dumps(tail)[1:]])


def rows_csv(outputs: Outputs, options: Options = PLAIN) -> bytes:
    """All rows as CSV with a header (RFC 4180), formulas neutralised."""
    return finished(rows_csv_turns(outputs, options))


def rows_csv_turns(outputs: Outputs, options: Options = PLAIN) -> Turns:
    """``rows_csv`` in turns of a few milliseconds each."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    for number, part in enumerate(_parts(outputs, options, TEXT_ROWS_A_TURN)):
        columns = answer_columns(part, options)
        if not number:
            writer.writerow([_cell(name) for name in columns])
        writer.writerows([_cell(value) for value in row] for row in zip(*columns.values(), strict=True))
        yield
    return text.getvalue().encode()


def finished(turns: Turns) -> bytes:
    """The answer, all its turns at once."""
    while True:
        try:
            next(turns)
        except StopIteration as end:
            body: bytes = end.value
            return body


def _parts(outputs: Outputs, options: Options, rows: int = ROWS_A_TURN) -> list[Outputs]:
    """The rows in parts that take a few milliseconds to write."""
    cells = 1
    for array in (outputs.values, *(outputs.tensors or {}).values()):
        if array is not None:
            cells += math.prod(array.shape[1:])
    if outputs.probabilities is not None and options != PLAIN:
        cells += outputs.probabilities.shape[1]
    step = min(rows, max(1, CELLS_A_TURN // cells))
    if outputs.count <= step:
        return [outputs]
    return [outputs.part(start, start + step) for start in range(0, outputs.count, step)]


def _lists(outputs: Outputs, options: Options) -> dict[str, Any]:
    """What an answer lists by row, as arrays wherever JSON says the same of an array as of its values."""
    output, indices, probabilities = outputs.output, outputs.indices, outputs.probabilities
    if indices is None:
        lists: dict[str, Any] = {"predictions": _array(outputs)}
        if lists["predictions"] is None:
            listed = outputs.listed
            lists["predictions"] = listed.predictions
            if listed.class_names is not None:
                lists["class_names"] = listed.class_names
        return lists
    lists = {"predictions": _picked(output.classes or (), indices)}
    if probabilities is not None:
        # float64 as in single answers: orjson would write float32 with fewer digits
        probabilities = np.ascontiguousarray(probabilities, dtype=np.float64)
        lists["confidences"] = probabilities[np.arange(len(indices)), indices]
    names = display_names(output)
    if names is not None:
        lists["class_names"] = _picked(names, indices)
    if probabilities is not None and options.probabilities:
        lists["probabilities"] = probabilities
    if probabilities is not None and options.top_k is not None:
        lists["top"] = [top_classes(output, row, options.top_k) for row in probabilities.tolist()]
    return lists


def _array(outputs: Outputs) -> NDArray[Any] | None:
    """The predictions where they are one array of numbers."""
    arrays = [outputs.values] if outputs.values is not None else list((outputs.tensors or {}).values())
    array = arrays[0] if len(arrays) == 1 else None
    if array is None or array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        return None
    dtype = np.dtype(np.float64) if array.dtype.kind == "f" else array.dtype.newbyteorder("=")
    return np.ascontiguousarray(array, dtype=dtype)


def _picked(labels: Sequence[Any], indices: NDArray[np.intp]) -> Any:
    """The label of each index."""
    if set(map(type, labels)) == {int} and all(-(1 << 63) <= label < 1 << 63 for label in labels):
        return np.array(labels, dtype=np.int64)[indices]
    objects = np.empty(len(labels), dtype=object)
    objects[:] = labels
    return objects[indices].tolist()


def timestamp(seconds: float) -> str:
    """Seconds since the epoch as RFC 3339 in UTC with milliseconds: ``2026-11-20T10:30:00.000Z``."""
    whole, milliseconds = divmod(int(seconds * 1000), 1000)
    return f"{_second(whole)}.{milliseconds:03d}Z"


_last_second: tuple[int, str] = (0, "1970-01-01T00:00:00")


def _second(whole: int) -> str:
    global _last_second  # noqa: PLW0603  # one entry, replaced as a whole: a second lasts for many requests
    known, text = _last_second
    if known != whole:
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
        _last_second = (whole, text)
    return text


def _cell(value: Any) -> Any:
    """One CSV cell. Text that a spreadsheet would run as a formula is led by an apostrophe; plain numbers pass."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple | dict):
        return orjson.dumps(value).decode()
    return no_formula(value) if isinstance(value, str) else value
