"""Packaging code: a ``model.py`` with the files beside it, and pickles that neither skops nor ONNX can hold."""

from __future__ import annotations

import pickle
import sys
import tomllib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from typer.testing import CliRunner, Result

import foretell
from foretell.cli.main import cli
from foretell.core.signature import Column, ColumnType, Output, Signature
from foretell.errors import ForetellError, NotStorable, PackagingError, UntrustedArtifact
from foretell.runtimes.registry import installed
from foretell.settings import Trust
from foretell.sources.local import LocalSource
from tests import zoo
from tests.doctoring import doctor

CHURN = """
import numpy as np
from pathlib import Path
from typing import Literal
from beside import double

class Churn:
    def load(self, folder: Path) -> None:
        self.weights = np.load(folder / "weights.npy")

    def predict(
        self, age: float, plan: Literal["basic", "gold", "free"], months: int | None
    ) -> dict[Literal["stays", "leaves"], float]:
        leaves = double(self.weights[0]) / (1 + age) + (plan == "gold") * 0.1
        return {"probabilities": np.stack([1 - leaves, leaves], axis=1)}
"""
ROWS = {"age": [20, 30, 40], "plan": ["basic", "gold", "basic"], "months": [1, 2, 3]}


class Summing:
    """No estimator of any library."""

    def predict(self, X: Any) -> Any:
        return X.sum(axis=1)


class Naming:
    """A classifier of nobody's library."""

    classes_ = np.array(["no", "yes"])

    def predict_proba(self, X: Any) -> Any:
        leaves = (X.plan == "gold").to_numpy() * 0.75
        return np.stack([1 - leaves, leaves], axis=1)

    def predict(self, X: Any) -> Any:
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class Failing:
    def predict(self, X: Any) -> Any:
        raise RuntimeError("not these")


class Unpicklable(Summing):
    def __reduce__(self) -> Any:
        raise TypeError("cannot pickle a lock")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("FORETELL_MODELS", "MODEL_PATH", "FORETELL_TRUST__PICKLE"):
        monkeypatch.delenv(name, raising=False)
    Path("model.py").write_text(CHURN)
    Path("beside.py").write_text("def double(x):\n    return 2 * x\n")
    np.save("weights.npy", np.array([0.5]))


def add(*arguments: str) -> Result:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return CliRunner().invoke(cli, ["add", *arguments], env={"COLUMNS": "200"})


def refused(kind: type[ForetellError], words: str, *arguments: str) -> ForetellError:
    result = add(*arguments)
    assert isinstance(result.exception, kind), repr(result.exception)
    assert words in f"{result.exception} {result.exception.hint}"
    assert not Path("models").exists()
    return result.exception


def examined(trust: Trust | None = None) -> Any:
    """What the doctor says of the only version there is."""
    source = LocalSource(Path("models"), installed().recognise, (trust or Trust()).allows)
    (version,) = doctor(source).examine(Path("models")).versions
    return version


# -- model.py ----------------------------------------------------------------------------------------------------------


def test_a_python_model_is_stored_with_what_it_needs(tmp_path: Path) -> None:
    packaged = foretell.package(
        "model.py", "models/churn/v1", example=ROWS, files=["weights.npy", "beside.py"], declare={"age": {"minimum": 0}}
    )
    assert [item.name for item in packaged.manifest.artifacts] == ["model.py", "beside.py", "weights.npy"]
    assert packaged.manifest.runtime == "python"
    age, plan, months = packaged.signature.columns
    assert (age.type, age.minimum) == (ColumnType.FLOAT, 0)  # the annotation says float, the example holds integers
    assert (plan.type, plan.categories, plan.closed) == (ColumnType.CATEGORY, ("basic", "gold", "free"), True)
    assert (months.type, months.nullable) == (ColumnType.INTEGER, True)
    assert packaged.signature.output == Output("classification", classes=("stays", "leaves"), probabilities=True)
    version = examined()
    assert version.servable
    assert version.golden.passed
    Path("models/churn/v1/weights.npy").write_bytes(b"changed")
    assert "weights.npy" in examined().fault.detail


def test_a_class_that_takes_a_mapping_learns_its_columns_from_the_example() -> None:
    Path("model.py").write_text(
        "class M:\n    def predict(self, inputs) -> float:\n        return inputs['odd name'] * 2\n"
    )
    packaged = foretell.package("model.py", "models/m/v1", example={"odd name": [1.5, 2.5]})
    assert packaged.signature == Signature((Column("odd name", example=1.5),), output=Output("regression"))
    assert examined().servable


def test_a_shell_adds_a_python_model() -> None:
    pandas.DataFrame({**ROWS, "left": ["leaves", "stays", "stays"]}).to_csv("rows.csv", index=False)
    line = ["churn", "model.py", "--example", "rows.csv", "--target", "left"]
    result = add(*line, "--with", "weights.npy", "--with", "beside.py")
    assert result.exit_code == 0, repr(result.exception)
    assert "FORETELL_TRUST__PICKLE" not in result.output
    manifest = tomllib.loads(Path("models/churn/v1/manifest.toml").read_text())
    assert [item["name"] for item in manifest["artifacts"]] == ["model.py", "beside.py", "weights.npy"]


