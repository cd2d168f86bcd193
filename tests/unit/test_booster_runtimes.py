"""XGBoost and LightGBM: columns, categories and objectives are read rightly, and crafted trees are refused."""

from __future__ import annotations

import builtins
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas
import pytest
import xgboost

from foretell.core.signature import Column, ColumnType, Output, Signature
from foretell.core.values import Matrix, Table
from foretell.errors import LoadFailed, MissingLibrary, SignatureMissing
from foretell.runtimes.base import LoadOptions
from foretell.runtimes.category_codes import CategoryCodes
from foretell.runtimes.lightgbm import runtime as lightgbm_runtime
from foretell.runtimes.lightgbm_text import read_text
from foretell.runtimes.xgboost import runtime as xgboost_runtime
from foretell.runtimes.xgboost_structure import check_structure
from tests import zoo

X, Y = zoo.iris()
QUIET = {"verbose": -1, "n_estimators": 3, "n_jobs": 1, "min_child_samples": 2}


def load_xgboost(booster: Any, folder: Path, signature: Signature | None = None) -> Any:
    path = folder / "model.ubj"
    booster.save_model(path)
    return xgboost_runtime.load(path, signature, LoadOptions())


def load_lightgbm(text: str, folder: Path, signature: Signature | None = None) -> Any:
    path = folder / "model.txt"
    path.write_text(text)
    return lightgbm_runtime.load(path, signature, LoadOptions())


def trained(params: dict[str, Any], y: Any, rows: Any = X) -> Any:
    return xgboost.train({"nthread": 1, **params}, xgboost.DMatrix(rows, y), 3)


# -- categories --------------------------------------------------------------------------------------------------------


def test_categories_become_their_positions_and_unknown_ones_go_missing() -> None:
    codes = CategoryCodes(("n", "c"), {"c": ["x", "y"]})
    rows = Table({"n": np.array([1.0, 2.0, 3.0]), "c": np.array(["y", None, "other"], dtype=object)})
    np.testing.assert_array_equal(codes(rows), [[1, 1], [2, np.nan], [3, np.nan]])


def test_categories_that_are_numbers_come_in_a_matrix() -> None:
    rows = Matrix(np.array([[30.0, 7.0], [10.0, np.nan]]))
    np.testing.assert_array_equal(CategoryCodes(("c", "n"), {"c": [10, 30]})(rows), [[1, 7], [0, np.nan]])
    assert CategoryCodes(("c", "n"), {})(rows) is rows.values
    assert CategoryCodes(("c",), {"c": [10, 30]})(Table({"c": np.array(["30"], dtype=object)})).tolist() == [[1.0]]


# -- XGBoost -----------------------------------------------------------------------------------------------------------


def several() -> Any:
    return np.c_[Y > 0, Y > 1].astype(int)


@pytest.mark.parametrize(
    ("params", "y", "output"),
    [
        ({"objective": "binary:logistic"}, Y > 0, Output("classification", classes=(0, 1), probabilities=True)),
        ({"objective": "binary:hinge"}, Y > 0, Output("classification", classes=(0, 1))),
        ({"objective": "binary:logistic"}, several(), Output("classification", names=("y0", "y1"))),
        ({"objective": "multi:softmax", "num_class": 3}, Y, Output("classification", classes=(0, 1, 2))),
        ({"objective": "reg:logistic"}, Y / 2, Output("regression")),
        ({"objective": "count:poisson"}, Y, Output("regression")),
        ({"objective": "binary:logistic", "booster": "dart"}, Y > 0, Output("classification", (0, 1), None, True)),
    ],
    ids=str,
)
def test_the_objective_says_what_comes_out(params: dict[str, Any], y: Any, output: Output, tmp_path: Path) -> None:
    booster = trained(params, y)
    model = load_xgboost(booster, tmp_path)
    assert model.signature.output == output
    raw, outputs = booster.predict(xgboost.DMatrix(X)), model.predict(Matrix(X))
    if output.probabilities:
        np.testing.assert_allclose(outputs.probabilities[:, 1], raw, rtol=1e-6)
    elif output.names:
        assert outputs.listed.predictions == (raw > 0.5).astype(int).tolist()
    else:
        np.testing.assert_allclose(outputs.listed.predictions, raw, rtol=1e-6)


