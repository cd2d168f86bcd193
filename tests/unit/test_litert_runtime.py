"""LiteRT graphs: what they tell of themselves, batches of any size, and what is refused."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from foretell.core.signature import Column, Output, Signature, Tensor
from foretell.core.values import Matrix, Tensors
from foretell.errors import ArtifactError, LoadFailed, MissingLibrary
from foretell.runtimes import registry
from foretell.runtimes.arrays import ArrayModel
from foretell.runtimes.base import LoadOptions, Trust
from foretell.runtimes.litert import runtime
from tests.litert_graphs import doubling, softmax_layer

pytest.importorskip("ai_edge_litert", reason="pip install 'foretell[litert]'")

RNG = np.random.default_rng(3)
WEIGHTS, BIAS = RNG.normal(size=(3, 4)), RNG.normal(size=3)


def written(folder: Path, content: bytes) -> Path:
    path = folder / "model.tflite"
    path.write_bytes(content)
    return path


def load(folder: Path, content: bytes, signature: Signature | None = None, device: str = "cpu") -> ArrayModel:
    return runtime.load(written(folder, content), signature, LoadOptions(device=device))


def refused(
    folder: Path, content: bytes, kind: type[ArtifactError], words: str, signature: Signature | None = None
) -> None:
    with pytest.raises(ArtifactError, match=words) as caught:
        load(folder, content, signature)
    assert type(caught.value) is kind
    assert str(folder) not in caught.value.detail


def expected(rows: np.ndarray) -> np.ndarray:
    scores = np.exp(rows @ WEIGHTS.T + BIAS)
    return np.asarray(scores / scores.sum(axis=1, keepdims=True))


@pytest.mark.parametrize(("named", "x", "y"), [(True, "x", "y"), (False, "serving_default_x", "y")])
def test_a_graph_tells_its_tensors(tmp_path: Path, named: bool, x: str, y: str) -> None:
    model = load(tmp_path, softmax_layer(WEIGHTS, BIAS, named=named))
    output = Output("tensors", tensors=(Tensor(y, "float32", (-1, 3)),))
    assert model.signature == Signature(tensors=(Tensor(x, "float32", (-1, 4)),), output=output)
    assert (model.model_type, dict(model.parameters)) == ("LiteRT", {})
    for count in (1, 5, 2, 5):
        rows = RNG.normal(size=(count, 4)).astype(np.float32)
        found = model.predict(Tensors({x: rows})).tensors or {}
        np.testing.assert_allclose(found[y], expected(rows), rtol=1e-5)
    model.close()
    with pytest.raises(RuntimeError, match="closed"):
        model.predict(Tensors({x: rows}))


@pytest.mark.parametrize("named", [True, False])
def test_a_graph_for_a_fixed_number_of_rows_takes_any(tmp_path: Path, named: bool) -> None:
    model = load(tmp_path, softmax_layer(WEIGHTS, BIAS, named=named, rows=2))
    (tensor,) = model.signature.tensors
    assert tensor.shape == (2, 4)
    rows = RNG.normal(size=(5, 4)).astype(np.float32)
    found = model.predict(Tensors({tensor.name: rows})).tensors or {}
    np.testing.assert_allclose(found["y"], expected(rows), rtol=1e-5)


def test_a_graph_for_a_monstrous_number_of_rows_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, softmax_layer(WEIGHTS, BIAS, rows=70_000), LoadFailed, "takes 70,000 rows at a time")


@pytest.mark.parametrize("named", [True, False])
def test_threads_get_their_own_answers(tmp_path: Path, named: bool) -> None:
    model = load(tmp_path, softmax_layer(WEIGHTS, BIAS, named=named))
    name = model.signature.tensors[0].name
    parts = [RNG.normal(size=(1 + index % 3, 4)).astype(np.float32) for index in range(60)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda rows: (model.predict(Tensors({name: rows})).tensors or {})["y"], parts))
    for rows, answer in zip(parts, answers, strict=True):
        np.testing.assert_allclose(answer, expected(rows), rtol=1e-5)


def test_a_manifest_makes_columns_and_classes(tmp_path: Path) -> None:
    classes = Output("classification", classes=("a", "b", "c"), probabilities=True)
    signature = Signature(tuple(Column(name) for name in "wxyz"), output=classes)
    rows = RNG.normal(size=(7, 4))
    outputs = load(tmp_path, softmax_layer(WEIGHTS, BIAS), signature).predict(Matrix(rows))
    np.testing.assert_allclose(np.asarray(outputs.probabilities), expected(rows), rtol=1e-5)
    assert outputs.listed.predictions == ["abc"[place] for place in expected(rows).argmax(axis=1)]


TWO = Signature((Column("a"), Column("b")), output=Output("regression", names=("c", "d")))


def test_a_quantised_graph_takes_its_own_whole_numbers(tmp_path: Path) -> None:
    content = doubling("INT8", scale=0.5)
    refused(tmp_path, content, LoadFailed, "signature has columns, but a, b is quantised", TWO)
    model = load(tmp_path, content)
    assert dict(model.parameters) == {"quantised": ["a", "b"]}
    rows = np.array([[1, -3]], dtype=np.int8)
    assert model.predict(Tensors({"a": rows})).listed.predictions == [[2, -6]]


def test_the_signature_to_serve_is_the_default_or_the_only_one(tmp_path: Path) -> None:
    for signatures in (["only"], ["other", "serving_default"]):
        assert load(tmp_path, doubling(signatures=signatures)).signature.tensors[0].name == "a"
    refused(tmp_path, doubling(signatures=["one", "two"]), LoadFailed, "has 2 signatures: one, two")


def test_what_requests_cannot_carry_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, doubling("COMPLEX64"), LoadFailed, "complex64|cannot load")
    three = Signature(tuple(Column(name) for name in "xyz"))
    refused(tmp_path, doubling(), LoadFailed, "has 3 columns, the model takes 2", three)
    with pytest.raises(LoadFailed, match="'cuda:0'"):
        load(tmp_path, doubling(), device="cuda:0")


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    content = softmax_layer(WEIGHTS, BIAS)
    for size in (0, 8, 100, len(content) // 2):
        refused(tmp_path, content[:size], LoadFailed, r"LiteRT cannot load model\.tflite")


def test_graphs_are_recognised_by_their_first_bytes(tmp_path: Path) -> None:
    path = written(tmp_path, doubling())
    for shown in (path, path.rename(tmp_path / "weights.bin")):
        found = registry.recognise(shown) if shown.exists() else None
        assert found is None or (found.runtime, found.trust) == ("litert", Trust.DATA)
    assert registry.recognise(tmp_path / "weights.bin") is not None
    assert runtime.recognise(written(tmp_path, b"no graph at all")) is None
    assert runtime.recognise(tmp_path / "absent.tflite") is None


def test_a_missing_library_is_told_with_the_line_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(MissingLibrary) as caught:
        runtime.load(tmp_path / "model.tflite", None, LoadOptions())
    assert caught.value.hint == "pip install 'foretell[litert]'"
