"""``foretell.package``: every model of the zoo, refusals, and what an author meets in a notebook."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import foretell
from foretell.core.manifest import Manifest
from foretell.core.signature import ColumnType, Signature
from foretell.core.values import Inputs, Outputs
from foretell.errors import (
    ConversionDiffers,
    ForetellError,
    LoadFailed,
    MissingLibrary,
    NotStorable,
    PackagingError,
    PathMissing,
    SignatureMissing,
    UnrecognisedArtifact,
    UntrustedArtifact,
    VersionExists,
)
from foretell.packaging.example import Example
from foretell.packaging.packing import CHECKED_ROWS_MAX, Order, Packaged, pack
from foretell.runtimes.base import Isolation, LoadOptions, Model, Recognition, Runtime
from foretell.runtimes.registry import installed
from foretell.sources.local import LocalSource
from tests import zoo
from tests.doctoring import doctor

NAMES = ["setosa", "versicolor", "virginica"]


def read(folder: Path) -> Manifest:
    return Manifest.from_document(tomllib.loads((folder / "manifest.toml").read_text()))


def load(packaged: Packaged) -> Model:
    manifest = read(packaged.path)
    artifact = packaged.path / manifest.artifacts[0].name
    return installed().get(manifest.runtime).load(artifact, manifest.signature, LoadOptions())


def refused(tmp_path: Path, kind: type[ForetellError], model: Any, **options: Any) -> ForetellError:
    """The error of a package() that must fail and leave nothing."""
    options.setdefault("example", zoo.iris()[0])
    with pytest.raises(kind) as caught:
        foretell.package(model, tmp_path / "models" / "m" / "v1", **options)
    assert list(tmp_path.iterdir()) == []
    return caught.value


def iris_model() -> Any:
    return zoo.specimen("sklearn-iris-logistic").estimator


# -- every model -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", zoo.names(*zoo.PACKAGED))
def test_a_packaged_model_loads_and_answers_the_same(name: str, tmp_path: Path) -> None:
    specimen = zoo.specimen(name)
    packaged = foretell.package(specimen.estimator, tmp_path / "m" / "v1", example=specimen.X)
    model = load(packaged)
    outputs = model.predict(zoo.inputs_of(specimen.X, model.signature))
    wanted = specimen.predict(specimen.X)
    if wanted.dtype.kind == "f":
        np.testing.assert_allclose(np.asarray(outputs.values).reshape(wanted.shape), wanted, rtol=1e-5, atol=1e-9)
    else:
        assert np.array(outputs.listed.predictions).tolist() == wanted.tolist()
    shares = specimen.predict_proba(specimen.X)
    if shares is not None:
        np.testing.assert_allclose(np.asarray(outputs.probabilities), shares, rtol=1e-5, atol=1e-5)
    report = doctor(LocalSource(tmp_path, installed().recognise)).examine(tmp_path)
    assert report.servable, report.to_document()
    assert report.versions[0].golden is not None
    assert report.versions[0].golden.passed


@pytest.mark.parametrize("name", zoo.names("sklearn"))
def test_what_the_estimator_tells_is_what_the_artifact_tells(name: str, tmp_path: Path) -> None:
    specimen = zoo.specimen(name)
    packaged = foretell.package(specimen.estimator, tmp_path / "m" / "v1", example=specimen.X)
    own = installed().get("sklearn").load(packaged.path / "model.skops", None, LoadOptions()).signature
    assert packaged.signature.output == own.output
    assert packaged.signature.names == own.names
    assert packaged.signature.named == own.named


@pytest.mark.parametrize(
    "name", ["onnx-iris-logistic", "onnx-mixed", "xgboost-named-json", "lightgbm-categories", "sklearn-forest"]
)
def test_a_model_file_is_taken_over_byte_by_byte(name: str, tmp_path: Path) -> None:
    specimen = zoo.specimen(name)
    path = specimen.write(tmp_path, "given")
    packaged = foretell.package(path, tmp_path / "models" / "m" / "v1", example=specimen.X)
    assert (packaged.path / packaged.manifest.artifacts[0].name).read_bytes() == path.read_bytes()
    assert not packaged.compared
    assert "example rows answered; " in str(packaged)
    assert len(packaged.manifest.golden) == 10


def test_a_bare_booster_packages_as_its_wrapper_does(tmp_path: Path) -> None:
    for name, inner in (
        ("xgboost-named-json", "get_booster"),
        ("xgboost-classifier", "get_booster"),
        ("xgboost-categories", "get_booster"),
    ):
        specimen = zoo.specimen(name)
        packaged = foretell.package(getattr(specimen.estimator, inner)(), tmp_path / name / "v1", example=specimen.X)
        assert packaged.compared
        assert [g.prediction for g in packaged.manifest.golden] == [
            g.prediction
            for g in foretell.package(specimen.estimator, tmp_path / name / "v2", example=specimen.X).manifest.golden
        ]
    for name in ("lightgbm-classifier", "lightgbm-regressor", "lightgbm-categories"):
        specimen = zoo.specimen(name)
        packaged = foretell.package(specimen.estimator.booster_, tmp_path / name / "v1", example=specimen.X)
        assert packaged.compared
        assert packaged.manifest.runtime == "lightgbm"


def test_a_bare_booster_takes_rows_in_any_form(tmp_path: Path) -> None:
    for name, inner in (("xgboost-categories", "get_booster"), ("lightgbm-categories", None)):
        specimen = zoo.specimen(name)
        booster = getattr(specimen.estimator, inner)() if inner else specimen.estimator.booster_
        rows = {column: [None if pd.isna(cell) else cell for cell in specimen.X[column]] for column in specimen.X}
        assert foretell.package(booster, tmp_path / name / "v1", example=rows).compared
    booster = zoo.specimen("xgboost-classifier").estimator.get_booster()
    assert foretell.package(booster, tmp_path / "m" / "v1", example=zoo.iris()[0].tolist()).compared


def test_several_yes_or_no_labels_at_once_are_several_answers(tmp_path: Path) -> None:
    from xgboost import XGBClassifier

    X, y = zoo.iris()
    model = XGBClassifier(n_estimators=3, n_jobs=1).fit(X, np.c_[y > 0, y > 1].astype(int))
    assert foretell.package(model, tmp_path / "m" / "v1", example=X).signature.output.names == ("y0", "y1")


def test_a_booster_that_stopped_early_answers_with_its_best_trees(tmp_path: Path) -> None:
    from xgboost import XGBRegressor

    X, y = zoo.numbers()
    noise = np.random.default_rng(0).normal(size=40)
    model = XGBRegressor(n_estimators=40, early_stopping_rounds=2, n_jobs=1, learning_rate=1.0)
    model.fit(X[:80], y[:80], eval_set=[(X[80:], noise)], verbose=False)
    assert model.best_iteration < 39
    wrapped = foretell.package(model, tmp_path / "m" / "v1", example=X)
    bare = foretell.package(model.get_booster(), tmp_path / "m" / "v2", example=X)
    assert [g.prediction for g in wrapped.manifest.golden] == [g.prediction for g in bare.manifest.golden]


def test_a_model_in_memory_is_packaged_like_its_file(tmp_path: Path) -> None:
    import onnx

    specimen = zoo.specimen("onnx-iris-logistic")
    model = onnx.load(specimen.write(tmp_path, "given"))
    packaged = foretell.package(model, tmp_path / "models" / "m" / "v1", example=specimen.X, class_names=NAMES)
    assert packaged.manifest.runtime == "onnx"
    assert packaged.signature.output.class_names == tuple(NAMES)


# -- conversion --------------------------------------------------------------------------------------------------------


CONVERTIBLE = (
    "sklearn-iris-named sklearn-forest sklearn-text-classes sklearn-regressor-several sklearn-classifier-several "
    "sklearn-outliers onnx-mixed xgboost-named-json xgboost-regressor lightgbm-classifier lightgbm-regressor"
)


@pytest.mark.parametrize("name", CONVERTIBLE.split())
def test_a_conversion_answers_the_same(name: str, tmp_path: Path) -> None:
    specimen = zoo.specimen(name)
    packaged = foretell.package(specimen.estimator, tmp_path / "m" / "v1", example=specimen.X, format="onnx")
    assert packaged.compared
    assert packaged.manifest.runtime == "onnx"
    assert packaged.manifest.golden_rtol == 1e-5
    assert "skl2onnx" in packaged.manifest.libraries


def test_mixed_columns_are_converted_each_by_its_type(tmp_path: Path) -> None:
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame = pd.DataFrame(
        {
            "plan": ["a", "b"] * 20,
            "months": range(40),
            "paid": [True, False, False, True] * 10,
            "spend": np.linspace(0, 1, 40),
        }
    )
    split = ColumnTransformer(
        [("text", OneHotEncoder(), ["plan"]), ("number", StandardScaler(), ["months", "spend"])],
        remainder="passthrough",
    )
    model = make_pipeline(split, LogisticRegression()).fit(frame, [1, 0] * 20)
    packaged = foretell.package(model, tmp_path / "m" / "v1", example=frame, format="onnx")
    assert packaged.compared
    types = [str(column.type) for column in packaged.signature.columns]
    assert types == ["category", "integer", "boolean", "float"]


def test_a_booster_inside_a_pipeline_is_stored_by_conversion(tmp_path: Path) -> None:
    from lightgbm import LGBMClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from xgboost import XGBRegressor

    X, y = zoo.iris()
    classifier = make_pipeline(StandardScaler(), LGBMClassifier(n_estimators=3, n_jobs=1, verbose=-1)).fit(X, y)
    regressor = make_pipeline(StandardScaler(), XGBRegressor(n_estimators=3, n_jobs=1)).fit(X, y)
    for number, model in enumerate((classifier, regressor)):
        error = refused(tmp_path, NotStorable, model, example=X)
        assert "holds types that are not served" in error.detail
        assert error.hint
        assert "--convert onnx" in error.hint
        folder = tmp_path / "models" / "m" / f"v{number}"
        assert foretell.package(model, folder, example=X, format="onnx").manifest.runtime == "onnx"
        for path in sorted(tmp_path.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()


def test_a_conversion_that_changes_answers_is_refused_with_the_rows(tmp_path: Path) -> None:
    specimen = zoo.specimen("sklearn-neighbours")
    error = refused(tmp_path, ConversionDiffers, specimen.estimator, example=specimen.X, format="onnx")
    assert "answers differently from the KNeighborsClassifier given, in 1 of 150 example rows" in error.detail
    assert "row 56: expected [0, 0.8, 0.2], got [0, 1, 0]" in error.detail
    assert error.hint == (
        "ONNX computes in float32, which moves rows that lie near a split or a boundary; "
        "format='skops' keeps the estimator itself (--convert skops)"
    )


def test_a_model_no_converter_takes_is_refused(tmp_path: Path) -> None:
    specimen = zoo.specimen("xgboost-linear")
    error = refused(tmp_path, NotStorable, specimen.estimator, example=specimen.X, format="onnx")
    assert "XGBRegressor cannot be converted to ONNX" in error.detail
    frame = pd.DataFrame({"t": pd.to_datetime(["2026-01-01", "2026-01-02"])})
    dated = _fitted_on(frame)
    assert "holds dates" in refused(tmp_path, NotStorable, dated, example=frame, format="onnx").detail


def _fitted_on(frame: pd.DataFrame) -> Any:
    from sklearn.dummy import DummyRegressor

    model = DummyRegressor().fit([[0]] * len(frame), np.arange(len(frame)))
    del model.n_features_in_
    model.feature_names_in_ = np.array(frame.columns, dtype=object)
    return model


# -- what lies is refused ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lying:
    """A loaded model that changes the answer of some rows, or fails on them."""

    model: Model
    rows: Sequence[int]
    fails: bool

    @property
    def signature(self) -> Signature:
        return self.model.signature

    model_type = "Lying"
    parameters: Mapping[str, Any] = None  # type: ignore[assignment]

    def predict(self, inputs: Inputs) -> Outputs:
        if self.fails:
            raise ValueError("unexpected shape")
        outputs = self.model.predict(inputs)
        if outputs.indices is None:
            return outputs
        indices = outputs.indices.copy()
        indices[list(self.rows)] = (indices[list(self.rows)] + 1) % 3
        return replace(outputs, indices=indices)

    def close(self) -> None:
        self.model.close()


@dataclass(frozen=True)
class Liars:
    """The registry, with runtimes whose models lie."""

    rows: Sequence[int] = ()
    fails: bool = False
    lacks_signature: bool = False
    load_fails: bool = False

    def recognise(self, path: Path) -> Recognition | None:
        return installed().recognise(path)

    def get(self, name: str) -> Runtime:
        return _LyingRuntime(installed().get(name), self)


@dataclass(frozen=True)
class _LyingRuntime:
    runtime: Runtime
    how: Liars

    @property
    def name(self) -> str:
        return self.runtime.name

    @property
    def requires(self) -> Any:
        return self.runtime.requires

    @property
    def isolation(self) -> Isolation:
        return self.runtime.isolation

    def recognise(self, path: Path) -> Recognition | None:
        return self.runtime.recognise(path)

    def load(self, path: Path, signature: Signature | None, options: LoadOptions) -> Model:
        if signature is None and self.how.lacks_signature:
            raise SignatureMissing("the file does not say")
        if self.how.load_fails:
            raise LoadFailed("the file is damaged")
        return Lying(self.runtime.load(path, signature, options), self.how.rows, self.how.fails)


def test_a_written_model_that_answers_differently_is_refused_and_five_rows_are_shown(tmp_path: Path) -> None:
    with pytest.raises(ConversionDiffers) as caught:
        pack(iris_model(), tmp_path / "m" / "v1", Example.of(zoo.iris()[0]), Order(), Liars(rows=range(7)))
    assert "in 7 of 150 example rows (allowed: 1e-09 relative)" in caught.value.detail
    assert "row 4: expected 0, got 1\n  and 2 more" in caught.value.detail
    assert "row 5" not in caught.value.detail
    assert list(tmp_path.iterdir()) == []


def test_a_written_model_that_fails_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionDiffers, match="fails on the example: ValueError: unexpected shape"):
        pack(iris_model(), tmp_path / "m" / "v1", Example.of(zoo.iris()[0]), Order(), Liars(fails=True))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_does_not_tell_its_output_is_refused(tmp_path: Path) -> None:
    path = zoo.specimen("onnx-iris-logistic").write(tmp_path, "given")
    with pytest.raises(PackagingError, match=r"neither given\.onnx nor the file written from it says what it answers"):
        pack(path, tmp_path / "m" / "v1", Example.of(zoo.iris()[0]), Order(), Liars(lacks_signature=True))
    assert list(tmp_path.iterdir()) == [path]


# -- what cannot be stored ---------------------------------------------------------------------------------------------


class Custom:
    """An estimator of somebody's own."""

    def fit(self, X: Any, y: Any) -> Custom:
        self.fitted_ = True
        return self

    def predict(self, X: Any) -> Any:
        return np.zeros(len(X))


