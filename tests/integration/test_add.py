"""``foretell add``: what is typed in a shell, and what comes of it."""

from __future__ import annotations

import re
import sys
import tomllib
import warnings
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from typer.testing import CliRunner, Result

import foretell
from foretell.cli.main import cli
from foretell.core.manifest import Manifest
from foretell.core.signature import ColumnType
from foretell.errors import (
    ForetellError,
    LoadFailed,
    MissingLibrary,
    NotStorable,
    PackagingError,
    PathMissing,
    UnrecognisedArtifact,
    UntrustedArtifact,
    VersionExists,
)
from tests import zoo

NAMES = "setosa,versicolor,virginica"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("FORETELL_MODELS", "MODEL_PATH"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def iris() -> list[str]:
    """Arguments that name a pickled model and its data."""
    X, y = zoo.iris_frame()
    X.assign(species=np.array(NAMES.split(","))[y]).to_csv("train.csv", index=False)
    joblib.dump(zoo.specimen("sklearn-iris-named").estimator, "model.joblib")
    return ["iris", "model.joblib", "--example", "train.csv", "--target", "species", "--class-names", NAMES]


def add(*arguments: str) -> Result:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return CliRunner().invoke(cli, ["add", *arguments], env={"COLUMNS": "200"})


def added(*arguments: str) -> Manifest:
    """The manifest of what was added; the folder is the first that the output names."""
    result = add(*arguments)
    assert result.exit_code == 0, repr(result.exception)
    match = re.search(r"added (\S+) (\S+) +(\S+)", result.output)
    assert match
    return Manifest.from_document(tomllib.loads((Path(match[3]) / "manifest.toml").read_text()))


def refused(kind: type[ForetellError], *arguments: str) -> Any:
    result = add(*arguments)
    assert isinstance(result.exception, kind), repr(result.exception)
    assert not Path("models").exists()
    return result.exception


# -- what is shown -----------------------------------------------------------------------------------------------------


def test_what_was_added_is_shown_with_the_next_commands(iris: list[str]) -> None:
    output = add(*iris, "--trust-pickle").output
    assert "added iris v1  models/iris/v1" in output
    assert re.search(r"sepal length \(cm\) +float +5.1", output)
    assert "gives one of 3 classes: setosa, versicolor, virginica, with probabilities" in output
    assert "150 example rows answered as by the model itself, 10 kept as golden examples" in output
    assert "note: 146 of 150 example rows are predicted as the target column says" in output
    assert "\nforetell serve models\ncurl -s localhost:8000/api/v1/models/iris/predict -H " in output
    assert """-d '{"features": {"sepal length (cm)": 5.1,""" in output


def test_help_shows_examples_and_every_option() -> None:
    result = CliRunner().invoke(cli, ["add", "--help"], env={"COLUMNS": "120", "TERM": "dumb"})
    assert result.exit_code == 0
    for word in (
        "foretell add iris model.joblib",
        "--example",
        "--target",
        "--trust-pickle",
        "--scaler",
        "--convert",
        "--declare",
    ):
        assert word in result.output


# -- where it goes -----------------------------------------------------------------------------------------------------


def test_the_version_after_the_newest_is_taken(iris: list[str]) -> None:
    for version in ("v1", "v2"):
        assert f"added iris {version}" in add(*iris, "--trust-pickle").output
    assert "added iris v9" in add(*iris, "--trust-pickle", "--version", "v9").output
    assert "added iris v10" in add(*iris, "--trust-pickle").output


def test_a_version_that_exists_is_left_as_it_is(iris: list[str]) -> None:
    add(*iris, "--trust-pickle")
    error = add(*iris, "--trust-pickle", "--version", "v1").exception
    assert isinstance(error, VersionExists)
    assert error.hint == "the next free version is v2"


def test_the_repository_is_the_option_else_the_setting_else_models(
    iris: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    add(*iris, "--trust-pickle", "--models", "elsewhere")
    monkeypatch.setenv("FORETELL_MODELS", "set")
    output = add(*iris, "--trust-pickle").output
    monkeypatch.delenv("FORETELL_MODELS")
    add(*iris, "--trust-pickle")
    assert all(Path(root, "iris", "v1", "manifest.toml").is_file() for root in ("elsewhere", "set", "models"))
    assert "foretell serve set" in output


def test_a_name_outside_the_grammar_is_refused(iris: list[str]) -> None:
    assert "cannot name a model" in refused(PackagingError, "my model", *iris[1:], "--trust-pickle").detail


# -- trust -------------------------------------------------------------------------------------------------------------


class Trap:
    """Loading it writes a file: the proof that code ran."""

    def __reduce__(self) -> Any:
        return open, ("ran", "w")


def test_a_pickle_is_never_loaded_without_the_word_of_its_author(iris: list[str]) -> None:
    joblib.dump(Trap(), "model.joblib")
    error = refused(UntrustedArtifact, *iris, "--declare", "petal width (cm).minimum=0", "--version", "v 3")
    assert not Path("ran").exists()
    assert error.hint == (
        "foretell add iris model.joblib --example train.csv --target species --version 'v 3' "
        "--class-names setosa,versicolor,virginica --declare 'petal width (cm).minimum=0' --trust-pickle"
    )


def test_a_pickled_scaler_is_code_too(iris: list[str]) -> None:
    zoo.specimen("sklearn-iris-named").save(Path("model.skops"))
    joblib.dump(Trap(), "scaler.pkl")
    refused(UntrustedArtifact, "iris", "model.skops", *iris[2:], "--scaler", "scaler.pkl")
    assert not Path("ran").exists()


def test_an_older_scikit_learn_inside_a_pickle_is_noted_and_recorded(iris: list[str]) -> None:
    from sklearn.linear_model import LogisticRegression

    X, y = zoo.iris_frame()
    model = LogisticRegression(max_iter=1000).fit(X, y)
    state = model.__getstate__

    class Old(LogisticRegression):  # type: ignore[misc]
        def __reduce__(self) -> Any:
            return LogisticRegression, (), {**state(), "_sklearn_version": "1.5.2"}

    old = Old()
    joblib.dump(old, "model.joblib")
    result = add(*iris, "--trust-pickle")
    assert result.exit_code == 0, repr(result.exception)
    assert "note: model.joblib was trained with scikit-learn 1.5.2, and " in result.output
    manifest = Manifest.from_document(tomllib.loads(Path("models/iris/v1/manifest.toml").read_text()))
    assert manifest.libraries["scikit-learn"] == "1.5.2"


@pytest.mark.parametrize(
    ("content", "kind", "says"),
    [
        (b"\x80\x04no pickle", LoadFailed, "cannot be loaded"),
        (b"cnot_installed_anywhere\nModel\n.", MissingLibrary, "needs the module 'not_installed_anywhere'"),
        (b"cforetell\nModel\n.", LoadFailed, "refers to code that is not here"),
    ],
)
def test_a_pickle_that_cannot_be_loaded_says_why(
    iris: list[str], content: bytes, kind: type[ForetellError], says: str
) -> None:
    Path("model.pkl").write_bytes(content)
    assert says in refused(kind, "iris", "model.pkl", *iris[2:], "--trust-pickle").detail


def test_a_missing_joblib_is_told_with_the_line_that_installs_it(
    iris: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "joblib", None)
    assert "pip install 'foretell[sklearn]'" in refused(MissingLibrary, *iris, "--trust-pickle").detail


# -- formats -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "runtime"),
    [("sklearn-iris-named", "sklearn"), ("onnx-iris-logistic", "onnx"), ("lightgbm-classifier", "lightgbm")],
)
def test_a_file_that_is_data_is_copied_as_it_is(iris: list[str], name: str, runtime: str) -> None:
    path = zoo.specimen(name).write(Path())
    manifest = added("iris", str(path), "--example", "train.csv", "--target", "species", "--class-names", NAMES)
    assert manifest.runtime == runtime
    assert (Path("models/iris/v1") / manifest.artifacts[0].name).read_bytes() == path.read_bytes()
    assert len(manifest.golden) == 10


def test_converting_a_pickle_or_a_skops_file_gives_onnx(iris: list[str]) -> None:
    assert added(*iris, "--trust-pickle", "--convert", "onnx").runtime == "onnx"
    zoo.specimen("sklearn-iris-named").save(Path("model.skops"))
    assert added("iris", "model.skops", *iris[2:], "--convert", "onnx").runtime == "onnx"
    assert added("iris", "model.skops", *iris[2:], "--convert", "skops").runtime == "sklearn"


def test_a_bare_booster_file_is_not_converted(iris: list[str]) -> None:
    path = zoo.specimen("xgboost-named-json").write(Path())
    error = refused(NotStorable, "iris", str(path), "--example", "train.csv", "--convert", "onnx")
    assert "without the estimator around it" in error.detail


def test_lightgbm_from_a_pickle_reads_texts_as_categories(iris: list[str]) -> None:
    frame, _ = zoo.customers()
    frame.to_csv("customers.csv", index=False)
    joblib.dump(zoo.specimen("lightgbm-categories-named-classes").estimator, "model.joblib")
    manifest = added("churn", "model.joblib", "--example", "customers.csv", "--trust-pickle")
    assert manifest.runtime == "lightgbm"
    assert manifest.signature.output.classes == ("left", "stayed")


def test_a_scaler_beside_the_model_becomes_one_pipeline(iris: list[str]) -> None:
    whole = zoo.specimen("sklearn-iris-named").estimator
    joblib.dump(whole[0], "scaler.pkl")
    joblib.dump(whole[1], "model.pkl")
    arguments = ("iris", "model.pkl", *iris[2:], "--scaler", "scaler.pkl", "--trust-pickle")
    joined = added(*arguments)
    foretell.package(whole, "models/whole/v1", example=zoo.iris_frame()[0])
    alone = Manifest.from_document(tomllib.loads(Path("models/whole/v1/manifest.toml").read_text()))
    assert [golden.prediction for golden in joined.golden] == [golden.prediction for golden in alone.golden]
    assert joined.signature.names == alone.signature.names
    assert added(*arguments, "--convert", "onnx").runtime == "onnx"


def test_what_does_not_scale_is_no_scaler(iris: list[str]) -> None:
    error = refused(PackagingError, *iris, "--scaler", "model.joblib", "--trust-pickle")
    assert error.detail == "the scaler is a Pipeline, which has no transform method"


@pytest.mark.parametrize(
    ("file", "kind", "says"),
    [
        ("gone.joblib", PathMissing, "no file gone.joblib"),
        ("train.csv", UnrecognisedArtifact, "is not recognised as a model"),
    ],
)
def test_what_is_no_model_is_refused(iris: list[str], file: str, kind: type[ForetellError], says: str) -> None:
    assert says in refused(kind, "iris", file, *iris[2:]).detail


# -- words -------------------------------------------------------------------------------------------------------------


def test_bounds_and_notes_are_written_down(iris: list[str]) -> None:
    frame, y = zoo.customers()
    frame.assign(left=y).to_csv("customers.csv", index=False)
    joblib.dump(zoo.specimen("sklearn-mixed").estimator, "model.joblib")
    declared = (
        "age.minimum=0",
        "age.maximum=130",
        "plan.closed=true",
        "spend.nullable=true",
        "spend.type=float",
        "city.description=where",
    )
    manifest = added(
        *("churn", "model.joblib", "--example", "customers.csv", "--target", "left", "--trust-pickle"),
        *(word for item in declared for word in ("--declare", item)),
        *("--metadata", "by = me", "--metadata", "build=1.10"),
    )
    age, plan, months, spend, city = manifest.signature.columns
    assert (age.minimum, age.maximum, age.nullable) == (0, 130, True)
    assert (plan.closed, plan.categories) == (True, ("basic", "gold", "silver"))
    assert (months.type, spend.nullable, city.description) == (ColumnType.INTEGER, True, "where")
    assert manifest.metadata == {"by": "me", "build": "1.10"}


def test_a_dot_in_a_columns_name_is_part_of_the_name() -> None:
    X, y = zoo.numbers()
    from sklearn.linear_model import LinearRegression

    rows = "\n".join(",".join(map(str, row)) for row in X[:, :2])
    Path("rows.csv").write_text(f"a.b,a\n{rows}\n")
    joblib.dump(LinearRegression().fit(X[:, :2], y), "model.joblib")
    manifest = added(
        "m",
        "model.joblib",
        "--example",
        "rows.csv",
        "--trust-pickle",
        "--declare",
        "a.b.minimum=-99",
        "--declare",
        "a.maximum=99",
    )
    first, second = manifest.signature.columns
    assert (first.name, first.minimum, second.name, second.maximum) == ("a.b", -99, "a", 99)


@pytest.mark.parametrize(
    "arguments", [("--declare", "age"), ("--metadata", "word"), ("--metadata", "=1"), ("--convert", "pickle")]
)
def test_an_option_of_the_wrong_form_is_wrong_usage(iris: list[str], arguments: tuple[str, str]) -> None:
    result = add(*iris, "--trust-pickle", *arguments)
    assert result.exit_code == 2
    assert not Path("models").exists()
