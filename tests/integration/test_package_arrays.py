"""Packaging programs of PyTorch and LiteRT, Keras models, and whatever takes tensors."""

from __future__ import annotations

import sys
import types
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas
import pytest
from onnx import TensorProto, helper
from typer.testing import CliRunner, Result

import foretell
from foretell.cli.main import cli
from foretell.core.signature import Output, Tensor
from foretell.errors import (
    ConversionDiffers,
    ForetellError,
    LoadFailed,
    MissingLibrary,
    NotStorable,
    PackagingError,
    UntrustedArtifact,
)
from foretell.packaging.tensor_example import TensorExample
from foretell.runtimes.registry import installed
from foretell.settings import Trust
from foretell.sources.local import LocalSource
from tests import zoo
from tests.doctoring import doctor
from tests.litert_graphs import doubling, softmax_layer

RNG = np.random.default_rng(2)
WEIGHTS, BIAS = RNG.normal(size=(3, 4)), RNG.normal(size=3)
X, Y = zoo.iris()


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("FORETELL_MODELS", "MODEL_PATH", "FORETELL_TRUST__PICKLE"):
        monkeypatch.delenv(name, raising=False)


def add(*arguments: str) -> Result:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return CliRunner().invoke(cli, ["add", *arguments], env={"COLUMNS": "200"})


def examined(*allowed: str) -> Any:
    """What the doctor says of the only version there is."""
    source = LocalSource(Path("models"), installed().recognise, Trust(pickle=allowed).allows)
    (version,) = doctor(source).examine(Path("models")).versions
    return version


def refused(kind: type[ForetellError], words: str, model: Any, example: Any, **options: Any) -> ForetellError:
    with pytest.raises(ForetellError, match=words) as caught:
        foretell.package(model, "models/m/v1", example=example, **options)
    assert type(caught.value) is kind, caught.value
    assert not Path("models").exists()
    return caught.value


def graph(content: bytes, name: str = "net.tflite") -> Path:
    Path(name).write_bytes(content)
    return Path(name)


# -- LiteRT ------------------------------------------------------------------------------------------------------------


def test_a_graph_of_numbers_takes_columns(tmp_path: Path) -> None:
    pandas.DataFrame(X, columns=list("wxyz")).assign(kind=np.array(["a", "b", "c"])[Y]).to_csv("rows.csv", index=False)
    graph(softmax_layer(WEIGHTS, BIAS))
    result = add("m", "net.tflite", "--example", "rows.csv", "--target", "kind", "--class-names", "a,b,c")
    assert result.exit_code == 0, repr(result.exception)
    version = examined()
    assert version.servable
    assert version.golden.passed
    assert version.signature.names == ("w", "x", "y", "z")
    classes = Output("classification", classes=(0, 1, 2), class_names=("a", "b", "c"), probabilities=True)
    assert version.signature.output == classes


def test_numbers_without_class_names_are_a_regression() -> None:
    packaged = foretell.package(graph(doubling()), "models/m/v1", example={"a": [1.5, 2.5], "b": [0.5, 1.5]})
    assert packaged.signature.output == Output("regression", names=("y0", "y1"))
    assert examined().golden.passed
    Path("models").rename("kept")
    refused(PackagingError, "takes numbers alone, and t of the example", "net.tflite", {"t": ["x"]})


def test_tensors_come_as_an_archive_of_arrays() -> None:
    graph(softmax_layer(WEIGHTS, BIAS))
    np.savez("rows.npz", x=X.astype(np.float32))
    result = add("m", "net.tflite", "--example", "rows.npz")
    assert result.exit_code == 0, repr(result.exception)
    assert "curl" in result.output
    version = examined()
    assert version.signature.tensors == (Tensor("x", "float32", (-1, 4)),)
    assert version.signature.output == Output("tensors", tensors=(Tensor("y", "float32", (-1, 3)),))
    assert (version.golden.count, version.golden.passed) == (3, True)


def test_tensors_with_class_names_are_classified() -> None:
    packaged = foretell.package(
        graph(softmax_layer(WEIGHTS, BIAS)),
        "models/m/v1",
        example={"x": X.astype(np.float32)},
        class_names=["a", "b", "c"],
    )
    assert packaged.signature.output.class_names == ("a", "b", "c")
    assert packaged.manifest.golden[0].probabilities is not None
    assert examined().golden.passed


# -- ONNX and golden examples ------------------------------------------------------------------------------------------


def relu(shape: list[Any]) -> onnx.ModelProto:
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("image", "out")]
    made = helper.make_graph([helper.make_node("Relu", ["image"], ["out"])], "g", ports[:1], ports[1:])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="test")


