"""BentoML, as its documentation has it, with batches: served by `bentoml serve bentoml_app:Iris`; PEER_FOLDER has the model."""

from __future__ import annotations

import os
from pathlib import Path

import bentoml
import joblib
import numpy as np


@bentoml.service(workers=1)  # type: ignore[untyped-decorator]  # its library is in the peer's environment only
class Iris:
    def __init__(self) -> None:
        self.model = joblib.load(Path(os.environ["PEER_FOLDER"]) / "iris.joblib")

    @bentoml.api(batchable=True, max_batch_size=1000)  # type: ignore[untyped-decorator]
    def predict(self, features: np.ndarray) -> np.ndarray:
        probabilities: np.ndarray = self.model.predict_proba(features)
        return probabilities
