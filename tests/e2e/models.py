"""The repository that the end-to-end tests serve, trained once, and the estimators that say what is right."""

from __future__ import annotations

import fcntl
import pickle
import runpy
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

import foretell
from tests.tooling import miss
from tests.zoo import specimen

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FLOAT64, FLOAT32 = 1e-9, 1e-5


@dataclass(frozen=True)
class Model:
    """One model of the repository: the estimator that was packaged, rows for it, and how exact answers must be."""

    name: str
    estimator: Any
    rows: Any
    class_names: tuple[str, ...] | None = None
    rtol: float = FLOAT64

    @cached_property
    def columns(self) -> list[str] | None:
        """The column names, None where rows are arrays."""
        return [str(name) for name in self.rows.columns] if hasattr(self.rows, "columns") else None

    def take(self, count: int, first: int = 0) -> Any:
        """``count`` rows as the estimator takes them; they begin anew where there are not enough."""
        chosen = [(first + i) % len(self.rows) for i in range(count)]
        return self.rows.iloc[chosen] if self.columns else self.rows[chosen]

    def lists(self, rows: Any) -> list[list[Any]]:
        """Rows as JSON has them, missing values as null."""
        table = rows.astype(object).to_numpy() if self.columns else rows
        return [[_plain(cell) for cell in row] for row in table.tolist()]

    def objects(self, rows: Any) -> list[dict[str, Any]]:
        """Rows as objects by column name."""
        assert self.columns is not None
        return [dict(zip(self.columns, row, strict=True)) for row in self.lists(rows)]

    def csv(self, rows: Any, header: list[str] | None = None) -> str:
        """Rows as CSV: columns in the order of ``header``; without one all in their own order, and no header."""
        names = self.columns or [str(i) for i in range(np.shape(self.rows)[1])]
        order = [names.index(name) for name in header or names]
        records = [[row[i] for i in order] for row in self.lists(rows)]
        lines = [",".join(_field(cell) for cell in record) for record in records]
        return "\r\n".join([*([",".join(map(_field, header))] if header else []), *lines, ""])

    def predictions(self, rows: Any) -> list[Any]:
        """What the estimator itself predicts, as JSON has it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found: list[Any] = np.asarray(self.estimator.predict(rows)).tolist()
        return found

    def probabilities(self, rows: Any) -> Any:
        """The estimator's own probabilities, None where it has none."""
        if not hasattr(self.estimator, "predict_proba"):
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(self.estimator.predict_proba(rows), dtype=np.float64)

    def names_of(self, predictions: list[Any]) -> list[str] | None:
        """The class names that stand beside predictions, None where the key is absent."""
        classes = getattr(self.estimator, "classes_", np.empty(0)).tolist()
        if self.class_names is not None:
            return [self.class_names[classes.index(label)] for label in predictions]
        return [str(label) for label in predictions] if classes and isinstance(classes[0], str) else None


def _plain(cell: Any) -> Any:
    return None if cell is None or cell != cell else getattr(cell, "item", lambda: cell)()