def test_training_that_stopped_early_is_used_up_to_its_best_round(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(300, 2)), rng.integers(0, 2, 300)
    estimator = xgboost.XGBClassifier(n_estimators=40, early_stopping_rounds=2, n_jobs=1)
    estimator.fit(rows[:200], labels[:200], eval_set=[(rows[200:], labels[200:])], verbose=False)
    assert estimator.best_iteration + 1 < estimator.get_booster().num_boosted_rounds()
    outputs = load_xgboost(estimator, tmp_path).predict(Matrix(rows))
    np.testing.assert_allclose(outputs.probabilities, estimator.predict_proba(rows), rtol=1e-6)


def test_types_of_columns_are_kept_and_categories_listed(tmp_path: Path) -> None:
    frame, labels = zoo.category_frame()
    frame = frame.assign(new=frame.age.gt(40), tenure_months=frame.tenure_months.astype(int))
    estimator = xgboost.XGBClassifier(n_estimators=3, n_jobs=1, enable_categorical=True).fit(frame, labels)
    model = load_xgboost(estimator, tmp_path)
    kinds = {column.name: column.type for column in model.signature.columns}
    assert kinds["plan"] is ColumnType.CATEGORY
    assert kinds["tenure_months"] is ColumnType.INTEGER
    assert kinds["new"] is ColumnType.BOOLEAN
    assert model.signature.columns[1].categories == ("basic", "gold", "silver")
    outputs = model.predict(zoo.inputs_of(frame, model.signature))
    np.testing.assert_allclose(outputs.probabilities, estimator.predict_proba(frame), rtol=1e-6)


def test_an_unknown_category_counts_as_missing(tmp_path: Path) -> None:
    specimen = zoo.specimen("xgboost-categories")
    model = xgboost_runtime.load(specimen.write(tmp_path), None, LoadOptions())
    part = zoo.take(specimen.X, slice(0, 20))
    unknown, missing = zoo.inputs_of(part, model.signature), zoo.inputs_of(part, model.signature)
    assert isinstance(unknown, Table)
    assert isinstance(missing, Table)
    unknown.columns["plan"][:] = "platinum"
    missing.columns["plan"][:] = None
    assert model.predict(unknown).listed == model.predict(missing).listed


def test_number_categories_come_as_numbers(tmp_path: Path) -> None:
    frame = pandas.DataFrame({"shop": pandas.Categorical([10, 20, 30] * 50), "n": X[:, 0]})
    estimator = xgboost.XGBClassifier(n_estimators=3, n_jobs=1, enable_categorical=True).fit(frame, Y)
    with pytest.raises(SignatureMissing, match="categories of column 'shop'"):
        load_xgboost(estimator, tmp_path)
    output = Output("classification", classes=(0, 1, 2), probabilities=True)
    model = load_xgboost(
        estimator, tmp_path, Signature((Column("shop", ColumnType.INTEGER), Column("n")), output=output)
    )
    outputs = model.predict(Matrix(np.c_[frame.shop.astype(float), frame.n]))
    np.testing.assert_allclose(outputs.probabilities, estimator.predict_proba(frame), rtol=1e-6)


CLASSES = Output("classification", classes=("a", "b", "c"), probabilities=True)
FOUR = tuple(Column(f"x{index}") for index in range(4))


@pytest.mark.parametrize(
    ("columns", "output", "message"),
    [
        (FOUR[:3], CLASSES, "3 columns, the booster takes 4"),
        (FOUR, Output("classification", classes=(0, 1)), "2 classes, the booster 3"),
        ((*FOUR[:3], Column("t", ColumnType.STRING)), CLASSES, "categories of column 't'"),
    ],
)
@pytest.mark.parametrize("kind", ["xgboost", "lightgbm"])
def test_a_manifest_that_does_not_fit_is_refused(
    kind: str, columns: Any, output: Output, message: str, tmp_path: Path
) -> None:
    path = zoo.specimen(f"{kind}-classifier").write(tmp_path)
    chosen: Any = xgboost_runtime if kind == "xgboost" else lightgbm_runtime
    with pytest.raises(LoadFailed, match=message):
        chosen.load(path, Signature(columns, output=output), LoadOptions())


