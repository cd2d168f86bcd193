"""Small fitted models of every kind that is served, with the data they were fitted on.

Each is fitted once per process, when it is first asked for; ``specimen("sklearn-forest").write(folder)`` writes
the artifact.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foretell.core.signature import Column, ColumnType, Output, Signature
from foretell.core.values import Inputs, Matrix, Table, Tensors, column_array

Builder = Callable[[], "Specimen"]


@dataclass(frozen=True)
class Specimen:
    """A fitted ``estimator``, its training rows ``X`` (array or data frame) and ``y``, and how it is written.

    ``signature`` is what a manifest would say; None where the artifact tells everything itself. ``rtol`` is what
    contract §5 allows between the estimator's numbers and the artifact's.
    """

    runtime: str
    suffix: str
    estimator: Any
    X: Any
    y: Any
    save: Callable[[Path], None]
    signature: Signature | None = None
    rtol: float = 1e-9
    probabilities: bool = field(default=True)

    def write(self, folder: Path, name: str = "model") -> Path:
        """Writes the artifact into ``folder``; its path."""
        path = folder / f"{name}{self.suffix}"
        self.save(path)
        return path

    def predict(self, X: Any) -> Any:
        """What the estimator itself predicts."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(self.estimator.predict(X))

    def predict_proba(self, X: Any) -> Any:
        """The estimator's own probabilities, or None."""
        if not self.probabilities or not hasattr(self.estimator, "predict_proba"):
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = self.estimator.predict_proba(X)
        return None if isinstance(found, list) else np.asarray(found)


def inputs_of(X: Any, signature: Signature) -> Inputs:
    """Rows of an array or data frame as the inputs a runtime gets."""
    if signature.layout == "matrix":
        return Matrix(np.ascontiguousarray(np.asarray(X, dtype=np.float64)))
    if signature.layout == "tensors":
        (tensor,) = signature.tensors
        return Tensors({tensor.name: np.ascontiguousarray(np.asarray(X, dtype=tensor.dtype))})
    columns = {}
    for position, column in enumerate(signature.columns):
        cells = list(X[column.name]) if hasattr(X, "columns") else [row[position] for row in X]
        plain = [None if cell is None or cell != cell else getattr(cell, "item", lambda c=cell: c)() for cell in cells]
        columns[column.name] = column_array(column, plain)
    return Table(columns)


def take(X: Any, rows: Any) -> Any:
    """Some rows of an array or data frame."""
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


_BUILDERS: dict[str, Builder] = {}


def _specimen(name: str) -> Callable[[Builder], Builder]:
    def register(builder: Builder) -> Builder:
        _BUILDERS[name] = builder
        return builder

    return register


def names(*runtimes: str) -> list[str]:
    """All specimens, or those of some runtimes; fits nothing."""
    return [name for name in _BUILDERS if not runtimes or name.partition("-")[0] in runtimes]


PACKAGED = ("sklearn", "onnx", "xgboost", "lightgbm")
"""Runtimes whose specimens hold an estimator that ``foretell.package`` takes as it is."""


@cache
def specimen(name: str) -> Specimen:
    """The specimen, fitted on first use."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _BUILDERS[name]()


# -- data --------------------------------------------------------------------------------------------------------------


@cache
def iris() -> tuple[Any, Any]:
    """150 flowers, 4 columns, classes 0, 1, 2."""
    from sklearn.datasets import load_iris

    X, y = load_iris(return_X_y=True)
    return X, y


@cache
def iris_frame() -> tuple[Any, Any]:
    """Iris with its column names, as pandas has it."""
    from sklearn.datasets import load_iris

    found = load_iris(as_frame=True)
    return found.data, found.target


@cache
def numbers() -> tuple[Any, Any]:
    """120 rows of 5 numbers and a target that depends on them."""
    rng = np.random.default_rng(7)
    X = rng.normal(size=(120, 5))
    return X, X @ [1.0, -2.0, 0.5, 0.0, 3.0] + rng.normal(scale=0.1, size=120)


@cache
def customers() -> tuple[Any, Any]:
    """Mixed columns with missing values, and whether the customer left."""
    import pandas

    rng = np.random.default_rng(11)
    plan = rng.choice(["basic", "gold", "silver"], size=160).astype(object)
    age = rng.integers(18, 80, size=160).astype(float)
    age[::9] = np.nan
    plan[::13] = np.nan
    frame = pandas.DataFrame(
        {
            "age": age,
            "plan": plan,
            "tenure_months": rng.integers(0, 60, size=160),
            "spend": rng.gamma(2.0, 40.0, size=160),
            "city": rng.choice(["Oslo", "Porto", "Turin"], size=160),
        }
    )
    return frame, (frame.spend.to_numpy() + 2 * frame.tenure_months.to_numpy() > 130).astype(int)


CUSTOMER_COLUMNS = (
    Column("age", ColumnType.FLOAT, nullable=True),
    Column("plan", ColumnType.CATEGORY, nullable=True, categories=("basic", "gold", "silver")),
    Column("tenure_months", ColumnType.INTEGER),
    Column("spend", ColumnType.FLOAT),
    Column("city", ColumnType.CATEGORY, categories=("Oslo", "Porto", "Turin")),
)


# -- scikit-learn ------------------------------------------------------------------------------------------------------


def skops_specimen(estimator: Any, X: Any, y: Any, signature: Signature | None = None) -> Specimen:
    """Fits the estimator and stores it by skops."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(X, y)

    def save(path: Path) -> None:
        import skops.io

        skops.io.dump(estimator, path)

    return Specimen("sklearn", ".skops", estimator, X, y, save, signature)


