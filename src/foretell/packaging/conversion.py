"""An estimator converted to ONNX (``--convert onnx``), never without being asked for."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foretell.core.signature import Column, ColumnType, Output, Signature
from foretell.errors import MissingLibrary, NotStorable
from foretell.packaging.equality import RTOL_SINGLE, Answers
from foretell.packaging.estimators import Estimator, LightGBMEstimator, XGBoostEstimator
from foretell.packaging.sample import Sample

_INSTALL = "pip install 'foretell[convert,onnx]'"
_OPSETS = {"": 18, "ai.onnx.ml": 3}
"""What every converter here can write: some know no newer operators of ai.onnx.ml."""


class Converted:
    """An estimator that is written as ONNX. Numbers go in as float32, as the converters have it."""

    tells_when_written = False
    rtol = golden_rtol = RTOL_SINGLE

    def __init__(self, estimator: Estimator) -> None:
        self._estimator = estimator
        self.names = estimator.names
        self.width = estimator.width
        self.title = estimator.title
        self.distributions: Sequence[str] = (*estimator.distributions, "onnxruntime", "onnx", "skl2onnx")

    def answers(self, example: Any, sample: Sample) -> Answers | None:
        return self._estimator.answers(example, sample)

    def output(self, answers: Answers | None) -> Output | None:
        return self._estimator.output(answers)

    def write(self, folder: Path, signature: Signature | None) -> Path:
        assert signature is not None  # noqa: S101 - the port promises it where the object tells its output
        try:
            converted = _convert(self._estimator, signature)
        except ImportError as error:
            raise MissingLibrary(f"conversion needs {error.name}, which is not installed: {_INSTALL}") from error
        except NotStorable:
            raise
        except Exception as error:
            # converters raise their own families of errors, and whatever they stumble over inside a model
            raise NotStorable(
                f"{self._estimator.title} cannot be converted to ONNX: {type(error).__name__}: {str(error)[:500]}",
                hint="package it without conversion (format='auto')",
            ) from error
        path = folder / "model.onnx"
        path.write_bytes(converted)
        return path


def _convert(estimator: Estimator, signature: Signature) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converters' deprecations are theirs; what they made is checked row by row
        match estimator:
            case LightGBMEstimator():
                onnx_model = _convert_lightgbm(estimator.model, signature)
            case XGBoostEstimator():
                onnx_model = _convert_xgboost(estimator.model, signature)
            case _:
                onnx_model = _convert_sklearn(estimator.model, signature)
    _free_rows(onnx_model)
    return bytes(onnx_model.SerializeToString())


def _convert_sklearn(model: Any, signature: Signature) -> Any:
    from skl2onnx import convert_sklearn
    from skl2onnx.common import data_types as types

    _register_boosters()
    classifies = signature.output.kind == "classification" and hasattr(model, "predict_proba")
    return convert_sklearn(
        model,
        initial_types=_inputs(signature, types),
        options={id(model): {"zipmap": False}} if classifies else None,
        target_opset=_OPSETS,
    )


def _convert_lightgbm(model: Any, signature: Signature) -> Any:
    from onnxmltools.convert import convert_lightgbm
    from onnxmltools.convert.common import data_types as types

    return convert_lightgbm(model, initial_types=_inputs(signature, types), zipmap=False)


def _convert_xgboost(model: Any, signature: Signature) -> Any:
    from onnxmltools.convert import convert_xgboost
    from onnxmltools.convert.common import data_types as types

    # its converter reads features by position, and refuses a booster that carries names of its own
    booster = model.get_booster()
    names = booster.feature_names
    booster.feature_names = None
    try:
        return convert_xgboost(model, initial_types=_inputs(signature, types))
    finally:
        booster.feature_names = names


def _inputs(signature: Signature, types: Any) -> list[tuple[str, Any]]:
    """All-numeric rows are one float tensor; mixed columns come in one by one, each under its name."""
    if signature.layout == "matrix":
        return [("X", types.FloatTensorType([None, len(signature.columns)]))]
    return [(column.name, _column_type(column, types)) for column in signature.columns]


def _column_type(column: Column, types: Any) -> Any:
    match column.type:
        case ColumnType.STRING | ColumnType.CATEGORY:
            return types.StringTensorType([None, 1])
        case ColumnType.INTEGER if not column.nullable:
            return types.Int64TensorType([None, 1])
        case ColumnType.BOOLEAN if not column.nullable:
            return types.BooleanTensorType([None, 1])
        case ColumnType.DATETIME:
            raise NotStorable(f"column {column.name!r} holds dates, which ONNX has no type for")
        case _:
            return types.FloatTensorType([None, 1])


def _register_boosters() -> None:
    """Teaches skl2onnx the boosters that may stand inside a pipeline; only those whose library is loaded can."""
    loaded = [name for name in ("lightgbm", "xgboost") if name in sys.modules]
    if not loaded:
        return
    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import (
        calculate_linear_classifier_output_shapes as classifier,
    )
    from skl2onnx.common.shape_calculator import (
        calculate_linear_regressor_output_shapes as regressor,
    )

    options = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
    if "lightgbm" in loaded:
        import lightgbm
        from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm as lgbm

        update_registered_converter(
            lightgbm.LGBMClassifier, "LightGbmLGBMClassifier", classifier, lgbm, options=options
        )
        update_registered_converter(lightgbm.LGBMRegressor, "LightGbmLGBMRegressor", regressor, lgbm)
    if "xgboost" in loaded:
        import xgboost
        from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost as xgb

        update_registered_converter(xgboost.XGBClassifier, "XGBoostXGBClassifier", classifier, xgb, options=options)
        update_registered_converter(xgboost.XGBRegressor, "XGBoostXGBRegressor", regressor, xgb)


def _free_rows(onnx_model: Any) -> None:
    """Some converters promise a fixed number of rows for an output; onnxruntime then warns on every call."""
    for output in onnx_model.graph.output:
        sizes = output.type.tensor_type.shape.dim
        if len(sizes):
            sizes[0].dim_param = "rows"
