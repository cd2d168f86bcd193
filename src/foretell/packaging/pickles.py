"""Pickle and joblib files, opened on their author's word and only then: loading one runs whatever it holds."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foretell.errors import LoadFailed, MissingLibrary
from foretell.packaging.versions import installed


@dataclass(frozen=True)
class Unpickled:
    """What was in the file. ``libraries`` are versions the file itself tells, where they are others than those here."""

    model: Any
    libraries: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def open_pickle(path: Path) -> Unpickled:
    """Loads the file, which runs code from it. Raises MissingLibrary or LoadFailed."""
    try:
        import joblib
    except ImportError as error:
        raise MissingLibrary("joblib is not installed: pip install 'foretell[sklearn]'") from error
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model = joblib.load(path)
        except ModuleNotFoundError as error:
            raise MissingLibrary(
                f"{path.name} needs the module {error.name!r}, which is not installed here",
                hint="install it, then run this again",
            ) from error
        except AttributeError as error:
            raise LoadFailed(
                f"{path.name} refers to code that is not here: {str(error)[:300]}",
                hint="package the model from the program that defines it: foretell.package(model, ...)",
            ) from error
        except Exception as error:
            # unpickling may raise anything: the file is a program
            raise LoadFailed(f"{path.name} cannot be loaded: {type(error).__name__}: {str(error)[:300]}") from error
    trained = {version for warning in caught if (version := getattr(warning.message, "original_sklearn_version", None))}
    if not trained:
        return Unpickled(model)
    version = min(trained)
    note = f"{path.name} was trained with scikit-learn {version}, and {installed('scikit-learn')} is installed here"
    return Unpickled(model, {"scikit-learn": version}, (note,))