@pytest.mark.parametrize("kind", ["xgboost", "lightgbm"])
def test_classes_for_a_regressor_are_refused(kind: str, tmp_path: Path) -> None:
    path = zoo.specimen(f"{kind}-regressor").write(tmp_path)
    chosen: Any = xgboost_runtime if kind == "xgboost" else lightgbm_runtime
    with pytest.raises(LoadFailed, match="objective is reg"):
        chosen.load(path, Signature((*FOUR, Column("x4")), output=CLASSES), LoadOptions())


@pytest.mark.parametrize("kind", ["xgboost", "lightgbm"])
def test_without_probabilities_in_the_manifest_none_are_given(kind: str, tmp_path: Path) -> None:
    path = zoo.specimen(f"{kind}-classifier").write(tmp_path)
    chosen: Any = xgboost_runtime if kind == "xgboost" else lightgbm_runtime
    model = chosen.load(path, Signature(FOUR, output=Output("classification", classes=("a", "b", "c"))), LoadOptions())
    outputs = model.predict(Matrix(X))
    assert outputs.probabilities is None
    assert set(outputs.listed.predictions) == {"a", "b", "c"}


@pytest.mark.parametrize("kind", ["xgboost", "lightgbm"])
def test_a_closed_model_predicts_no_more(kind: str, tmp_path: Path) -> None:
    path = zoo.specimen(f"{kind}-classifier").write(tmp_path)
    chosen: Any = xgboost_runtime if kind == "xgboost" else lightgbm_runtime
    model = chosen.load(path, None, LoadOptions())
    model.close()
    with pytest.raises(RuntimeError, match="closed"):
        model.predict(Matrix(X))


def document(name: str = "xgboost-classifier") -> Any:
    return json.loads(bytes(zoo.specimen(name).estimator.get_booster().save_raw("json")))["learner"]


def _tree(field: str, place: int, number: int) -> Callable[[Any], None]:
    def craft(learner: Any) -> None:
        learner["gradient_booster"]["model"]["trees"][0][field][place] = number

    return craft


def _model(field: str, made: Any) -> Callable[[Any], None]:
    def craft(learner: Any) -> None:
        learner["gradient_booster"]["model"][field] = made

    return craft


@pytest.mark.parametrize(
    "craft",
    [
        _tree("left_children", 0, 10**6),
        _tree("right_children", 0, 0),
        _tree("right_children", 0, 1),
        _tree("split_indices", 0, 99),
        _model("tree_info", [7] * 15),
        _model("tree_info", [0]),
        _model("iteration_indptr", [0, 99]),
    ],
)
def test_an_xgboost_document_that_points_outside_is_refused(craft: Callable[[Any], None]) -> None:
    learner = document()
    check_structure(learner)
    craft(learner)
    with pytest.raises(LoadFailed, match="inconsistent"):
        check_structure(learner)


def test_crafted_categories_and_weights_are_refused() -> None:
    learner = document("xgboost-categories")
    check_structure(learner)
    split = next(tree for tree in learner["gradient_booster"]["model"]["trees"] if tree["categories_nodes"])
    split["categories_segments"][0] = 10**6
    with pytest.raises(LoadFailed, match="categories"):
        check_structure(learner)
    linear = document("xgboost-linear")
    linear["gradient_booster"]["model"]["weights"].pop()
    with pytest.raises(LoadFailed, match="weights"):
        check_structure(linear)
    raw = trained({"booster": "dart", "objective": "reg:squarederror"}, Y).save_raw("json")
    dart = json.loads(bytes(raw))["learner"]
    dart["gradient_booster"]["weight_drop"].pop()
    with pytest.raises(LoadFailed, match="weights"):
        check_structure(dart)


