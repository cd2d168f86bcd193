"""What a fitted estimator says of its columns and outputs, and how it gets its rows."""

from __future__ import annotations

import contextlib
import io
import sys
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import skops.io
from sklearn.cluster import DBSCAN, AgglomerativeClustering, KMeans
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler

from foretell.core.signature import Column, ColumnType, Output, Signature
from foretell.core.values import Matrix, Table
from foretell.errors import LoadFailed, MissingLibrary, SignatureMissing
from foretell.runtimes.base import LoadOptions
from foretell.runtimes.sklearn import runtime
from foretell.runtimes.sklearn.signature import column_names, signature_of
from tests import zoo

X, Y = zoo.iris()
FRAME = pandas.DataFrame(
    {
        "size": [1.0, 2.0, np.nan, 4.0] * 5,
        "shop": ["a", "b", "c", "a"] * 5,
        "colour": ["red", None, "blue", "red"] * 5,
        "count": [1, 2, 3, 4] * 5,
        "new": [True, False, True, True] * 5,
        "note": ["good day", "bad", "good", "day"] * 5,
    }
)
LABELS = np.array([0, 1, 0, 1] * 5)


def load(estimator: Any, folder: Path, signature: Signature | None = None) -> Any:
    path = folder / "model.skops"
    skops.io.dump(estimator, path)
    return runtime.load(path, signature, LoadOptions())


def by_name(estimator: Any) -> dict[str, Column]:
    return {column.name: column for column in signature_of(estimator).columns}


def test_unnamed_columns_are_numbered() -> None:
    signature = signature_of(LogisticRegression(max_iter=2000).fit(X, Y))
    assert signature.names == ("x0", "x1", "x2", "x3")
    assert not signature.named
    assert signature.output == Output("classification", classes=(0, 1, 2), probabilities=True)


def test_named_columns_keep_their_names_and_types() -> None:
    signature = signature_of(LogisticRegression(max_iter=2000).fit(*zoo.iris_frame()))
    assert signature.named
    assert signature.names[0] == "sepal length (cm)"


def mixed(encoder: Any, *before: Any) -> Any:
    text = make_pipeline(*before, encoder)
    split = ColumnTransformer([("n", SimpleImputer(), ["size"]), ("t", text, ["shop", "colour"])])
    return make_pipeline(split, LogisticRegression(max_iter=2000)).fit(FRAME[["size", "shop", "colour"]], LABELS)


def test_encoders_tell_the_categories_and_whether_others_may_come() -> None:
    found = by_name(mixed(OneHotEncoder()))
    assert found["shop"] == Column("shop", ColumnType.CATEGORY, categories=("a", "b", "c"), closed=True)
    assert found["colour"] == Column(
        "colour", ColumnType.CATEGORY, nullable=True, categories=("blue", "red"), closed=True
    )
    assert found["size"] == Column("size", nullable=True)
    opened = by_name(mixed(OneHotEncoder(handle_unknown="ignore"), SimpleImputer(strategy="most_frequent")))
    assert opened["shop"] == Column("shop", ColumnType.CATEGORY, nullable=True, categories=("a", "b", "c"))


def test_columns_that_pass_through_may_be_missing_only_where_the_rest_takes_it() -> None:
    def fit(last: Any) -> dict[str, Column]:
        split = ColumnTransformer(
            [("c", OrdinalEncoder(), ["shop"]), ("gone", "drop", ["note"])], remainder="passthrough"
        )
        return by_name(make_pipeline(split, last).fit(FRAME[["shop", "count", "note"]], LABELS))

    assert fit(HistGradientBoostingClassifier(max_iter=1))["count"].nullable
    assert not fit(LogisticRegression(max_iter=2000))["count"].nullable
    assert fit(LogisticRegression(max_iter=2000))["note"].nullable


def test_text_for_a_vectoriser_is_a_string_column(tmp_path: Path) -> None:
    split = ColumnTransformer([("words", CountVectorizer(), "note"), ("n", StandardScaler(), ["count"])])
    estimator = make_pipeline(split, LogisticRegression(max_iter=2000)).fit(FRAME[["note", "count"]], LABELS)
    assert by_name(estimator)["note"].type is ColumnType.STRING
    model = load(estimator, tmp_path)
    outputs = model.predict(zoo.inputs_of(FRAME[["note", "count"]], model.signature))
    assert outputs.listed.predictions == estimator.predict(FRAME[["note", "count"]]).tolist()


