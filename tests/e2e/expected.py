"""What an answer must be, by the word of the estimator that was packaged."""

from __future__ import annotations

import csv
import io
import re
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest

from tests.e2e.models import Model
from tests.wire import Answer

_ID = re.compile(r"[0-9A-Z]{26}")


def near(wanted: Any, model: Model) -> Any:
    """Numbers as exact as contract §5 says; an absolute bound for probabilities that are next to nothing."""
    return pytest.approx(wanted, rel=model.rtol, abs=1e-12 if model.rtol < 1e-6 else 1e-7)


def check_single(answer: Answer, model: Model, row: Any, version: str = "v1", top_k: int | None = None) -> None:
    """Holds the answer for one row (as the estimator takes it) against the estimator."""
    assert answer.status == 200, answer
    assert answer.headers["content-type"] == "application/json"
    document = answer.json
    prediction = model.predictions(row)[0]
    names, probabilities = model.names_of([prediction]), model.probabilities(row)
    keys = ["status", "prediction"]
    keys += ["class_name"] if names else []
    keys += ["confidence", "probability"] if probabilities is not None else []
    keys += ["top"] if top_k else []
    keys += ["model", "model_version", "prediction_id", "timestamp", "inference_time_ms"]
    assert list(document) == keys
    assert document["status"] == "success"
    _same_prediction(document["prediction"], prediction, model)
    if names:
        assert document["class_name"] == names[0]
    if probabilities is not None:
        assert document["probability"] == near(probabilities[0].tolist(), model)
        assert document["confidence"] == near(probabilities[0].max(), model)
    if top_k:
        _check_top(document["top"], model, probabilities[0], top_k)
    assert (document["model"], document["model_version"]) == (model.name, version)
    assert _ID.fullmatch(document["prediction_id"])
    moment = datetime.fromisoformat(document["timestamp"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", document["timestamp"])
    assert abs(datetime.now(timezone.utc) - moment) < timedelta(minutes=1)  # noqa: UP017
    assert 0 <= document["inference_time_ms"] < 60_000


def check_batch(
    answer: Answer,
    model: Model,
    rows: Any,
    version: str = "v1",
    *,
    top_k: int | None = None,
    with_probabilities: bool = False,
) -> None:
    """Holds the answer for many rows against the estimator, in order."""
    assert answer.status == 200, answer
    document = answer.json
    predictions = model.predictions(rows)
    names, probabilities = model.names_of(predictions), model.probabilities(rows)
    keys = ["predictions"]
    keys += ["confidences"] if probabilities is not None else []
    keys += ["class_names"] if names else []
    keys += ["probabilities"] if with_probabilities else []
    keys += ["top"] if top_k else []
    keys += ["model", "model_version", "batch_size", "prediction_id", "total_time_ms"]
    assert list(document) == keys
    assert len(document["predictions"]) == document["batch_size"] == len(predictions)
    for got, wanted in zip(document["predictions"], predictions, strict=True):
        _same_prediction(got, wanted, model)
    if names:
        assert document["class_names"] == names
    if probabilities is not None:
        assert document["confidences"] == near(probabilities.max(axis=1).tolist(), model)
    if with_probabilities:
        assert np.asarray(document["probabilities"]) == near(probabilities, model)
    if top_k:
        for got, row in zip(document["top"], probabilities, strict=True):
            _check_top(got, model, row, top_k)
    assert (document["model"], document["model_version"]) == (model.name, version)
    assert _ID.fullmatch(document["prediction_id"])
    assert document["total_time_ms"] >= 0


def check_csv(answer: Answer, model: Model, rows: Any, version: str = "v1") -> None:
    """Holds an answer in CSV against the estimator, and its headers against contract §5."""
    assert answer.status == 200, answer
    assert answer.headers["content-type"].startswith("text/csv")
    assert (answer.headers["x-model"], answer.headers["x-model-version"]) == (model.name, version)
    assert _ID.fullmatch(answer.headers["x-prediction-id"])
    records = list(csv.DictReader(io.StringIO(answer.body.decode(), newline="")))
    predictions = model.predictions(rows)
    assert len(records) == len(predictions)
    names, probabilities = model.names_of(predictions), model.probabilities(rows)
    for index, record in enumerate(records):
        wanted = predictions[index]
        if isinstance(wanted, list):
            got = [float(value) for name, value in record.items() if name.startswith("prediction")]
            assert got == near(wanted, model)
        elif isinstance(wanted, float):
            assert float(record["prediction"]) == near(wanted, model)
        else:
            assert record["prediction"] == str(wanted)
        assert record.get("class_name") == (names[index] if names else None)
        if probabilities is not None:
            assert float(record["confidence"]) == near(probabilities[index].max(), model)


def _same_prediction(got: Any, wanted: Any, model: Model) -> None:
    assert type(got) is type(wanted), "the model's own type"
    if isinstance(wanted, float | list):
        assert got == near(wanted, model)
    else:
        assert got == wanted


def _check_top(top: list[dict[str, Any]], model: Model, probabilities: Any, k: int) -> None:
    order = np.argsort(-probabilities, kind="stable")[:k]
    classes = model.estimator.classes_.tolist()
    assert len(top) == min(k, len(classes))
    named = model.names_of(classes)
    # classes of the same probability may change places between libraries; the probabilities may not
    assert [entry["probability"] for entry in top] == near(probabilities[order].tolist(), model)
    for entry in top:
        place = classes.index(entry["prediction"])
        assert entry["probability"] == near(probabilities[place], model)
        assert entry.get("class_name") == (named[place] if named else None)
        assert entry.keys() <= {"prediction", "class_name", "probability"}
