"""Models that are code, served by a real server: a class, a pickle, a PyTorch program; a LiteRT graph beside them."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import foretell
from tests import zoo
from tests.e2e.client import Client
from tests.e2e.process import Serving, serving
from tests.litert_graphs import softmax_layer

DOUBLING = """
from typing import Literal

class Doubling:
    def predict(self, x: float, unit: Literal["m", "cm"]) -> float:
        return x * 2
"""
OWN_MODULE = """
class Own:
    def predict(self, X):
        return X.sum(axis=1)
"""


def python(folder: Path) -> None:
    (folder / "doubling" / "v1").mkdir(parents=True)
    (folder / "doubling" / "v1" / "model.py").write_text(DOUBLING)


def pickles(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside = folder.parent / "own_sums.py"
    beside.write_text(OWN_MODULE)
    with monkeypatch.context() as patched:
        patched.syspath_prepend(folder.parent)
        import own_sums  # type: ignore[import-not-found]

        for name in ("sums", "others"):
            rows = {"a": [1.5, 2.5], "b": [2.5, 3.5]}
            foretell.package(own_sums.Own(), folder / name / "v1", example=rows, format="pickle", files=[beside])


def program(folder: Path) -> None:
    import torch

    rows = torch.export.Dim("rows")
    exported = torch.export.export(zoo.torch_module(zoo.Layer()), (torch.zeros(2, 4),), dynamic_shapes=({0: rows},))
    foretell.package(exported, folder / "net" / "v1", example=zoo.iris()[0], class_names=["a", "b", "c"])


def graph(folder: Path) -> None:
    (folder / "lite" / "v1").mkdir(parents=True)
    layer = zoo.Layer()
    (folder / "lite" / "v1" / "model.tflite").write_bytes(softmax_layer(layer.weights, layer.bias))


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    models = tmp_path / "models"
    python(models)
    pickles(models, monkeypatch)
    if find_spec("torch"):
        program(models)
    if find_spec("ai_edge_litert"):
        graph(models)
    with serving(models, tmp_path / "server", trust__pickle="sums/v1,net") as running:
        yield running


def test_each_answers_from_where_it_runs(server: Serving) -> None:
    flower = [5.1, 3.5, 1.4, 0.2]
    layer = zoo.Layer(["a", "b", "c"])
    with Client(server.port) as client:

        def ask(model: str, body: Any) -> Any:
            return client.post(f"/api/v1/models/{model}/predict", body)

        assert ask("doubling", {"x": 21, "unit": "cm"}).json["prediction"] == 42.0
        assert ask("doubling", {"x": 21, "unit": "inch"}).status == 422
        assert ask("sums", {"a": 1, "b": 2}).json["prediction"] == 3.0
        assert ask("others", {"a": 1, "b": 2}).status == 503
        if find_spec("torch"):
            answer = ask("net", {"features": flower}).json
            assert answer["class_name"] == layer.predict([flower])[0]
            assert answer["probability"] == pytest.approx(layer.predict_proba([flower])[0].tolist(), rel=1e-5)
        if find_spec("ai_edge_litert"):
            expected = layer.predict_proba([flower])[0].tolist()
            assert ask("lite", {"features": flower}).json["prediction"] == pytest.approx(expected, rel=1e-5)
        others = next(model for model in client.get("/api/v1/models").json["models"] if model["name"] == "others")
        assert others["versions"][0]["reason"]["code"] == "artifact_untrusted"
        assert "FORETELL_TRUST__PICKLE=others" in others["versions"][0]["reason"]["detail"]
    hosted = {event["model"] for event in server.events() if event["event"] == "host_ready"}
    assert hosted == {"doubling", "sums"} | ({"net"} if find_spec("torch") else set())