@pytest.mark.parametrize(
    ("estimator", "output"),
    [
        (RidgeClassifier().fit(X, Y), Output("classification", classes=(0, 1, 2))),
        (LinearRegression().fit(X, Y), Output("regression")),
        (Ridge().fit(X, np.c_[Y, Y]), Output("regression", names=("y0", "y1"))),
        (LinearRegression().fit(X, Y[:, None]), Output("regression")),
        (MultiOutputRegressor(Ridge()).fit(X, np.c_[Y, Y, Y]), Output("regression", names=("y0", "y1", "y2"))),
        (KMeans(2, n_init=1).fit(X), Output("classification", classes=(0, 1))),
        (RandomForestClassifier(2).fit(X, np.c_[Y > 0, Y > 1]), Output("classification", names=("y0", "y1"))),
        (KNeighborsClassifier().fit(X, np.c_[Y > 0, Y > 1]), Output("classification", names=("y0", "y1"))),
        (make_pipeline(StandardScaler(), Ridge()).fit(X, np.c_[Y, Y]), Output("regression", names=("y0", "y1"))),
    ],
    ids=lambda value: type(value).__name__,
)
def test_outputs_are_what_predict_gives(estimator: Any, output: Output) -> None:
    assert signature_of(estimator).output == output


def test_a_network_with_several_labels_at_once_gives_lists(tmp_path: Path) -> None:
    several = np.c_[Y > 0, Y > 1].astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator = MLPClassifier((3,), max_iter=20, random_state=0).fit(X, several)
    model = load(estimator, tmp_path)
    assert model.signature.output == Output("classification", names=("y0", "y1"))
    assert model.predict(Matrix(X)).listed.predictions == estimator.predict(X).tolist()


def test_a_named_regressor_of_several_numbers_is_asked_with_its_names() -> None:
    frame, target = zoo.iris_frame()
    assert len(signature_of(Ridge().fit(frame, np.c_[target, target])).output.names) == 2


def test_missing_values_are_allowed_where_every_step_takes_them() -> None:
    holes = X.copy()
    holes[0, 0] = np.nan
    assert signature_of(HistGradientBoostingClassifier(max_iter=1).fit(holes, Y)).columns[0].nullable
    imputed = make_pipeline(
        "passthrough", SimpleImputer(), make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    )
    assert signature_of(imputed.fit(holes, Y)).columns[0].nullable
    assert (
        not signature_of(make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(X, Y))
        .columns[0]
        .nullable
    )
    nested = make_pipeline(StandardScaler(), make_pipeline(SimpleImputer(), LogisticRegression(max_iter=2000))).fit(
        holes, Y
    )
    assert signature_of(nested).columns[0].nullable
    assert not signature_of(GridSearchCV(LogisticRegression(max_iter=2000), {"C": [1.0]}).fit(X, Y)).columns[0].nullable


def test_without_columns_of_its_own_an_estimator_needs_a_manifest(tmp_path: Path) -> None:
    estimator = make_pipeline(CountVectorizer(), LogisticRegression(max_iter=2000)).fit(["good", "bad"], [1, 0])
    with pytest.raises(SignatureMissing, match="does not say how many columns"):
        load(estimator, tmp_path)


def repr_without_address(value: Any) -> str:
    """The same name in every process that collects the tests."""
    return str(value).split(" object at ")[0]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ("b", ["b"]),
        (1, ["b"]),
        (["a", "c"], ["a", "c"]),
        ([0, 2], ["a", "c"]),
        ([True, False, True], ["a", "c"]),
        (np.array([1]), ["b"]),
        (slice("a", "b"), ["a", "b"]),
        (slice(1, 3), ["b", "c"]),
        (slice(None, None), ["a", "b", "c"]),
        (make_column_selector("a"), []),
    ],
    ids=repr_without_address,
)
def test_columns_are_found_whichever_way_they_were_selected(columns: Any, expected: list[str]) -> None:
    assert column_names(columns, ["a", "b", "c"]) == expected


def test_a_histogram_booster_on_pandas_categories_gets_a_frame(tmp_path: Path) -> None:
    frame = FRAME[["size", "colour", "count"]].astype({"colour": "category"})
    estimator = HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=1, categorical_features="from_dtype")
    estimator.fit(frame, LABELS)
    model = load(estimator, tmp_path)
    colour = model.signature.columns[1]
    assert (colour.type, colour.nullable, colour.categories) == (ColumnType.CATEGORY, True, ("blue", "red"))
    outputs = model.predict(zoo.inputs_of(frame, model.signature))
    np.testing.assert_allclose(outputs.probabilities, estimator.predict_proba(frame))