def test_an_estimator_of_somebodys_own_is_refused_with_what_can_store_it(tmp_path: Path) -> None:
    error = refused(tmp_path, NotStorable, Custom().fit(None, None))
    assert "Custom" in error.detail
    assert error.hint
    assert "--keep-pickle" in error.hint


def test_a_function_inside_a_pipeline_is_refused_at_packaging(tmp_path: Path) -> None:
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    X, y = zoo.numbers()
    for function in (np.lib.scimath.sqrt, lambda X: X):
        error = refused(
            tmp_path, NotStorable, make_pipeline(FunctionTransformer(function), Ridge()).fit(abs(X), y), example=abs(X)
        )
        assert error.hint
        assert "--convert onnx" in error.hint


@pytest.mark.parametrize(
    ("model", "kind", "says"),
    [
        (object(), PackagingError, "a object is no model that can be packaged"),
        (Custom, PackagingError, "Custom is a class, not a fitted estimator"),
        ("gone.onnx", PathMissing, "no model file gone.onnx"),
        (__file__, UnrecognisedArtifact, "is not recognised as a model"),
    ],
)
def test_what_is_no_model_is_refused(tmp_path: Path, model: Any, kind: type[ForetellError], says: str) -> None:
    assert says in refused(tmp_path, kind, model).detail