def _field(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    text = cell if isinstance(cell, str) else repr(cell)
    return '"' + text.replace('"', '""') + '"' if set(text) & set('",\r\n') or not text else text


# -- building ----------------------------------------------------------------------------------------------------------


class Repository:
    """The folder of models, and beside it what each was made of."""

    def __init__(self, folder: Path) -> None:
        self.models = folder / "models"
        self._truth = folder / "truth"
        self._folder = folder

    def build(self) -> None:
        """Trains and packages what is missing; one process at a time."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._truth.mkdir(exist_ok=True)
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for build in BUILDERS:
                mark = self._truth / f"{build.__name__}.built"
                if not mark.exists():
                    build(self)
                    mark.touch()

    def find(self, name: str) -> Model:
        """What is true of a model. Where it could not be trained on this machine, skips the test, or fails it in CI."""
        if not (self._truth / f"{name}.pickle").exists():
            miss(f"{name} could not be trained: its library does not load here; pip install 'foretell[all]'")
        return self.model(name)

    @cache  # noqa: B019 - one repository a session
    def model(self, name: str) -> Model:
        """What is true of a model."""
        found: Model = pickle.loads((self._truth / f"{name}.pickle").read_bytes())
        return found

    def keep(self, model: Model) -> None:
        (self._truth / f"{model.name}.pickle").write_bytes(pickle.dumps(model))

    def package(self, model: Model, version: str = "v1", **options: Any) -> None:
        """Packages a model the way an author would, and keeps what is true of it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            foretell.package(
                model.estimator,
                self.models / model.name / version,
                example=model.rows,
                class_names=model.class_names,
                **options,
            )
        self.keep(model)


def example_models(repository: Repository) -> None:
    """The four examples by their own scripts; what they hand to ``foretell.package`` is what is true."""
    libraries = {"iris": "sklearn", "diabetes": "xgboost", "breast-cancer": "sklearn", "preferences": "lightgbm"}
    for name, library in libraries.items():
        with suppress(
            ImportError, OSError, foretell.errors.UnrecognisedArtifact
        ):  # a library that does not load here: the model is left out
            __import__(library)
            _run_example(name, repository)


def _run_example(name: str, repository: Repository) -> None:
    original = foretell.package

    def recorded(model: Any, path: Any, *, example: Any, class_names: Any = None, **options: Any) -> Any:
        names = None if class_names is None else tuple(class_names)
        rtol = FLOAT32 if name in ("diabetes",) else FLOAT64
        written = original(model, path, example=example, class_names=class_names, **options)
        repository.keep(Model(name, model, example, names, rtol))
        return written

    sys.path.insert(0, str(EXAMPLES / name))
    foretell.package = recorded
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            runpy.run_path(str(EXAMPLES / name / "train.py"))["train"](repository.models)
    finally:
        foretell.package = original
        sys.path.remove(str(EXAMPLES / name))


def plain_models(repository: Repository) -> None:
    """Classes that are texts; no probabilities and no column names; several outputs."""
    from sklearn.linear_model import LinearRegression
    from sklearn.naive_bayes import GaussianNB

    from tests.zoo import iris_frame, numbers

    flowers, kinds = iris_frame()
    names = np.array(["setosa", "versicolor", "virginica"])[kinds.to_numpy()]
    repository.package(Model("species", GaussianNB().fit(flowers, names), flowers))
    margin = specimen("sklearn-no-probabilities")
    repository.package(Model("margin", margin.estimator, margin.X))
    X, y = numbers()
    repository.package(Model("pair", LinearRegression().fit(X, np.c_[y, -2.0 * y]), X))


def mixed_models(repository: Repository) -> None:
    """Mixed columns with declared bounds, a closed list, missing values and free text; columns with unlucky names."""
    import pandas
    from sklearn.compose import ColumnTransformer
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    from tests.zoo import customers

    frame, left = customers()
    rng = np.random.default_rng(5)
    frame = frame.assign(
        newsletter=rng.random(len(frame)) < 0.5,
        comment=rng.choice(["très content", "late delivery, again", 'said "no"', "fine\nthanks"], len(frame)),
    )
    number = make_pipeline(SimpleImputer(), StandardScaler())
    text = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    split = ColumnTransformer(
        [
            ("number", number, ["age", "tenure_months", "spend"]),
            ("flag", "passthrough", ["newsletter"]),
            ("text", text, ["plan", "city"]),
            ("words", CountVectorizer(), "comment"),
        ]
    )
    declared = {
        "age": {"minimum": 0, "maximum": 120},
        "tenure_months": {"type": "integer", "minimum": 0},
        "spend": {"exclusive_minimum": 0.0},
        "plan": {"categories": ["basic", "gold", "silver"], "closed": True},
        "comment": {"type": "string", "max_length": 200},
    }
    churn = make_pipeline(split, LogisticRegression(max_iter=1000)).fit(frame, left)
    repository.package(Model("customers", churn, frame, ("stays", "leaves")), declare=declared)

    unlucky = pandas.DataFrame(rng.normal(size=(50, 3)), columns=["features", "model_version", "x/y~z"])
    fitted = LinearRegression().fit(unlucky, unlucky.sum(axis=1))
    repository.package(Model("unlucky", fitted, unlucky))


def graphs(repository: Repository) -> None:
    """ONNX graphs without a manifest: one that takes tensors, and one that fails or gives NaN for some inputs."""
    import onnx
    from onnx import TensorProto as T
    from onnx import helper as h

    def write(name: str, nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: list[Any]) -> None:
        graph = h.make_graph(nodes, name, inputs, outputs, constants)
        made = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(made)
        folder = repository.models / name / "v1"
        folder.mkdir(parents=True)
        onnx.save(made, str(folder / "model.onnx"))

    axes = h.make_tensor("axes", T.INT64, [2], [1, 2])
    image = h.make_tensor_value_info("image", T.FLOAT, ["n", 2, 3])
    bias = h.make_tensor_value_info("bias", T.FLOAT, ["n", 1])
    total = h.make_tensor_value_info("total", T.FLOAT, ["n", 1])
    write(
        "image",
        [
            h.make_node("ReduceSum", ["image", "axes"], ["sum"], keepdims=0),
            h.make_node("Unsqueeze", ["sum", "one"], ["col"]),
            h.make_node("Add", ["col", "bias"], ["total"]),
        ],
        [image, bias],
        [total],
        [axes, h.make_tensor("one", T.INT64, [1], [1])],
    )
    # y = log(x0 + 1) + table[int(x1)]: NaN below -1, minus infinity at -1, the runtime fails where x1 is no index
    row = h.make_tensor_value_info("X", T.FLOAT, ["n", 2])
    y = h.make_tensor_value_info("y", T.FLOAT, ["n", 1])
    write(
        "fragile",
        [
            h.make_node("Gather", ["X", "zero"], ["x0"], axis=1),
            h.make_node("Gather", ["X", "first"], ["x1"], axis=1),
            h.make_node("Add", ["x0", "unit"], ["more"]),
            h.make_node("Log", ["more"], ["log"]),
            h.make_node("Cast", ["x1"], ["index"], to=T.INT64),
            h.make_node("Gather", ["table", "index"], ["found"], axis=0),
            h.make_node("Add", ["log", "found"], ["y"]),
        ],
        [row],
        [y],
        [
            h.make_tensor("zero", T.INT64, [1], [0]),
            h.make_tensor("first", T.INT64, [1], [1]),
            h.make_tensor("unit", T.FLOAT, [1], [1.0]),
            h.make_tensor("table", T.FLOAT, [3], [10.0, 20.0, 30.0]),
        ],
    )


BUILDERS: tuple[Callable[[Repository], None], ...] = (example_models, plain_models, mixed_models, graphs)