@_specimen("sklearn-iris-logistic")
def _iris_logistic() -> Specimen:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return skops_specimen(make_pipeline(StandardScaler(), LogisticRegression()), *iris())


@_specimen("sklearn-iris-named")
def _iris_named() -> Specimen:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return skops_specimen(make_pipeline(StandardScaler(), LogisticRegression()), *iris_frame())


@_specimen("sklearn-forest")
def _forest() -> Specimen:
    from sklearn.ensemble import RandomForestClassifier

    return skops_specimen(RandomForestClassifier(20, random_state=0), *iris())


@_specimen("sklearn-hist-boosting")
def _hist_boosting() -> Specimen:
    from sklearn.ensemble import HistGradientBoostingClassifier

    X, y = iris()
    holes = X.copy()
    holes[::7, 1] = np.nan
    return skops_specimen(HistGradientBoostingClassifier(max_iter=10), holes, y)


@_specimen("sklearn-boosting")
def _boosting() -> Specimen:
    from sklearn.ensemble import GradientBoostingClassifier

    return skops_specimen(GradientBoostingClassifier(n_estimators=10, random_state=0), *iris())


@_specimen("sklearn-neighbours")
def _neighbours() -> Specimen:
    from sklearn.neighbors import KNeighborsClassifier

    return skops_specimen(KNeighborsClassifier(algorithm="kd_tree"), *iris())


@_specimen("sklearn-text-classes")
def _text_classes() -> Specimen:
    from sklearn.naive_bayes import GaussianNB

    X, y = iris()
    return skops_specimen(GaussianNB(), X, np.array(["setosa", "versicolor", "virginica"])[y])


@_specimen("sklearn-boolean-classes")
def _boolean_classes() -> Specimen:
    from sklearn.linear_model import LogisticRegression

    X, y = iris()
    return skops_specimen(LogisticRegression(), X, y == 2)


@_specimen("sklearn-no-probabilities")
def _no_probabilities() -> Specimen:
    from sklearn.svm import LinearSVC

    return skops_specimen(LinearSVC(), *iris())


@_specimen("sklearn-support-vectors")
def _support_vectors() -> Specimen:
    from sklearn.svm import SVC

    return skops_specimen(SVC(probability=True, random_state=0), *iris())


@_specimen("sklearn-regressor")
def _regressor() -> Specimen:
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return skops_specimen(make_pipeline(StandardScaler(), Ridge()), *numbers())


@_specimen("sklearn-regressor-several")
def _regressor_several() -> Specimen:
    from sklearn.ensemble import ExtraTreesRegressor

    X, y = numbers()
    return skops_specimen(ExtraTreesRegressor(10, random_state=0), X, np.c_[y, -y])


@_specimen("sklearn-classifier-several")
def _classifier_several() -> Specimen:
    from sklearn.linear_model import LogisticRegression
    from sklearn.multioutput import MultiOutputClassifier

    X, y = iris()
    return skops_specimen(MultiOutputClassifier(LogisticRegression()), X, np.c_[y, y > 0])


