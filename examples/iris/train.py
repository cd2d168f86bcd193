"""Iris: three species told apart by four measurements; version v1 as scikit-learn, v2 the same model as ONNX."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Literal

from rich import print as say
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import foretell

VERSIONS: dict[str, Literal["auto", "onnx"]] = {"v1": "auto", "v2": "onnx"}
"""How each version is stored: as the estimator itself, and converted."""


def train(models: Path) -> None:
    """Writes ``models/iris/v1`` and ``models/iris/v2``, whichever is missing."""
    flowers = load_iris(as_frame=True)
    features, species, names = flowers.data, flowers.target, [str(name) for name in flowers.target_names]
    known, unseen, known_species, unseen_species = train_test_split(
        features, species, test_size=0.2, random_state=7, stratify=species
    )
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(known, known_species)
    accuracy = model.score(unseen, unseen_species)
    say(f"  iris: {len(known)} flowers learned, {accuracy:.1%} of {len(unseen)} unseen ones right")

    metadata = {"accuracy": round(float(accuracy), 4), "data": "Fisher's iris, 150 flowers", "seed": 7}
    for version, stored in VERSIONS.items():
        if not (models / "iris" / version).exists():
            foretell.package(
                model,
                models / "iris" / version,
                example=known,
                class_names=names,
                metadata=metadata,
                format=stored,
            )
            say(f"  iris {version}: written")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"), help="where versions are written")
    train(parser.parse_args().models)
