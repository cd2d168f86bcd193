"""BentoML, as its documentation has it, with batches: `bentoml serve bentoml_app:Iris`; the model is in PEER_FOLDER."""

from __future__ import annotations

import os
from pathlib import Path

import bentoml
import joblib
import numpy as np


@bentoml.service(workers=1, logging={"access": {"enabled": False}}, metrics={"enabled": False})
class Iris:
    def __init__(self) -> None:
        self.model = joblib.load(Path(os.environ["PEER_FOLDER"]) / "iris.joblib")

    @bentoml.api(batchable=True, max_batch_size=1000)  # type: ignore[untyped-decorator]
    def predict(self, features: np.ndarray) -> np.ndarray:
        probabilities: np.ndarray = self.model.predict_proba(features)
        return probabilities
