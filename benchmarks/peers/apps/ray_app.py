"""Ray Serve with one replica: `python ray_app.py FOLDER PORT`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from ray import serve
from ray.serve.schema import LoggingConfig

QUIET = LoggingConfig(enable_access_log=False)


@serve.deployment(num_replicas=1, max_ongoing_requests=256, logging_config=QUIET)
class Iris:
    def __init__(self, folder: str) -> None:
        self.model = joblib.load(Path(folder) / "iris.joblib")

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0)  # type: ignore[untyped-decorator]
    async def predict(self, batch: list[Any]) -> list[Any]:
        probabilities = self.model.predict_proba(np.concatenate(batch))
        return list(np.split(probabilities, np.cumsum([len(rows) for rows in batch])[:-1]))

    async def __call__(self, request: Any) -> dict[str, Any]:
        rows = np.atleast_2d(np.array((await request.json())["features"], dtype=np.float64))
        probabilities = await self.predict(rows)
        return {"predictions": probabilities.argmax(axis=1).tolist(), "confidences": probabilities.max(axis=1).tolist()}


if __name__ == "__main__":
    serve.start(
        http_options={"host": "127.0.0.1", "port": int(sys.argv[2])},
        logging_config=QUIET,
    )
    serve.run(Iris.bind(sys.argv[1]), route_prefix="/predict")  # type: ignore[attr-defined]  # the decorator adds it
    while True:
        time.sleep(3600)