@pytest.mark.parametrize(
    ("model", "files", "words"),
    [
        ("model.py", ["absent.npy"], "absent.npy is no file that can lie beside the model"),
        ("model.py", ["../model.py"], "is no file that can lie beside the model"),
        ("model.onnx", ["weights.npy"], "model.onnx is served alone"),
    ],
)
def test_files_that_cannot_lie_beside_are_refused(model: str, files: list[str], words: str) -> None:
    zoo.specimen("onnx-iris-logistic").write(Path())
    with pytest.raises(PackagingError, match=words):
        foretell.package(model, "models/churn/v1", example=ROWS, files=files)
    with pytest.raises(PackagingError, match=r"for a model\.py and for pickles"):
        foretell.package(Summing(), "models/churn/v1", example=ROWS, files=["weights.npy"])
    with pytest.raises(PackagingError, match=r"absent\.npy is no file"):
        foretell.package(Summing(), "models/churn/v1", example=ROWS, files=["absent.npy"], format="pickle")


# -- pickles -----------------------------------------------------------------------------------------------------------


def test_a_pickle_is_kept_and_served_where_it_is_allowed() -> None:
    Path("model.pkl").write_bytes(pickle.dumps(Summing()))
    pandas.DataFrame({"a": [1.5, 2.5], "b": [2.5, 3.5]}).to_csv("rows.csv", index=False)
    line = ["sums", "model.pkl", "--example", "rows.csv"]
    hint = refused(UntrustedArtifact, "is a pickle", *line, "--keep-pickle").hint
    assert hint == "foretell add sums model.pkl --example rows.csv --keep-pickle --trust-pickle"
    assert "--keep-pickle" in str(refused(NotStorable, "no scikit-learn estimator", *line, "--trust-pickle").hint)
    result = add(*line, "--trust-pickle", "--keep-pickle")
    assert result.exit_code == 0, repr(result.exception)
    assert "FORETELL_TRUST__PICKLE=sums/v1" in result.output
    assert Path("models/sums/v1/model.pkl").read_bytes() == Path("model.pkl").read_bytes()
    assert isinstance(examined().fault, UntrustedArtifact)
    version = examined(Trust(pickle=("sums/v1",)))
    assert (version.servable, version.model_type, version.golden.passed) == (True, "Summing", True)


def test_the_module_of_a_pickles_class_lies_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("own_module.py").write_text("class Own:\n    def predict(self, X):\n        return X.sum(axis=1)\n")
    with monkeypatch.context() as patched:
        patched.syspath_prepend(".")
        import own_module  # type: ignore[import-not-found]

        Path("model.pkl").write_bytes(pickle.dumps(own_module.Own()))
    del sys.modules["own_module"]
    pandas.DataFrame({"a": [1.5, 2.5]}).to_csv("rows.csv", index=False)
    line = ["own", "model.pkl", "--example", "rows.csv", "--trust-pickle", "--keep-pickle", "--with", "own_module.py"]
    result = add(*line)
    assert result.exit_code == 0, repr(result.exception)
    Path("own_module.py").unlink()
    assert examined(Trust(pickle=("own",))).golden.passed
    assert "own_module" not in sys.modules
    assert sorted(item.name for item in Path("models/own/v1").iterdir()) == [
        "manifest.toml",
        "model.pkl",
        "own_module.py",
    ]


def test_an_object_is_pickled() -> None:
    packaged = foretell.package(Naming(), "models/names/v1", example=ROWS, format="pickle")
    assert packaged.signature.output == Output("classification", classes=("no", "yes"), probabilities=True)
    assert (packaged.manifest.runtime, packaged.compared) == ("pickle", True)
    assert examined(Trust(pickle=("names",))).servable


@pytest.mark.parametrize("name", ["sklearn-iris-named", "sklearn-mixed", "xgboost-classifier", "lightgbm-classifier"])
def test_an_estimator_is_pickled_where_that_is_asked_for(name: str) -> None:
    specimen = zoo.specimen(name)
    packaged = foretell.package(specimen.estimator, "models/iris/v1", example=specimen.X, format="pickle")
    assert packaged.compared
    assert examined(Trust(pickle=("iris",))).servable


class Several(Summing):
    def predict(self, X: Any) -> Any:
        return X * 2.0


class Labelling(Summing):
    def predict(self, X: Any) -> Any:
        return np.where(X[:, 0] > 1, "many", "few")


def test_what_it_answers_tells_the_output_where_it_has_no_classes() -> None:
    rows = {"a": [1.0, 2.0], "b": [3.0, 4.0]}
    several = foretell.package(Several(), "models/several/v1", example=rows, format="pickle")
    assert several.signature.output == Output("regression", names=("y0", "y1"))
    labels = foretell.package(Labelling(), "models/labels/v1", example=rows, format="pickle")
    assert labels.signature.output == Output("classification")


@pytest.mark.parametrize(
    ("model", "kind", "words"),
    [
        (object(), NotStorable, "object has no predict method"),
        (Summing, NotStorable, "type has no predict method to be called"),
        (Failing(), PackagingError, "Failing itself fails on the example: RuntimeError: not these"),
        (Unpicklable(), NotStorable, "Unpicklable cannot be pickled: TypeError: cannot pickle a lock"),
    ],
)
def test_what_cannot_be_kept_is_explained(model: Any, kind: type[ForetellError], words: str) -> None:
    with pytest.raises(ForetellError, match=words) as caught:
        foretell.package(model, "models/m/v1", example={"a": [1.0, 2.0]}, format="pickle")
    assert type(caught.value) is kind
    assert not Path("models").exists()
