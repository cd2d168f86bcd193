"""KServe's model server with a custom model: `python kserve_app.py FOLDER PORT`."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import joblib
import kserve
import numpy as np


class Iris(kserve.Model):  # type: ignore[misc]  # its library is in the peer's environment only
    def __init__(self, folder: Path) -> None:
        super().__init__("iris")
        self.model = joblib.load(folder / "iris.joblib")
        self.ready = True

    def predict(self, payload: dict[str, Any], headers: Any = None, response_headers: Any = None) -> dict[str, Any]:  # noqa: ARG002
        probabilities = self.model.predict_proba(np.array(payload["instances"], dtype=np.float64))
        return {"predictions": probabilities.argmax(axis=1).tolist(), "confidences": probabilities.max(axis=1).tolist()}


if __name__ == "__main__":
    server = kserve.ModelServer(http_port=int(sys.argv[2]), enable_grpc=False, workers=1, enable_latency_logging=False)
    logging.getLogger("uvicorn.access").disabled = True
    server.start([Iris(Path(sys.argv[1]))])
