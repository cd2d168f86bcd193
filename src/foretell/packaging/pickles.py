"""Pickle and joblib files, opened on their author's word and only then: loading one runs whatever it holds."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foretell.packaging.versions import installed
from foretell.runtimes.pickle import unpickle


@dataclass(frozen=True)
class Unpickled:
    """What was in the file. ``libraries`` are versions the file itself tells, where they are others than those here."""

    model: Any
    libraries: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def open_pickle(path: Path) -> Unpickled:
    """Loads the file, which runs code from it. Raises MissingLibrary or LoadFailed."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = unpickle(path)
    trained = {version for warning in caught if (version := getattr(warning.message, "original_sklearn_version", None))}
    if not trained:
        return Unpickled(model)
    version = min(trained)
    note = f"{path.name} was trained with scikit-learn {version}, and {installed('scikit-learn')} is installed here"
    return Unpickled(model, {"scikit-learn": version}, (note,))
