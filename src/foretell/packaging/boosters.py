"""Bare boosters of XGBoost and LightGBM, given as objects."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from foretell.core.signature import Output, Signature
from foretell.errors import PackagingError
from foretell.packaging.equality import RTOL_DOUBLE, RTOL_SINGLE, Answers
from foretell.packaging.frames import frame_of
from foretell.packaging.sample import Sample


class _Booster(ABC):
    tells_when_written = True
    names: Sequence[str] | None = None
    width: int | None = None

    def __init__(self, model: Any) -> None:
        self.model = model

    def output(self, _answers: Answers | None) -> Output | None:
        return None  # the objective tells, and the runtime reads it from the written file

    def answers(self, example: Any, sample: Sample) -> Answers | None:
        rows = frame_of(sample, "category") if example is None and not _numeric(sample) else example
        if rows is None:
            rows = np.column_stack([column.values.astype(np.float64) for column in sample.columns])
        try:
            return Answers(np.asarray(self._predict(rows)), raw=True)
        except Exception as error:
            # the author's own model and data: whatever it raises is the answer to «why does it not package»
            raise PackagingError(
                f"the booster itself fails on the example: {type(error).__name__}: {str(error)[:500]}",
                hint="give as example the same columns, with the same types, that it was trained on",
            ) from error

    @abstractmethod
    def _predict(self, rows: Any) -> Any: ...


class XGBoostBooster(_Booster):
    """An ``xgboost.Booster``."""

    title = "XGBoost Booster"
    rtol = golden_rtol = RTOL_SINGLE
    distributions: Sequence[str] = ("xgboost", "numpy")

    def write(self, folder: Path, _signature: Signature | None) -> Path:
        path = folder / "model.ubj"
        self._best().save_model(path)
        return path

    def _best(self) -> Any:
        """The trees up to the best iteration, where early stopping found one: those alone are meant to answer."""
        best = self.model.attr("best_iteration")
        return self.model if best is None else self.model[: int(best) + 1]

    def _predict(self, rows: Any) -> Any:
        import xgboost

        framed = hasattr(rows, "columns")
        names = None if framed else self.model.feature_names
        data = xgboost.DMatrix(rows, feature_names=names, enable_categorical=True)
        return self._best().predict(data)


class LightGBMBooster(_Booster):
    """A ``lightgbm.Booster``."""

    title = "LightGBM Booster"
    rtol = golden_rtol = RTOL_DOUBLE
    distributions: Sequence[str] = ("lightgbm", "numpy")

    def write(self, folder: Path, _signature: Signature | None) -> Path:
        path = folder / "model.txt"
        self.model.save_model(path)
        return path

    def _predict(self, rows: Any) -> Any:
        return self.model.predict(rows)


def _numeric(sample: Sample) -> bool:
    return all(column.type.numeric for column in sample.columns)