def test_xgboost_is_recognised_by_its_start(tmp_path: Path) -> None:
    for name, start, known in [
        ("a.json", b'{"learner":{}}', True),
        ("b.json", b' {\n "version" : [3]', True),
        ("c.json", b'{"features": []}', False),
        ("d.ubj", b"{L\0\0\0\0\0\0\0\x07learner{", True),
        ("e.ubj", b"", False),
    ]:
        path = tmp_path / name
        path.write_bytes(start)
        assert (xgboost_runtime.recognise(path) is not None) is known, name
    assert xgboost_runtime.recognise(tmp_path / "absent") is None
    assert lightgbm_runtime.recognise(tmp_path / "absent") is None


# -- LightGBM ----------------------------------------------------------------------------------------------------------


def text_of(name: str, folder: Path) -> str:
    return zoo.specimen(name).write(folder).read_text()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("split_feature=2", "split_feature=99"),
        ("split_feature=2", "split_feature=x"),
        ("left_child=1", "left_child=55"),
        ("left_child=1", "left_child=0"),
        ("left_child=1", "left_child=-99"),
        ("num_leaves=", "num_leaves=9"),
        ("num_leaves=", "num_leaves=-"),
        ("leaf_weight=", "leaf_weight=1e9999 "),
        ("shrinkage=", "surprise="),
        ("feature_infos=", "feature_infos=? "),
        ("objective=multiclass", "objective=Multi\tclass"),
        ("num_class:3", "num_class:4"),
        ("pandas_categorical:null", "pandas_categorical:{"),
        ("pandas_categorical:null", "pandas_categorical:[1]"),
        ("pandas_categorical:null", "pandas_categorical:7"),
        ("leaf_value=", "leaf_value=0.5 "),
        ("leaf_value=", "leaf_value=word "),
        ("max_feature_idx=3", "max_feature_idx=30"),
        ("max_feature_idx=3", "max_feature_idx="),
        ("num_class=3", "num_class=2"),
        ("num_class=3", "num_class=99999999999"),
        ("tree_sizes=", "tree_sizes=12 "),
        ("Tree=1\n", "Trunk=1\n"),
        ("end of trees", "the end"),
    ],
)
def test_a_lightgbm_text_that_points_outside_is_refused(before: str, after: str, tmp_path: Path) -> None:
    text = text_of("lightgbm-classifier", tmp_path)
    assert before in text
    with pytest.raises(LoadFailed, match=r"LightGBM model (is inconsistent|has no sound)"):
        load_lightgbm(text.replace(before, after, 1), tmp_path)


@pytest.mark.parametrize(("before", "after"), [("cat_boundaries=0", "cat_boundaries=7"), ("num_cat=1", "num_cat=0")])
def test_crafted_category_splits_are_refused(before: str, after: str, tmp_path: Path) -> None:
    text = text_of("lightgbm-categories", tmp_path)
    assert before in text
    with pytest.raises(LoadFailed, match="inconsistent"):
        read_text(text.replace(before, after, 1))


def test_trees_of_one_leaf_and_linear_leaves_are_sound(tmp_path: Path) -> None:
    flat = lightgbm.LGBMRegressor(**QUIET).fit(X, np.ones(150)).booster_.model_to_string()
    assert load_lightgbm(flat, tmp_path).predict(Matrix(X)).listed.predictions == [1.0] * 150
    linear = lightgbm.LGBMRegressor(linear_tree=True, **QUIET).fit(X, X[:, 0]).booster_
    outputs = load_lightgbm(linear.model_to_string(), tmp_path).predict(Matrix(X))
    np.testing.assert_allclose(outputs.values, linear.predict(X), rtol=1e-12)


def test_columns_without_names_are_numbered(tmp_path: Path) -> None:
    signature = load_lightgbm(text_of("lightgbm-classifier", tmp_path), tmp_path).signature
    assert signature.names == ("x0", "x1", "x2", "x3")
    assert not signature.named