def test_numbers_selected_by_name_come_as_a_frame_with_their_types(tmp_path: Path) -> None:
    frame = FRAME[["count", "new"]]
    split = ColumnTransformer([("n", StandardScaler(), ["count"]), ("b", OneHotEncoder(), ["new"])])
    estimator = make_pipeline(split, LogisticRegression(max_iter=2000)).fit(frame, LABELS)
    columns = (Column("count", ColumnType.INTEGER), Column("new", ColumnType.BOOLEAN))
    output = Output("classification", classes=(0, 1), probabilities=True)
    model = load(estimator, tmp_path, Signature(columns, output=output))
    assert model.signature.layout == "matrix"
    outputs = model.predict(zoo.inputs_of(frame, model.signature))
    np.testing.assert_allclose(outputs.probabilities, estimator.predict_proba(frame))


def test_floats_selected_by_name_come_as_a_frame(tmp_path: Path) -> None:
    frame, target = zoo.iris_frame()
    split = ColumnTransformer([("n", StandardScaler(), list(frame.columns[:2]))])
    estimator = make_pipeline(split, LogisticRegression(max_iter=2000)).fit(frame, target)
    model = load(estimator, tmp_path)
    np.testing.assert_allclose(model.predict(Matrix(X)).probabilities, estimator.predict_proba(frame), rtol=1e-9)


def test_steps_that_hand_frames_on_get_frames(tmp_path: Path) -> None:
    frame, target = zoo.iris_frame()
    estimator = make_pipeline(StandardScaler().set_output(transform="pandas"), LogisticRegression(max_iter=2000)).fit(
        frame, target
    )
    model = load(estimator, tmp_path)
    np.testing.assert_allclose(model.predict(Matrix(X)).probabilities, estimator.predict_proba(frame), rtol=1e-9)
    renamed = make_pipeline(FunctionTransformer(np.log1p), LogisticRegression(max_iter=2000)).fit(frame, target)
    np.testing.assert_allclose(
        load(renamed, tmp_path).predict(Matrix(X)).probabilities, renamed.predict_proba(frame), rtol=1e-9
    )


def test_columns_selected_by_slices_of_names_get_frames(tmp_path: Path) -> None:
    frame, target = zoo.iris_frame()
    chosen = slice("sepal width (cm)", "petal length (cm)")
    estimator = make_pipeline(
        ColumnTransformer([("n", StandardScaler(), chosen)]), LogisticRegression(max_iter=2000)
    ).fit(frame, target)
    model = load(estimator, tmp_path)
    np.testing.assert_allclose(model.predict(Matrix(X)).probabilities, estimator.predict_proba(frame), rtol=1e-9)


def test_missing_texts_are_what_they_were_in_training(tmp_path: Path) -> None:
    texts = np.array([["a"], [None], ["b"], ["a"]] * 5, dtype=object)
    frame = pandas.DataFrame({"c": pandas.Series(texts[:, 0], dtype=object)})
    nones = make_pipeline(
        ColumnTransformer([("c", OneHotEncoder(handle_unknown="ignore"), ["c"])]), LogisticRegression(max_iter=2000)
    ).fit(frame, LABELS)
    imputed = make_pipeline(
        ColumnTransformer(
            [("c", make_pipeline(SimpleImputer(missing_values=None, strategy="most_frequent"), OneHotEncoder()), ["c"])]
        ),
        LogisticRegression(max_iter=2000),
    ).fit(frame, LABELS)
    for estimator in (nones, imputed):
        model = load(estimator, tmp_path)
        outputs = model.predict(Table({"c": texts[:, 0]}))
        np.testing.assert_allclose(outputs.probabilities, estimator.predict_proba(frame))


def test_texts_without_names_come_as_an_array_of_objects(tmp_path: Path) -> None:
    texts = np.array([["a", 1.0], [np.nan, 2.0], ["b", 3.0]] * 4, dtype=object)
    labels = [0, 1, 0] * 4
    estimator = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression(max_iter=2000)).fit(
        texts, labels
    )
    columns = (Column("kind", ColumnType.STRING, nullable=True), Column("size"))
    output = Output("classification", classes=(0, 1), probabilities=True)
    model = load(estimator, tmp_path, Signature(columns, output=output))
    rows = Table({"kind": np.array(["a", None, "b"], dtype=object), "size": np.array([1.0, 2.0, 3.0])})
    np.testing.assert_allclose(model.predict(rows).probabilities, estimator.predict_proba(texts[:3]))


def test_a_frame_without_pandas_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zoo.specimen("sklearn-mixed").write(tmp_path)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingLibrary) as caught:
        runtime.load(path, zoo.specimen("sklearn-mixed").signature, LoadOptions())
    assert caught.value.hint == "pip install 'foretell[pandas]'"


def test_without_skops_the_install_line_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zoo.specimen("sklearn-regressor").write(tmp_path)
    monkeypatch.setitem(sys.modules, "skops.io", None)
    with pytest.raises(MissingLibrary) as caught:
        runtime.load(path, None, LoadOptions())
    assert caught.value.hint == "pip install 'foretell[sklearn]'"


