"""Diabetes: how far the disease moves on within a year, a regression with gradient-boosted trees (XGBoost)."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich import print as say
from sklearn.datasets import load_diabetes
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import train_test_split
from xgboost import XGBRegressor

import foretell


def train(models: Path) -> None:
    """Writes ``models/diabetes/v1``."""
    patients = load_diabetes(as_frame=True, scaled=False)
    known, unseen, known_progress, unseen_progress = train_test_split(
        patients.data, patients.target, test_size=0.2, random_state=7
    )
    model = XGBRegressor(n_estimators=200, max_depth=3, learning_rate=0.05, subsample=0.8, random_state=7, n_jobs=1)
    model.fit(known, known_progress)
    error = float(mean_absolute_error(unseen_progress, model.predict(unseen)))
    say(f"  diabetes: {len(known)} patients learned, off by {error:.1f} on average for {len(unseen)} unseen ones")

    metadata = {"mean_absolute_error": round(error, 2), "data": "diabetes progression, 442 patients", "seed": 7}
    foretell.package(model, models / "diabetes" / "v1", example=known, metadata=metadata)
    say("  diabetes v1: written")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"), help="where versions are written")
    train(parser.parse_args().models)
