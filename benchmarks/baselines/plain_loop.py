"""A batch body answered in a plain loop, no server: `python -m benchmarks.baselines.plain_loop MODEL BODY SECONDS`.

Prints how many bodies a second orjson.loads + numpy + predict_proba + orjson.dumps get through on one core.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import orjson


def answer(model: Any, body: bytes) -> bytes:
    rows = np.array(orjson.loads(body)["features"])
    probabilities = model.predict_proba(rows)
    best = probabilities.argmax(axis=1)
    confidences = probabilities[np.arange(len(best)), best]
    document = {"predictions": model.classes_[best], "confidences": confidences, "batch_size": len(rows)}
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def main(model_path: str, body_path: str, seconds: float) -> None:
    model, body = joblib.load(model_path), Path(body_path).read_bytes()
    for _ in range(20):
        answer(model, body)
    count, started_s = 0, time.perf_counter()
    while (elapsed_s := time.perf_counter() - started_s) < seconds:
        answer(model, body)
        count += 1
    print(count / elapsed_s)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