def test_an_estimator_that_is_not_fitted_or_does_not_predict_is_refused(tmp_path: Path) -> None:
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import StandardScaler

    assert refused(tmp_path, PackagingError, Ridge()).detail == "Ridge is not fitted"
    assert "has no predict method" in refused(tmp_path, NotStorable, StandardScaler().fit(zoo.iris()[0])).detail


def test_a_pickle_is_refused_as_code(tmp_path: Path) -> None:
    import joblib

    path = tmp_path / "model.joblib"
    joblib.dump(iris_model(), path)
    with pytest.raises(UntrustedArtifact, match="is code") as caught:
        foretell.package(path, tmp_path / "m" / "v1", example=zoo.iris()[0])
    assert caught.value.hint
    assert "--trust-pickle" in caught.value.hint


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"format": "onxx"}, "no format 'onxx'"),
        ({"format": "xgboost"}, "Pipeline of LogisticRegression cannot be stored as xgboost"),
        ({"example": np.zeros((2, 3))}, "the model takes 4 columns, the example has 3"),
        ({"example": np.zeros((2, 5))}, "is the target column among them?"),
        ({"feature_names": ["a"]}, "1 feature names for 4 columns"),
        ({"class_names": ["a"]}, "the model has 3 classes"),
        ({"metadata": {"a": object()}}, "metadata.a is a object"),
        ({"declare": {"x9": {}}}, "names a column 'x9'"),
        ({"declare": {"x0": {"minimum": 1000}}}, "no example row could be sent as a request"),
        ({"target": "species"}, "no target column 'species'"),
        ({"example": {"y": [1]}, "target": "y"}, "no column besides the target 'y'"),
    ],
)
def test_an_order_that_cannot_be_met_is_refused_in_words(tmp_path: Path, options: dict[str, Any], says: str) -> None:
    assert says in refused(tmp_path, PackagingError, iris_model(), **options).detail


