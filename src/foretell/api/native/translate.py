"""Predictions as bytes on the wire: the native answers of contract §3, in JSON and CSV. Pure; no framework.

What a model gives as NaN or infinity is never written: JSON would turn it into a silent null. It is the model's failure
(``ModelFailed``, naming the row), see ADR 0006.
"""

from __future__ import annotations

import csv
import io
import time
from typing import Any

import numpy as np
import orjson

from foretell.api.native.columns import PLAIN, Options, answer_columns, top_classes
from foretell.core.formulas import no_formula
from foretell.core.identity import Ref
from foretell.core.values import Outputs, display_names

JSON = "application/json"
CSV = "text/csv"


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
    document: dict[str, Any] = {}
    output, indices, probabilities = outputs.output, outputs.indices, outputs.probabilities
    if indices is None:
        listed = outputs.listed
        document["predictions"] = listed.predictions
        if listed.class_names is not None:
            document["class_names"] = listed.class_names
    else:
        chosen: list[int] = indices.tolist()
        classes, names = output.classes or (), display_names(output)
        document["predictions"] = [classes[i] for i in chosen]
        if probabilities is not None:
            # float64 as in single answers: orjson would write float32 with fewer digits
            probabilities = np.ascontiguousarray(probabilities, dtype=np.float64)
            document["confidences"] = probabilities[np.arange(len(chosen)), indices]
        if names is not None:
            document["class_names"] = [names[i] for i in chosen]
        if probabilities is not None and options.probabilities:
            document["probabilities"] = probabilities
        if probabilities is not None and options.top_k is not None:
            document["top"] = [top_classes(output, row, options.top_k) for row in probabilities.tolist()]
    document["model"] = ref.model
    document["model_version"] = ref.version
    document["batch_size"] = outputs.count
    document["prediction_id"] = prediction_id
    document["total_time_ms"] = round(total_ms, 3)
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def rows_csv(outputs: Outputs, options: Options = PLAIN) -> bytes:
    """All rows as CSV with a header (RFC 4180), formulas neutralised."""
    columns = answer_columns(outputs, options)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([_cell(name) for name in columns])
    writer.writerows([_cell(value) for value in row] for row in zip(*columns.values(), strict=True))
    return text.getvalue().encode()


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
