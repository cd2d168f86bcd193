"""Pickles: what is served of them once somebody has allowed it, and how the rest is refused."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foretell.core.signature import Column, ColumnType, Output, Signature, Tensor
from foretell.core.values import Matrix, Table
from foretell.errors import ArtifactError, LoadFailed, MissingLibrary, SignatureMissing
from foretell.runtimes import registry
from foretell.runtimes.base import CODE_RUNTIMES, LoadOptions, Model, isolation_of
from foretell.runtimes.pickle import runtime, unpickle

ROWS = Matrix(np.array([[1.0, 2.0], [3.0, 4.0]]))
NUMBERS = Signature((Column("a"), Column("b")))
SHARES = Output("classification", classes=("no", "yes"), probabilities=True)


class Summing:
    """An object of nobody's library."""

    def predict(self, X: Any) -> Any:
        return np.asarray(X).sum(axis=1)


class Sharing:
    classes_ = np.array(["no", "yes"])

    def predict(self, X: Any) -> Any:
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def predict_proba(self, X: Any) -> Any:
        first = X.b.to_numpy() if hasattr(X, "columns") else X[:, 0] / 4
        return np.stack([1 - first, first], axis=1)


class Silent:
    """Nothing that predicts."""


class Raising:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> Any:
        return throw, (self.error,)


def throw(error: BaseException) -> None:
    raise error


def load(folder: Path, instance: Any, signature: Signature | None = NUMBERS, device: str = "cpu") -> Model:
    path = folder / "model.pkl"
    path.write_bytes(pickle.dumps(instance))
    return runtime.load(path, signature, LoadOptions(device=device))


def refused(folder: Path, instance: Any, kind: type[ArtifactError], words: str, signature: Any = NUMBERS) -> str | None:
    with pytest.raises(ArtifactError, match=words) as caught:
        load(folder, instance, signature)
    assert type(caught.value) is kind
    assert str(folder) not in caught.value.detail
    return caught.value.hint


def test_pickles_are_code_and_always_hosted() -> None:
    assert isolation_of(registry.get("pickle")) == "hosted"
    assert "pickle" in CODE_RUNTIMES


def test_an_estimator_answers_as_the_sklearn_runtime_does(tmp_path: Path) -> None:
    from sklearn.linear_model import LogisticRegression

    estimator = LogisticRegression().fit(ROWS.values, ["no", "yes"])
    model = load(tmp_path, estimator, None)
    assert (model.model_type, model.signature.output) == ("LogisticRegression", SHARES)
    outputs = model.predict(ROWS)
    assert outputs.listed.predictions == ["no", "yes"]
    np.testing.assert_allclose(np.asarray(outputs.probabilities), estimator.predict_proba(ROWS.values))


def test_any_object_with_predict_answers(tmp_path: Path) -> None:
    model = load(tmp_path, Summing())
    assert (model.model_type, dict(model.parameters), model.signature) == ("Summing", {}, NUMBERS)
    assert model.predict(ROWS).listed.predictions == [3.0, 7.0]
    model.close()
    with pytest.raises(RuntimeError, match="closed"):
        model.predict(ROWS)


def test_probabilities_where_the_signature_promises_them(tmp_path: Path) -> None:
    promised = Signature(NUMBERS.columns, output=SHARES)
    outputs = load(tmp_path, Sharing(), promised).predict(ROWS)
    assert outputs.listed.predictions == ["no", "yes"]
    assert outputs.probabilities is not None
    assert outputs.probabilities.tolist() == [[0.75, 0.25], [0.25, 0.75]]
    without = Signature(NUMBERS.columns, output=Output("classification", classes=("no", "yes")))
    assert load(tmp_path, Sharing(), without).predict(ROWS).probabilities is None
    refused(tmp_path, Summing(), LoadFailed, "Summing has no predict_proba", promised)


MIXED = Signature((Column("a", ColumnType.STRING), Column("b")), output=SHARES)


def test_mixed_columns_come_as_a_data_frame(tmp_path: Path) -> None:
    rows = Table({"a": np.array(["x", None], dtype=object), "b": np.array([0.25, 1.0])})
    assert load(tmp_path, Sharing(), MIXED).predict(rows).listed.predictions == ["no", "yes"]


def test_mixed_columns_need_pandas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert refused(tmp_path, Sharing(), MissingLibrary, "as a data frame", MIXED) == "pip install 'foretell[pandas]'"


def test_what_cannot_be_served_is_explained(tmp_path: Path) -> None:
    refused(tmp_path, Silent(), LoadFailed, "a Silent has no predict")
    hint = refused(tmp_path, Summing(), SignatureMissing, "a Summing does not say what it takes", None)
    assert hint == "foretell add NAME model.pkl --example DATA.csv --trust-pickle --keep-pickle"
    tensors = Signature(tensors=(Tensor("x", "float32", (-1, 2)),), output=Output("tensors"))
    refused(tmp_path, Summing(), LoadFailed, "takes columns, the signature has tensors", tensors)
    with pytest.raises(LoadFailed, match="'cuda:0'"):
        load(tmp_path, Summing(), device="cuda:0")


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (ModuleNotFoundError("no", name="gone"), MissingLibrary, "needs the module 'gone'"),
        (AttributeError("no attribute 'Model'"), LoadFailed, "refers to code that is not here"),
        (RuntimeError("first\nsecond"), LoadFailed, "cannot be loaded: RuntimeError: first$"),
        (SystemExit(1), LoadFailed, "cannot be loaded: SystemExit: 1"),
    ],
)
def test_what_a_pickle_raises_is_told(tmp_path: Path, error: BaseException, kind: Any, words: str) -> None:
    refused(tmp_path, Raising(error), kind, words)


def test_an_estimator_that_contradicts_its_manifest_is_refused(tmp_path: Path) -> None:
    from sklearn.linear_model import LinearRegression

    estimator = LinearRegression().fit(ROWS.values, [0.0, 1.0])
    refused(tmp_path, estimator, LoadFailed, "the signature has 1 columns", Signature((Column("a"),)))
    estimator.get_params = None
    refused(tmp_path, estimator, LoadFailed, r"model\.pkl cannot be served: TypeError")


def test_without_joblib_plain_pickles_still_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "joblib", None)
    assert load(tmp_path, Summing()).predict(ROWS).count == 2
    path = tmp_path / "model.joblib"
    path.write_bytes(pickle.dumps(Summing()))
    with pytest.raises(MissingLibrary, match=r"foretell\[sklearn\]"):
        unpickle(path)