@_specimen("sklearn-mixed")
def _mixed() -> Specimen:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    number = make_pipeline(SimpleImputer(), StandardScaler())
    text = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    split = ColumnTransformer([("number", number, ["age", "tenure_months", "spend"]), ("text", text, ["plan", "city"])])
    signature = Signature(CUSTOMER_COLUMNS, output=Output("classification", classes=(0, 1), probabilities=True))
    return skops_specimen(make_pipeline(split, LogisticRegression()), *customers(), signature)


@_specimen("sklearn-outliers")
def _outliers() -> Specimen:
    from sklearn.ensemble import IsolationForest

    return skops_specimen(IsolationForest(n_estimators=10, random_state=0), *iris())


@_specimen("sklearn-clusters")
def _clusters() -> Specimen:
    from sklearn.cluster import KMeans

    return skops_specimen(KMeans(3, random_state=0, n_init=1), *iris())


# -- ONNX --------------------------------------------------------------------------------------------------------------


def onnx_specimen(estimator: Any, X: Any, y: Any, options: Any = None, signature: Signature | None = None) -> Specimen:
    """Fits the estimator and converts it, as float32."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(X, y)

    def save(path: Path) -> None:
        from skl2onnx import to_onnx

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            path.write_bytes(to_onnx(estimator, X[:1].astype(np.float32), options=options).SerializeToString())

    return Specimen("onnx", ".onnx", estimator, X.astype(np.float32), y, save, signature, rtol=1e-5)


@_specimen("onnx-iris-logistic")
def _onnx_iris() -> Specimen:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return onnx_specimen(make_pipeline(StandardScaler(), LogisticRegression()), *iris(), {"zipmap": False})


@_specimen("onnx-maps")
def _onnx_maps() -> Specimen:
    from sklearn.linear_model import LogisticRegression

    X, y = iris()
    return onnx_specimen(LogisticRegression(), X, np.array(["a", "b", "c"])[y])


@_specimen("onnx-forest-text-classes")
def _onnx_forest() -> Specimen:
    from sklearn.ensemble import RandomForestClassifier

    X, y = iris()
    texts = np.array(["setosa", "versicolor", "virginica"])[y]
    # Trees cut between float64 neighbours: trained on float32 rows, both sides cut alike.
    return onnx_specimen(RandomForestClassifier(5, random_state=0), X.astype(np.float32), texts, {"zipmap": False})


@_specimen("onnx-regressor")
def _onnx_regressor() -> Specimen:
    from sklearn.linear_model import Ridge

    return onnx_specimen(Ridge(), *numbers())


@_specimen("onnx-regressor-several")
def _onnx_regressor_several() -> Specimen:
    from sklearn.linear_model import LinearRegression

    X, y = numbers()
    return onnx_specimen(LinearRegression(), X, np.c_[y, -y])


@_specimen("onnx-mixed")
def _onnx_mixed() -> Specimen:
    """One input a column, texts among them."""
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame, y = customers()
    X = frame[["spend", "tenure_months", "city"]].astype({"spend": np.float32, "tenure_months": np.float32})
    split = ColumnTransformer([("n", StandardScaler(), ["spend", "tenure_months"]), ("c", OneHotEncoder(), ["city"])])
    estimator = make_pipeline(split, LogisticRegression()).fit(X, y)

    def save(path: Path) -> None:
        from skl2onnx import to_onnx
        from skl2onnx.common.data_types import FloatTensorType, StringTensorType

        one, text = FloatTensorType([None, 1]), StringTensorType([None, 1])
        types = [("spend", one), ("tenure_months", one), ("city", text)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            converted = to_onnx(estimator, initial_types=types, options={"zipmap": False})
        path.write_bytes(converted.SerializeToString())

    return Specimen("onnx", ".onnx", estimator, X, y, save, rtol=1e-5)


# -- boosters ----------------------------------------------------------------------------------------------------------


def xgboost_specimen(
    estimator: Any, X: Any, y: Any, suffix: str = ".ubj", signature: Signature | None = None
) -> Specimen:
    """Fits an XGBoost wrapper and saves its booster."""
    estimator.fit(X, y)
    return Specimen("xgboost", suffix, estimator, X, y, estimator.save_model, signature, rtol=1e-5)


@_specimen("xgboost-classifier")
def _xgboost_classifier() -> Specimen:
    from xgboost import XGBClassifier

    return xgboost_specimen(XGBClassifier(n_estimators=5, n_jobs=1), *iris())


@_specimen("xgboost-named-json")
def _xgboost_named() -> Specimen:
    from xgboost import XGBClassifier

    X, y = iris_frame()
    return xgboost_specimen(XGBClassifier(n_estimators=5, n_jobs=1), X, (y == 2).astype(int), ".json")


@_specimen("xgboost-regressor")
def _xgboost_regressor() -> Specimen:
    from xgboost import XGBRegressor

    X, y = numbers()
    holes = X.copy()
    holes[::5, 2] = np.nan
    return xgboost_specimen(XGBRegressor(n_estimators=5, n_jobs=1), holes, y)


@_specimen("xgboost-regressor-several")
def _xgboost_regressor_several() -> Specimen:
    from xgboost import XGBRegressor

    X, y = numbers()
    return xgboost_specimen(XGBRegressor(n_estimators=5, n_jobs=1), X, np.c_[y, -y])


@_specimen("xgboost-linear")
def _xgboost_linear() -> Specimen:
    from xgboost import XGBRegressor

    return xgboost_specimen(
        XGBRegressor(n_estimators=5, n_jobs=1, booster="gblinear", updater="coord_descent"), *numbers()
    )


@_specimen("xgboost-categories")
def _xgboost_categories() -> Specimen:
    from xgboost import XGBClassifier

    X, y = category_frame()
    return xgboost_specimen(XGBClassifier(n_estimators=5, n_jobs=1, enable_categorical=True), X, y)


@cache
def category_frame() -> tuple[Any, Any]:
    """The customers, their texts as pandas categories."""
    frame, y = customers()
    return frame.astype({"plan": "category", "city": "category", "tenure_months": float}), y


def lightgbm_specimen(estimator: Any, X: Any, y: Any, signature: Signature | None = None) -> Specimen:
    """Fits a LightGBM wrapper and saves its booster as text."""
    estimator.fit(X, y)
    return Specimen("lightgbm", ".txt", estimator, X, y, estimator.booster_.save_model, signature, rtol=1e-9)


@_specimen("lightgbm-classifier")
def _lightgbm_classifier() -> Specimen:
    from lightgbm import LGBMClassifier

    return lightgbm_specimen(LGBMClassifier(n_estimators=5, n_jobs=1, verbose=-1), *iris())


@_specimen("lightgbm-regressor")
def _lightgbm_regressor() -> Specimen:
    from lightgbm import LGBMRegressor

    return lightgbm_specimen(LGBMRegressor(n_estimators=5, n_jobs=1, verbose=-1), *numbers())


@_specimen("lightgbm-categories")
def _lightgbm_categories() -> Specimen:
    from lightgbm import LGBMClassifier

    X, y = category_frame()
    return lightgbm_specimen(LGBMClassifier(n_estimators=5, n_jobs=1, verbose=-1, min_child_samples=5), X, y)


@_specimen("lightgbm-categories-named-classes")
def _lightgbm_named_classes() -> Specimen:
    from lightgbm import LGBMClassifier

    X, y = category_frame()
    output = Output("classification", classes=("left", "stayed"), probabilities=True)
    signature = Signature(CUSTOMER_COLUMNS, output=output)
    texts = np.array(["left", "stayed"])[y]
    return lightgbm_specimen(LGBMClassifier(n_estimators=5, n_jobs=1, verbose=-1), X, texts, signature)


# -- Python ------------------------------------------------------------------------------------------------------------


class Nearest:
    """Shares by the distance to three points: an estimator that is nobody's library."""

    centres = np.array([[5.0, 3.4, 1.5, 0.2], [5.9, 2.8, 4.3, 1.3], [6.6, 3.0, 5.6, 2.0]])

    def predict_proba(self, X: Any) -> Any:
        """Three shares a row."""
        near = np.exp(-((X[:, None] - self.centres) ** 2).sum(axis=2))
        return near / near.sum(axis=1, keepdims=True)

    def predict(self, X: Any) -> Any:
        """The names of the points."""
        return np.array(["a", "b", "c"])[self.predict_proba(X).argmax(axis=1)]