def test_a_stored_booster_cannot_be_converted(tmp_path: Path) -> None:
    specimen = zoo.specimen("xgboost-classifier")
    error = refused(tmp_path, NotStorable, specimen.estimator.get_booster(), example=specimen.X, format="onnx")
    assert error.hint == "convert the fitted estimator itself"


def test_a_model_that_fails_on_the_example_is_told_as_that(tmp_path: Path) -> None:
    frame, _ = zoo.customers()
    error = refused(
        tmp_path, PackagingError, zoo.specimen("sklearn-mixed").estimator, example=frame.assign(spend="much")
    )
    assert "itself fails on the example: ValueError" in error.detail
    specimen = zoo.specimen("xgboost-named-json")
    columns = {name: ["x", "x"] for name in specimen.X.columns}
    error = refused(tmp_path, PackagingError, specimen.estimator.get_booster(), example=pd.DataFrame(columns))
    assert "the booster itself fails on the example" in error.detail


def test_classes_no_manifest_can_hold_are_refused(tmp_path: Path) -> None:
    class Odd(type(iris_model()[-1])):  # type: ignore[misc]
        classes_ = np.array([None, 1, 2], dtype=object)

    model = Odd()
    model.__dict__.update({k: v for k, v in iris_model()[-1].__dict__.items() if k != "classes_"})
    assert "class None is a NoneType" in refused(tmp_path, PackagingError, model).detail


