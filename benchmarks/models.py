"""What is served while measuring: the examples, trained anew, and their estimators as the tutorial app takes them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import orjson
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier

import foretell
from benchmarks.machine import ROOT

SLOW = """
import time

import numpy as np


class Slow:
    def predict(self, x: float) -> float:
        time.sleep(0.002 * len(x))
        return np.asarray(x) * 2
"""
SLOW_PER_S = 500


@dataclass(frozen=True, slots=True)
class Models:
    """Folders for Foretell, joblib files for the tutorial app, and the data that request bodies are made of."""

    repository: Path
    iris_only: Path
    iris: Path
    forest: Path
    wide: Path
    boosted: Path
    slow: Path
    iris_rows: list[list[float]]
    tumour_rows: list[list[float]]
    iris_columns: list[str]
    tumour_columns: list[str]

    def single(self, rows: list[list[float]]) -> bytes:
        return orjson.dumps({"features": rows[0]})

    def batch(self, rows: list[list[float]], count: int) -> bytes:
        """``count`` rows, those at hand over and over."""
        return orjson.dumps({"features": [rows[i % len(rows)] for i in range(count)]})


def prepare(folder: Path) -> Models:
    """Trains everything into ``folder``: the examples; ``wide``, a logistic regression on 30 features; ``boosted``.

    ``slow`` is a repository of its own: a Python model that takes 2 ms a row.
    """
    repository, alone = folder / "models", folder / "iris-only"
    subprocess.run([sys.executable, str(ROOT / "examples" / "train_all.py"), "--models", str(repository)], check=True)
    iris, tumours = load_iris(), load_breast_cancer()
    estimators = {
        "iris": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(iris.data, iris.target),
        "forest": RandomForestClassifier(100, random_state=7).fit(tumours.data, tumours.target),
        "wide": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(tumours.data, tumours.target),
    }
    boosted = XGBClassifier(n_estimators=100, max_depth=4, random_state=7)
    estimators["boosted"] = boosted.fit(tumours.data, tumours.target)
    package(estimators["boosted"], repository / "boosted" / "v1", tumours)
    package(estimators["wide"], repository / "wide" / "v1", tumours)
    package(estimators["iris"], alone / "iris" / "v1", iris)
    slow = folder / "slow" / "slow" / "v1"
    slow.mkdir(parents=True)
    (slow / "model.py").write_text(SLOW)
    for name, estimator in estimators.items():
        joblib.dump(estimator, folder / f"{name}.joblib")
    return Models(
        repository=repository,
        iris_only=alone,
        iris=folder / "iris.joblib",
        forest=folder / "forest.joblib",
        wide=folder / "wide.joblib",
        boosted=folder / "boosted.joblib",
        slow=folder / "slow",
        iris_rows=iris.data.tolist(),
        tumour_rows=tumours.data.tolist(),
        iris_columns=list(map(str, iris.feature_names)),
        tumour_columns=list(map(str, tumours.feature_names)),
    )


def package(estimator: Any, target: Path, data: Any) -> None:
    names = [str(name) for name in data.target_names]
    foretell.package(estimator, target, example=data.data, class_names=names)