class Spending:
    """A sum over mixed columns, some of them missing."""

    def predict(self, X: Any) -> Any:
        """One number a row."""
        bonus = X.plan.map({"basic": 1.0, "gold": 3.0}).fillna(0.0)
        return np.asarray(X.spend + X.tenure_months * 2 + X.age.fillna(40.0) + bonus)


def python_specimen(source: str, estimator: Any, X: Any, y: Any) -> Specimen:
    """A ``model.py`` that answers as ``estimator`` does."""

    def save(path: Path) -> None:
        path.write_text(source)

    return Specimen("python", ".py", estimator, X, y, save)


@_specimen("python-classifier")
def _python_classifier() -> Specimen:
    source = """
import numpy as np
from pathlib import Path
from typing import Literal

class Nearest:
    def load(self, folder: Path) -> None:
        self.centres = np.array([[5.0, 3.4, 1.5, 0.2], [5.9, 2.8, 4.3, 1.3], [6.6, 3.0, 5.6, 2.0]])

    def predict(self, w: float, x: float, y: float, z: float) -> dict[Literal["a", "b", "c"], float]:
        near = np.exp(-((np.stack([w, x, y, z], axis=1)[:, None] - self.centres) ** 2).sum(axis=2))
        return {"probabilities": near / near.sum(axis=1, keepdims=True)}
"""
    return python_specimen(source, Nearest(), *iris())


