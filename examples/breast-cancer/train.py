"""Breast cancer: malignant or benign from 30 measurements of cell nuclei, a forest of 100 trees (scikit-learn)."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich import print as say
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

import foretell


def train(models: Path) -> None:
    """Writes ``models/breast-cancer/v1``."""
    tumours = load_breast_cancer(as_frame=True)
    known, unseen, known_kind, unseen_kind = train_test_split(
        tumours.data, tumours.target, test_size=0.2, random_state=7, stratify=tumours.target
    )
    model = RandomForestClassifier(n_estimators=100, random_state=7)
    model.fit(known, known_kind)
    accuracy = float(model.score(unseen, unseen_kind))
    say(f"  breast-cancer: {len(known)} tumours learned, {accuracy:.1%} of {len(unseen)} unseen ones right")

    foretell.package(
        model,
        models / "breast-cancer" / "v1",
        example=known,
        class_names=[str(name) for name in tumours.target_names],
        metadata={"accuracy": round(accuracy, 4), "data": "Wisconsin diagnostic, 569 tumours", "seed": 7},
    )
    say("  breast-cancer v1: written")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"), help="where versions are written")
    train(parser.parse_args().models)