OUTPUT = Output("classification", classes=(0, 1, 2), probabilities=True)


@pytest.mark.parametrize(
    ("columns", "output", "message"),
    [
        (3, OUTPUT, "3 columns, the estimator takes 4"),
        (4, Output("classification", classes=(0, 1)), "2 classes, the estimator 3"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(columns: int, output: Output, message: str, tmp_path: Path) -> None:
    signature = Signature(tuple(Column(f"x{index}") for index in range(columns)), output=output)
    with pytest.raises(LoadFailed, match=message):
        load(LogisticRegression(max_iter=2000).fit(X, Y), tmp_path, signature)


def test_probabilities_promised_but_not_there_are_refused(tmp_path: Path) -> None:
    signature = Signature(tuple(Column(f"x{index}") for index in range(4)), output=OUTPUT)
    with pytest.raises(LoadFailed, match="gives none"):
        load(RidgeClassifier().fit(X, Y), tmp_path, signature)


def test_what_cannot_predict_is_refused(tmp_path: Path) -> None:
    for estimator in (StandardScaler().fit(X), AgglomerativeClustering().fit(X), DBSCAN().fit(X)):
        with pytest.raises(LoadFailed, match="has no predict"):
            load(estimator, tmp_path)


def test_tensors_are_refused(tmp_path: Path) -> None:
    from foretell.core.signature import Tensor

    signature = Signature(tensors=(Tensor("x", "float32", (-1, 4)),), output=Output("regression"))
    with pytest.raises(LoadFailed, match="takes columns"):
        load(Ridge().fit(X, Y), tmp_path, signature)


def test_parameters_are_plain_and_bounded(tmp_path: Path) -> None:
    model = load(LogisticRegression(max_iter=2000, class_weight=dict.fromkeys(range(3), 1.0 / 3)).fit(X, Y), tmp_path)
    assert model.parameters["C"] == 1.0
    assert model.parameters["class_weight"] == {"0": 1 / 3, "1": 1 / 3, "2": 1 / 3}
    long = load(SimpleNamedForest().fit(X, Y), tmp_path)
    assert all(len(str(value)) <= 201 for value in long.parameters.values())


def SimpleNamedForest() -> Any:
    return LogisticRegression(max_iter=2000, class_weight=dict.fromkeys(range(3), 1.0) | {3: 0.1 * 10**-200})


def test_a_closed_model_keeps_nothing(tmp_path: Path) -> None:
    model = load(Ridge().fit(X, Y), tmp_path)
    model.close()
    with pytest.raises(RuntimeError, match="closed"):
        model.predict(Matrix(X))


def test_an_archive_with_a_schema_is_recognised_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    skops.io.dump(Ridge().fit(X, Y), path)
    recognition = runtime.recognise(path)
    assert recognition is not None
    assert "schema" in recognition.reason
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme", "nothing here")
    assert runtime.recognise(tmp_path / "other.zip") is None
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04 and no more")
    assert runtime.recognise(tmp_path / "cut.zip") is None


def test_a_damaged_file_fails_to_load(tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    path.write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(LoadFailed, match=r"cannot load model\.skops"):
        runtime.load(path, None, LoadOptions())


def test_columns_in_another_order_than_the_estimator_has_them_are_refused(tmp_path: Path) -> None:
    frame, target = zoo.iris_frame()
    estimator = Ridge().fit(frame, target)
    backwards = Signature(tuple(Column(name) for name in reversed(list(frame.columns))))
    with pytest.raises(LoadFailed, match="another order"):
        load(estimator, tmp_path, backwards)


def test_columns_the_author_calls_otherwise_go_by_their_places(tmp_path: Path) -> None:
    specimen = zoo.specimen("sklearn-mixed")
    assert specimen.signature is not None
    renamed = tuple(replace(column, name=f"my {column.name}") for column in specimen.signature.columns)
    model = load(specimen.estimator, tmp_path, replace(specimen.signature, columns=renamed))
    frame = specimen.X.rename(columns=lambda name: f"my {name}")
    outputs = model.predict(zoo.inputs_of(frame, model.signature))
    np.testing.assert_allclose(outputs.probabilities, specimen.predict_proba(specimen.X))


def test_what_prediction_would_change_or_print_is_switched_off(tmp_path: Path) -> None:
    model = load(RandomForestClassifier(2, verbose=3, random_state=0).fit(X, Y), tmp_path)
    assert model.parameters["verbose"] == 3
    assert capture(lambda: model.predict(Matrix(X))) == ""


def capture(call: Any) -> str:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        call()
    return said.getvalue()