def test_a_model_of_tensors_is_refused_with_what_to_do(tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [None, 3, 8, 8])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [None, 3, 8, 8])
    graph = helper.make_graph([helper.make_node("Relu", ["image"], ["out"])], "g", [image], [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    error = refused(tmp_path, PackagingError, model)
    assert "takes tensors" in error.detail
    assert error.hint == "give tensors: a .npz file, or a dict of arrays with the rows as their first axis"


class Stubborn:
    """Something that cannot be taken apart."""

    def __getstate__(self) -> Any:
        raise TypeError("not this one")


def test_an_estimator_skops_cannot_take_apart_is_refused(tmp_path: Path) -> None:
    from sklearn.linear_model import Ridge

    model = Ridge().fit(*zoo.numbers())
    model.kept = Stubborn()
    error = refused(tmp_path, NotStorable, model, example=zoo.numbers()[0])
    assert error.detail == "skops cannot store Ridge: not this one"


def test_what_cannot_be_loaded_again_is_not_stored_and_a_broken_file_stays_a_broken_file(tmp_path: Path) -> None:
    liars = Liars(load_fails=True)
    with pytest.raises(NotStorable, match="what was written of Pipeline of LogisticRegression cannot be loaded again"):
        pack(iris_model(), tmp_path / "m" / "v1", Example.of(zoo.iris()[0]), Order(), liars)
    path = tmp_path / "model.onnx"
    path.write_bytes(zoo.specimen("onnx-iris-logistic").write(tmp_path, "given").read_bytes()[:100])
    with pytest.raises(LoadFailed):
        pack(path, tmp_path / "m" / "v1", Example.of(zoo.iris()[0]), Order(), liars)
    assert not (tmp_path / "m").exists()


# -- as authors call it ------------------------------------------------------------------------------------------------


def test_a_notebook_cell_packages_and_shows_what_to_do_next(tmp_path: Path) -> None:
    X, y = zoo.iris_frame()
    packaged = foretell.package(
        iris_model(),
        str(tmp_path / "models" / "iris" / "v1"),
        example=X.assign(species=np.array(NAMES)[y]),
        target="species",
        class_names=NAMES,
        metadata={"accuracy": np.float64(0.97), "author": "me"},
        declare={"sepal length (cm)": {"minimum": 0, "description": "of the flower"}},
    )
    assert repr(packaged) == str(packaged)
    assert "iris v1 is at" in str(packaged)
    assert "150 example rows answered as by the model given" in str(packaged)
    assert "example rows are predicted as the target column says" in str(packaged)
    assert f"foretell serve {tmp_path / 'models'}" in str(packaged)

    manifest = read(packaged.path)
    assert manifest == packaged.manifest
    assert packaged.digest == manifest.digest
    assert manifest.signature.names == tuple(X.columns)
    assert manifest.signature.columns[0].minimum == 0
    assert manifest.signature.columns[0].example == 5.1
    assert not manifest.signature.columns[1].bounded
    assert manifest.metadata == {"accuracy": 0.97, "author": "me"}
    assert {"python", "scikit-learn", "skops", "numpy"} <= set(manifest.libraries)
    assert manifest.statistics["sepal length (cm)"]["maximum"] == 7.9
    assert {golden.prediction for golden in manifest.golden} == {0, 1, 2}


def test_a_second_cell_never_overwrites(tmp_path: Path) -> None:
    packaged = foretell.package(iris_model(), tmp_path / "iris" / "v1", example=zoo.iris()[0])
    before = {path: path.read_bytes() for path in packaged.path.iterdir()}
    with pytest.raises(VersionExists) as caught:
        foretell.package(iris_model(), tmp_path / "iris" / "v1", example=zoo.iris()[0][:50])
    assert caught.value.hint == "the next free version is v2"
    assert {path: path.read_bytes() for path in packaged.path.iterdir()} == before


def test_columns_follow_the_model_and_what_it_was_not_fitted_on_is_left_out(tmp_path: Path) -> None:
    specimen = zoo.specimen("sklearn-mixed")
    shuffled = specimen.X[["city", "spend", "age", "plan", "tenure_months"]].assign(id=range(160))
    packaged = foretell.package(specimen.estimator, tmp_path / "m" / "v1", example=shuffled)
    assert packaged.signature.names == tuple(specimen.X.columns)
    assert packaged.notes == ("left out of the example, since the model was not fitted on it: id",)
    types = [column.type for column in packaged.signature.columns]
    assert types == [ColumnType.FLOAT, ColumnType.CATEGORY, ColumnType.INTEGER, ColumnType.FLOAT, ColumnType.CATEGORY]
    assert [column.nullable for column in packaged.signature.columns] == [True, True, False, False, False]


def test_a_column_the_model_needs_and_the_example_lacks_is_named(tmp_path: Path) -> None:
    specimen = zoo.specimen("sklearn-mixed")
    error = refused(tmp_path, PackagingError, specimen.estimator, example=specimen.X.rename(columns={"spend": "spent"}))
    assert error.detail == "the example lacks what the model was fitted on: 'spend'; did you mean 'spent'?"


@pytest.mark.parametrize("form", ["frame", "array", "rows", "columns"])
def test_any_form_of_example_gives_the_same_columns(form: str, tmp_path: Path) -> None:
    X, _ = zoo.iris_frame()
    forms = {"frame": X, "array": X.to_numpy(), "rows": X.to_numpy().tolist(), "columns": X.to_dict("list")}
    for name in ("sklearn-iris-named", "sklearn-iris-logistic"):
        model = zoo.specimen(name).estimator
        packaged = foretell.package(model, tmp_path / name / "v1", example=forms[form], feature_names=list(X.columns))
        assert packaged.signature.names == tuple(X.columns)
        assert packaged.signature.named
        assert packaged.checked_rows == 150


def test_rows_of_single_precision_are_compared_in_single_precision(tmp_path: Path) -> None:
    X = zoo.iris()[0].astype(np.float32)
    assert foretell.package(iris_model(), tmp_path / "m" / "v1", example=X).compared
    frame = pd.DataFrame(X, columns=list("abcd"))
    assert foretell.package(iris_model(), tmp_path / "m" / "v2", example=frame).compared


def test_of_a_large_example_evenly_spaced_rows_are_compared(tmp_path: Path) -> None:
    X = np.tile(zoo.iris()[0], (40, 1))
    packaged = foretell.package(iris_model(), tmp_path / "m" / "v1", example=X)
    assert packaged.checked_rows == CHECKED_ROWS_MAX
    assert packaged.manifest.statistics["x0"]["count"] == 6000


def test_a_declared_type_reaches_the_model(tmp_path: Path) -> None:
    X, y = zoo.customers()
    whole = X[["tenure_months"]]
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit(whole, y)
    packaged = foretell.package(
        model, tmp_path / "m" / "v1", example=whole, declare={"tenure_months": {"type": "float"}}
    )
    assert packaged.signature.columns[0].type is ColumnType.FLOAT


# -- importing ---------------------------------------------------------------------------------------------------------


def test_importing_foretell_pulls_in_nothing_and_package_comes_when_it_is_used() -> None:
    code = (
        "import sys, foretell\n"
        "assert not {'numpy', 'sklearn', 'pandas', 'pydantic', 'importlib.metadata'} & set(sys.modules) - before\n"
        "assert 'package' in dir(foretell) and foretell.__version__\n"
        "assert callable(foretell.package)\n"
        "assert not {'sklearn', 'pandas', 'xgboost', 'lightgbm', 'onnxruntime', 'skops'} & set(sys.modules)\n"
        "try:\n    foretell.nothing\nexcept AttributeError as error:\n    print(error)\n"
    )
    before = "import sys; before = set(sys.modules)\n"
    ran = subprocess.run([sys.executable, "-c", before + code], capture_output=True, text=True, check=False)
    assert ran.stderr == ""
    assert ran.stdout == "module 'foretell' has no attribute 'nothing'\n"


def test_public_names_can_be_had_in_this_process_too() -> None:
    assert foretell.__version__
    assert {"package", "__version__"} <= set(dir(foretell))
    with pytest.raises(AttributeError, match="nothing"):
        _ = foretell.nothing


@pytest.mark.parametrize(
    ("library", "format_", "says"), [("skops", "auto", "skops"), ("skl2onnx", "onnx", "conversion needs skl2onnx")]
)
def test_a_missing_library_is_told_with_the_line_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str, format_: str, says: str
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    error = refused(tmp_path, MissingLibrary, iris_model(), format=format_)
    assert says in error.detail
    assert "pip install 'foretell[" in error.detail


def test_a_missing_pandas_is_told_where_the_model_wants_a_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = {name: list(cells) for name, cells in zoo.customers()[0].items()}
    model = zoo.specimen("sklearn-mixed").estimator
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert "pip install 'foretell[pandas]'" in refused(tmp_path, MissingLibrary, model, example=columns).detail


def test_packaging_leaves_the_authors_process_as_it_was(tmp_path: Path) -> None:
    """In a process of its own: elsewhere in these tests models are loaded as a server loads them."""
    script = """
import sys
import threadpoolctl
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.utils import validation
import foretell
X, y = load_iris(return_X_y=True)
model = LogisticRegression(max_iter=1000).fit(X, y)
def seen():
    pools = {pool["filepath"]: pool["num_threads"] for pool in threadpoolctl.threadpool_info()}
    return validation.check_array, validation._get_feature_names, pools
before = seen()
foretell.package(model, sys.argv[1], example=X)
after = seen()
assert after[:2] == before[:2]
assert {path: after[2][path] for path in before[2]} == before[2]  # skops imports torch where it is installed
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "models" / "iris" / "v1")], check=True, timeout=100)