def test_large_rows_are_no_golden_examples() -> None:
    images = np.zeros((2, 3, 40, 40), dtype=np.float32)
    packaged = foretell.package(relu(["N", 3, 40, 40]), "models/m/v1", example=images)
    assert packaged.manifest.golden == ()
    assert "too large to be kept as golden examples" in packaged.notes[0]
    assert examined().servable


def test_small_images_are_packaged_and_asked_again() -> None:
    np.save("rows.npy", RNG.normal(size=(4, 1, 2, 2)))
    Path("net.onnx").write_bytes(relu(["N", 1, 2, 2]).SerializeToString())
    assert "same_kind" not in str(add("m", "net.onnx", "--example", "rows.npy").exception)
    assert examined().golden.passed


@pytest.mark.parametrize(
    ("example", "words"),
    [
        ({"y": np.zeros((2, 4), dtype=np.float32)}, r"takes x \(float32\); the example has y"),
        ({"x": np.zeros((2, 5), dtype=np.float32)}, r"a row of x is 4; those of the example are \(5,\)"),
        ({"x": np.zeros((2, 4), dtype=np.complex64)}, "complex64, which is no tensor"),
        ({"x": np.zeros((2, 4)), "z": np.zeros(3)}, "rows as their first axis, as many in each"),
        (np.zeros((2, 4, 1)), "a row of x is 4"),
        ({"x": np.full((2, 4), np.inf, dtype=np.float32)}, "with what is no finite number"),
    ],
)
def test_examples_that_do_not_fit_are_explained(example: Any, words: str) -> None:
    refused(PackagingError, words, graph(softmax_layer(WEIGHTS, BIAS)), example)


def test_whole_numbers_are_not_made_of_fractions() -> None:
    error = refused(
        PackagingError, "a is int32; the example holds float64", graph(doubling("INT32")), {"a": np.ones((2, 2))}
    )
    assert error.hint is None
    refused(PackagingError, "no columns to be the target", graph(doubling()), {"a": np.ones((2, 2))}, target="a")
    columns = zoo.specimen("onnx-iris-logistic").write(Path())
    refused(PackagingError, "takes 4 columns, and the example holds tensors", columns, {"x": X})


def test_files_that_are_no_arrays_are_refused() -> None:
    graph(doubling())
    np.save("objects.npy", np.array([None, {}], dtype=object), allow_pickle=True)
    Path("text.npz").write_text("no archive")
    for name in ("objects.npy", "text.npz", "absent.npy"):
        assert f"{name} cannot be read as arrays" in str(add("m", "net.tflite", "--example", name).exception)
    line = ["m", "net.tflite", "--example", "x.npz", "--target", "y"]
    assert "x.npz holds tensors, which have no columns" in str(add(*line).exception)
    assert TensorExample.of({"a": np.ones(3)}) is None


# -- PyTorch -----------------------------------------------------------------------------------------------------------


def test_a_program_is_pinned_and_allowed_by_name() -> None:
    zoo.specimen("torch-export").write(Path(), "net")
    pandas.DataFrame(X, columns=list("wxyz")).to_csv("rows.csv", index=False)
    line = ["m", "net.pt2", "--example", "rows.csv", "--class-names", "a,b,c"]
    error = add(*line).exception
    assert isinstance(error, UntrustedArtifact)
    assert "net.pt2 is code" in error.detail
    assert (error.hint or "").endswith("--trust-pickle")
    refused(UntrustedArtifact, "is code", "net.pt2", X)
    result = add(*line, "--trust-pickle")
    assert result.exit_code == 0, repr(result.exception)
    assert "FORETELL_TRUST__PICKLE=m/v1" in result.output
    assert isinstance(examined().fault, UntrustedArtifact)
    assert examined("m").golden.passed


@pytest.mark.parametrize("scripted", [False, True])
def test_programs_in_memory_are_stored(scripted: bool) -> None:
    layer = zoo.Layer()
    module = zoo.torch_module(layer)
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = torch.zeros(2, 4)
        program = (
            torch.jit.trace(module, (rows,))
            if scripted
            else torch.export.export(module, (rows,), dynamic_shapes=({0: torch.export.Dim("rows")},))
        )
    packaged = foretell.package(program, "models/m/v1", example={"input": X.astype(np.float32)})
    assert packaged.manifest.artifacts[0].name == ("model.pt" if scripted else "model.pt2")
    assert packaged.signature.tensors == (Tensor("input", "float32", (-1, 4)),)
    assert examined("m").golden.passed
    Path("models").rename("kept")
    refused(NotStorable, "a Sequential says nothing of the shapes", module, X)


