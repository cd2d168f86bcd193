"""Trains the iris model with the libraries of the environment it is run in: `python train.py FOLDER [mlflow]`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import joblib
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

MLSERVER_SETTINGS = {
    "name": "iris",
    "implementation": "mlserver_sklearn.SKLearnModel",
    "parameters": {"uri": "./iris.joblib", "version": "v1"},
}


def main(folder: Path, kind: str) -> None:
    iris = load_iris()
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(iris.data, iris.target)
    joblib.dump(model, folder / "iris.joblib")
    if kind == "mlserver":
        (folder / "model-settings.json").write_text(json.dumps(MLSERVER_SETTINGS))
    if kind == "mlflow":
        import mlflow.sklearn

        mlflow.sklearn.save_model(
            model,
            str(folder / "mlflow-model"),
            pip_requirements=["scikit-learn"],
            pyfunc_predict_fn="predict_proba",
            serialization_format="cloudpickle",  # the default wants each type of the pipeline named as trusted
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "")
