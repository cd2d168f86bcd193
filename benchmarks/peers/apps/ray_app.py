"""Ray Serve with one replica: `python ray_app.py FOLDER PORT`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from ray import serve


@serve.deployment(num_replicas=1, max_ongoing_requests=256)
class Iris:
    def __init__(self, folder: str) -> None:
        self.model = joblib.load(Path(folder) / "iris.joblib")

    async def __call__(self, request: Any) -> dict[str, Any]:
        rows = np.atleast_2d(np.array((await request.json())["features"], dtype=np.float64))
        probabilities = self.model.predict_proba(rows)
        return {"predictions": probabilities.argmax(axis=1).tolist(), "confidences": probabilities.max(axis=1).tolist()}


if __name__ == "__main__":
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[2])})
    serve.run(Iris.bind(sys.argv[1]), route_prefix="/predict")  # type: ignore[attr-defined]  # the decorator adds it
    while True:
        time.sleep(3600)