def test_lightgbm_answers_an_unknown_category_as_it_does_itself(tmp_path: Path) -> None:
    specimen = zoo.specimen("lightgbm-categories")
    model = load_lightgbm(text_of("lightgbm-categories", tmp_path), tmp_path)
    part = zoo.take(specimen.X, slice(0, 30))
    inputs = zoo.inputs_of(part, model.signature)
    assert isinstance(inputs, Table)
    inputs.columns["city"][:] = "Atlantis"
    unknown = part.assign(city=pandas.Categorical(["Atlantis"] * 30))
    np.testing.assert_allclose(model.predict(inputs).probabilities, specimen.estimator.predict_proba(unknown))


def test_ordered_categories_need_a_manifest(tmp_path: Path) -> None:
    sizes = pandas.Categorical(["s", "m", "l"] * 50, categories=["s", "m", "l"], ordered=True)
    frame = pandas.DataFrame({"size": sizes, "n": X[:, 0]})
    estimator = lightgbm.LGBMClassifier(**QUIET).fit(frame, Y)
    text = estimator.booster_.model_to_string()
    with pytest.raises(SignatureMissing, match="ordered categories"):
        load_lightgbm(text, tmp_path)
    columns = (Column("size", ColumnType.CATEGORY, categories=("s", "m", "l")), Column("n"))
    output = Output("classification", classes=(0, 1, 2), probabilities=True)
    model = load_lightgbm(text, tmp_path, Signature(columns, output=output))
    outputs = model.predict(zoo.inputs_of(frame, model.signature))
    np.testing.assert_allclose(outputs.probabilities, estimator.predict_proba(frame))


def test_categorical_columns_given_by_number_stay_numbers(tmp_path: Path) -> None:
    rows = np.c_[Y, X]
    booster = lightgbm.train(
        {"objective": "regression", "verbose": -1}, lightgbm.Dataset(rows, X[:, 0], categorical_feature=[0]), 3
    )
    model = load_lightgbm(booster.model_to_string(), tmp_path)
    assert model.signature.layout == "matrix"
    np.testing.assert_allclose(model.predict(Matrix(rows)).values, booster.predict(rows), rtol=1e-12)


def test_without_parameters_categories_are_known_by_their_values(tmp_path: Path) -> None:
    text = text_of("lightgbm-categories", tmp_path)
    bare = "\n".join(line for line in text.splitlines() if not line.startswith("[categorical_feature"))
    assert read_text(bare).categorical == read_text(text).categorical == (1, 4)


# -- libraries that are not there --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["xgboost", "lightgbm"])
@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (ImportError("no such module"), "pip install 'foretell[KIND]'"),
        (OSError("libgomp.so.1: cannot open shared object file"), "apt-get install libgomp1"),
    ],
)
def test_a_missing_library_says_what_to_install(
    kind: str, error: Exception, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = zoo.specimen(f"{kind}-classifier").write(tmp_path)
    chosen: Any = xgboost_runtime if kind == "xgboost" else lightgbm_runtime
    ordinary = builtins.__import__

    def failing(name: str, *args: Any, **options: Any) -> Any:
        if name == kind:
            raise error
        return ordinary(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", failing)
    with pytest.raises(MissingLibrary) as caught:
        chosen.load(path, None, LoadOptions())
    assert caught.value.hint == hint.replace("KIND", kind)
    assert kind in sys.modules


def test_xgboost_that_does_not_find_its_own_library_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = zoo.specimen("xgboost-classifier").write(tmp_path)
    ordinary = builtins.__import__

    def failing(name: str, *args: Any, **options: Any) -> Any:
        if name == "xgboost":
            raise xgboost.core.XGBoostError("XGBoost Library (libxgboost.so) could not be loaded.")
        return ordinary(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", failing)
    with pytest.raises(MissingLibrary, match="could not be loaded"):
        xgboost_runtime.load(path, None, LoadOptions())


@pytest.mark.parametrize("content", [b"", b"tree\n", b"tree\nnum_class=1\n", b"\xff\xfe\x00", b'{"learner":{', b"{L"])
def test_damaged_files_fail_to_load(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.any"
    path.write_bytes(content)
    with pytest.raises(LoadFailed):
        lightgbm_runtime.load(path, None, LoadOptions())
    with pytest.raises(LoadFailed):
        xgboost_runtime.load(path, None, LoadOptions())
