"""LitServe, as its documentation has it, with batches: `python litserve_app.py FOLDER PORT`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import joblib
import litserve
import numpy as np


class Iris(litserve.LitAPI):  # type: ignore[misc]  # its library is in the peer's environment only
    folder: Path

    def setup(self, device: str) -> None:  # noqa: ARG002
        self.model = joblib.load(Path(sys.argv[1]) / "iris.joblib")

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201  # LitServe would read them
        return np.atleast_2d(np.array(request["features"], dtype=np.float64))

    def batch(self, inputs: list[Any]) -> Any:
        self.counts = [len(rows) for rows in inputs]
        return np.concatenate(inputs)

    def predict(self, rows: Any) -> Any:
        return self.model.predict_proba(rows)

    def unbatch(self, outputs: Any) -> list[Any]:
        return list(np.split(outputs, np.cumsum(self.counts)[:-1]))

    def encode_response(self, output: Any) -> dict[str, Any]:
        return {"predictions": output.argmax(axis=1).tolist(), "confidences": output.max(axis=1).tolist()}


if __name__ == "__main__":
    api = Iris(max_batch_size=64, batch_timeout=0.0)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[2]),
        num_api_servers=1,
        generate_client_file=False,
        log_level="warning",
        access_log=False,
    )