@_specimen("python-mixed")
def _python_mixed() -> Specimen:
    source = """
import numpy as np

class Spending:
    def predict(self, age: float | None, plan: str | None, tenure_months: int, spend: float, city: str) -> float:
        bonus = np.array([{"basic": 1.0, "gold": 3.0}.get(name, 0.0) for name in plan])
        return spend + tenure_months * 2 + np.where(np.isnan(age), 40.0, age) + bonus
"""
    return python_specimen(source, Spending(), *customers())


# -- PyTorch -----------------------------------------------------------------------------------------------------------


class Layer:
    """One layer of three classes, computed by numpy in the precision of the artifacts."""

    def __init__(self, classes: Any = (0, 1, 2)) -> None:
        rng = np.random.default_rng(5)
        self.weights = rng.normal(size=(3, 4)).astype(np.float32)
        self.bias = rng.normal(size=3).astype(np.float32)
        self.classes_ = np.array(classes)

    def predict_proba(self, X: Any) -> Any:
        """Three shares a row."""
        scores = np.exp(np.asarray(X, dtype=np.float32) @ self.weights.T + self.bias)
        return scores / scores.sum(axis=1, keepdims=True)

    def predict(self, X: Any) -> Any:
        """The likeliest class."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def flowers(output: Output) -> Signature:
    """The columns of iris, as a manifest has them."""
    return Signature(tuple(Column(name) for name in ("sl", "sw", "pl", "pw")), output=output)


def torch_module(layer: Layer) -> Any:
    """The layer as a module of torch's."""
    torch = pytest.importorskip("torch", reason="pip install 'foretell[torch]'")
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Softmax(1)).eval()
    module[0].weight.data = torch.tensor(layer.weights)
    module[0].bias.data = torch.tensor(layer.bias)
    return module


@_specimen("torch-export")
def _torch_export() -> Specimen:
    layer = Layer(["a", "b", "c"])
    module = torch_module(layer)

    def save(path: Path) -> None:
        import torch

        rows = torch.export.Dim("rows")
        exported = torch.export.export(module, (torch.zeros(2, 4),), dynamic_shapes=({0: rows},))
        torch.export.save(exported, path)

    signature = flowers(Output("classification", classes=("a", "b", "c"), probabilities=True))
    return Specimen("torch", ".pt2", layer, *iris(), save, signature, rtol=1e-5)


class Sum:
    """The sum of a row, in float32."""

    def predict(self, X: Any) -> Any:
        """One number a row."""
        return np.asarray(X, dtype=np.float32).sum(axis=1)


@_specimen("torch-script")
def _torch_script() -> Specimen:
    torch = pytest.importorskip("torch", reason="pip install 'foretell[torch]'")

    def save(path: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.jit.trace(lambda x: x.sum(1), (torch.zeros(2, 4),)).save(str(path))

    return Specimen("torch", ".pt", Sum(), *iris(), save, flowers(Output("regression")), rtol=1e-5)


# -- LiteRT ------------------------------------------------------------------------------------------------------------


@_specimen("litert-layer")
def _litert_layer() -> Specimen:
    from tests.litert_graphs import softmax_layer

    layer = Layer()
    content = softmax_layer(layer.weights, layer.bias)

    def save(path: Path) -> None:
        path.write_bytes(content)

    signature = flowers(Output("classification", classes=(0, 1, 2), probabilities=True))
    return Specimen("litert", ".tflite", layer, *iris(), save, signature, rtol=1e-5)
