"""Preferences: the product categories a shopper will want next, from browsing and past purchases (LightGBM)."""

from __future__ import annotations

import argparse
from pathlib import Path

from lightgbm import LGBMClassifier
from rich import print as say
from shoppers import draw
from sklearn.model_selection import train_test_split

import foretell


def train(models: Path) -> None:
    """Writes ``models/preferences/v1``."""
    shoppers, wanted = draw(6000, seed=7)
    known, unseen, known_wanted, unseen_wanted = train_test_split(shoppers, wanted, test_size=0.2, random_state=7)
    model = LGBMClassifier(
        n_estimators=80, num_leaves=15, learning_rate=0.08, random_state=7, n_jobs=1, deterministic=True, verbosity=-1
    )
    model.fit(known, known_wanted)
    best = model.predict_proba(unseen).argsort(axis=1)[:, ::-1]
    answers = model.classes_[best]
    first = float((answers[:, 0] == unseen_wanted).mean())
    among_three = float((answers[:, :3] == unseen_wanted.to_numpy()[:, None]).any(axis=1).mean())
    say(f"  preferences: {len(known)} learned, right at first {first:.0%}, among three {among_three:.0%}")

    metadata = {"accuracy": round(first, 4), "top_3_accuracy": round(among_three, 4), "data": "drawn by shoppers.py"}
    foretell.package(model, models / "preferences" / "v1", example=known, metadata=metadata)
    say("  preferences v1: written")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"), help="where versions are written")
    train(parser.parse_args().models)