# -- Keras -------------------------------------------------------------------------------------------------------------


class FakeKeras:
    """A Keras model of one layer; what it predicts is moved by ``shift``."""

    __module__ = "keras.src.models"

    def __init__(self, shift: float = 0.0) -> None:
        self.shift = shift

    def predict(self, rows: Any, verbose: int) -> Any:
        scores = np.exp(rows @ WEIGHTS.T + BIAS)
        return (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32) + self.shift


class FakeConverter:
    """TensorFlow's converter, which knows one graph."""

    def __init__(self, fails: bool) -> None:
        self.fails = fails

    def convert(self) -> bytes:
        if self.fails:
            raise RuntimeError("op is not supported\nmore")
        return softmax_layer(WEIGHTS, BIAS)


class FakeTensorflow(types.ModuleType):
    """As much of TensorFlow as conversion uses."""

    def __init__(self, model: Any = None, *, fails: bool = False) -> None:
        super().__init__("tensorflow")
        converter = types.SimpleNamespace(
            from_keras_model=lambda _: FakeConverter(fails), from_saved_model=lambda _: FakeConverter(fails)
        )
        self.lite = types.SimpleNamespace(TFLiteConverter=converter)
        self.keras = types.SimpleNamespace(models=types.SimpleNamespace(load_model=self.load_model))
        self.model = model

    def load_model(self, path: str, compile: bool) -> Any:
        if self.model is None:
            raise ValueError("no Keras file")
        return self.model


def test_a_keras_model_becomes_a_litert_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", FakeTensorflow(FakeKeras()))
    packaged = foretell.package(FakeKeras(), "models/m/v1", example=X, class_names=["a", "b", "c"])
    assert (packaged.manifest.runtime, packaged.compared) == ("litert", True)
    assert examined().golden.passed
    tensors = foretell.package(FakeKeras(), "kept/m/v1", example={"x": X.astype(np.float32)})
    assert tensors.compared
    numbers = foretell.package(FakeKeras(), "kept/m/v2", example=X)
    assert numbers.signature.output.kind == "regression"
    Path("models").rename("more")
    refused(ConversionDiffers, "answers differently", FakeKeras(0.01), X, class_names=["a", "b", "c"])
    refused(ConversionDiffers, "by up to 0.01", FakeKeras(0.01), {"x": X.astype(np.float32)})


@pytest.mark.parametrize("name", ["net.keras", "net.h5", "saved"])
def test_keras_files_are_converted_on_their_authors_word(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", FakeTensorflow(FakeKeras()))
    if name == "saved":
        Path(name).mkdir()
        Path(name, "saved_model.pb").touch()
    else:
        Path(name).touch()
    pandas.DataFrame(X, columns=list("wxyz")).to_csv("rows.csv", index=False)
    line = ["m", name, "--example", "rows.csv"]
    assert isinstance(add(*line).exception, UntrustedArtifact)
    refused(UntrustedArtifact, "may hold code", name, X)
    result = add(*line, "--trust-pickle")
    assert result.exit_code == 0, repr(result.exception)
    assert "FORETELL_TRUST__PICKLE" not in result.output
    assert examined().golden.passed


def test_what_tensorflow_cannot_do_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", FakeTensorflow(fails=True))
    refused(NotStorable, "cannot be converted to LiteRT: op is not supported$", FakeKeras(), X)
    Path("net.keras").touch()
    line = ["m", "net.keras", "--example", "rows.csv", "--trust-pickle"]
    pandas.DataFrame(X, columns=list("wxyz")).to_csv("rows.csv", index=False)
    error = add(*line).exception
    assert isinstance(error, LoadFailed)
    assert "net.keras cannot be loaded by TensorFlow: ValueError: no Keras file" in error.detail
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    error = add(*line).exception
    assert isinstance(error, MissingLibrary)
    assert (error.hint or "").startswith("pip install tensorflow")


def test_real_keras_models_convert() -> None:
    tf = pytest.importorskip("tensorflow", reason="pip install tensorflow")
    model = tf.keras.Sequential([tf.keras.layers.Input((4,)), tf.keras.layers.Dense(3, activation="softmax")])
    packaged = foretell.package(model, "models/m/v1", example=X, class_names=["a", "b", "c"])
    assert packaged.compared
    model.save("net.keras")
    pandas.DataFrame(X, columns=list("wxyz")).to_csv("rows.csv", index=False)
    assert add("m", "net.keras", "--example", "rows.csv", "--trust-pickle").exit_code == 0
    tf.saved_model.save(model, "saved")
    assert add("m", "saved", "--example", "rows.csv", "--trust-pickle").exit_code == 0
