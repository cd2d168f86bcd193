"""What can be read of a server: health, models, the default model, the index; and what is not there yet."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import Client, stable
from tests.e2e.models import Repository
from tests.e2e.process import Serving, serving


@pytest.fixture(scope="module")
def several(repository: Repository, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server of several models without a default."""
    with serving(repository.models, tmp_path_factory.mktemp("several")) as server:
        yield server


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server of a repository in which there is nothing yet."""
    folder = tmp_path_factory.mktemp("empty")
    (folder / "models").mkdir()
    with serving(folder / "models", folder) as server:
        yield server


@pytest.mark.parametrize("base", ["", "/api/v1"])
def test_health_for_people(client: Client, base: str) -> None:
    answer = client.get(f"{base}/health")
    document = answer.json
    assert answer.status == 200
    assert document["status"] == "healthy"
    assert document["model_loaded"] is True
    assert document["model_version"] == "v2"
    assert document["uptime_seconds"] >= 0
    assert datetime.fromisoformat(document["timestamp"]).tzinfo is not None


@pytest.mark.parametrize("base", ["", "/api/v1"])
def test_probes(client: Client, base: str) -> None:
    live, ready = client.get(f"{base}/health/live"), client.get(f"{base}/health/ready")
    assert (live.status, live.json) == (200, {"status": "alive"})
    assert (ready.status, ready.json) == (200, {"status": "ready"})


def test_the_server_does_not_say_what_it_runs_on(client: Client) -> None:
    for answer in (client.get("/health"), client.get("/nowhere"), client.post("/predict", {"features": [1, 2, 3, 4]})):
        assert "server" not in answer.headers


@pytest.mark.parametrize("path", ["/health", "/health/live", "/api/v1/models", "/", "/openapi.json", "/docs"])
def test_head_is_get_without_the_body(client: Client, path: str) -> None:
    head, get = client.request("HEAD", path), client.get(path)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-type"] == get.headers["content-type"]
    assert int(head.headers["content-length"]) == pytest.approx(len(get.body), abs=8), "the uptime may have grown"


def test_the_index_says_where_everything_is(client: Client) -> None:
    document = client.get("/").json
    assert document["name"] == "Foretell" and document["version"]
    for name in ("docs", "health", "models"):
        assert client.get(document["links"][name]).status == 200


def test_the_models(client: Client) -> None:
    document = client.get("/api/v1/models").json
    assert document["default_model"] == "iris"
    by_name = {model["name"]: model for model in document["models"]}
    assert {"iris", "customers", "species", "margin", "pair", "fragile", "image", "unlucky"} <= by_name.keys()
    iris = by_name["iris"]
    assert iris["default"] is True and iris["state"] == "ready" and iris["aliases"] == {"latest": "v2"}
    assert [(version["version"], version["state"]) for version in iris["versions"]] == [
        ("v2", "ready"),
        ("v1", "ready"),
    ]
    assert all(version["digest"].startswith("sha256:") for version in iris["versions"])


def test_one_model(client: Client) -> None:
    document = client.get("/api/v1/models/iris").json
    assert document["name"] == "iris" and document["aliases"] == {"latest": "v2"}
    latest = document["latest"]
    assert latest["version"] == "v2" and latest["runtime"] == "onnx"
    assert latest["signature"]["columns"][0]["name"] == "sepal length (cm)"
    assert latest["execution"]["mode"] in ("direct", "threaded")
    assert latest["execution"]["costs"], "what a call costs by batch size, and why the mode was chosen"
    assert {"lane", "ordinary"} <= latest["execution"]["served"].keys()


@pytest.mark.parametrize(("version", "named"), [("v1", "v1"), ("v2", "v2"), ("latest", "v2")])
def test_one_version(client: Client, version: str, named: str) -> None:
    document = client.get(f"/api/v1/models/iris/versions/{version}").json
    assert (document["model"], document["version"], document["state"]) == ("iris", named, "ready")
    assert document["digest"].startswith("sha256:")
    assert document["libraries"]["scikit-learn"]


def test_the_default_model_in_short(client: Client) -> None:
    document = client.get("/api/v1/model/info").json
    assert set(document) == {"model_name", "model_version", "model_type", "loaded_at", "parameters", "signature"}
    assert (document["model_name"], document["model_version"]) == ("iris", "v2")
    assert datetime.fromisoformat(document["loaded_at"]).tzinfo is not None


def test_no_answer_names_a_path_of_the_server(client: Client, repository: Repository) -> None:
    for path in ("/health", "/", "/api/v1/models", "/api/v1/models/iris", "/api/v1/model/info", "/openapi.json"):
        text = client.get(path).body.decode()
        assert str(repository.models) not in text and "/tmp/" not in text


# -- several models and no default -------------------------------------------------------------------------------------


def test_without_a_default_model_the_names_are_listed(several: Serving) -> None:
    with Client(several.port) as client:
        for answer in (
            client.post("/predict", {"features": [1, 2, 3, 4]}),
            client.post("/api/v1/predict/batch", {"features": [[1, 2, 3, 4]]}),
            client.post("/predict/v1", {"features": [1, 2, 3, 4]}),
            client.get("/api/v1/model/info"),
        ):
            assert answer.status == 400
            assert "iris" in answer.json["detail"] and "customers" in answer.json["detail"]
        health = client.get("/health")
        assert health.status == 200
        assert health.json["models"]["iris"] == {"model_loaded": True, "model_version": "v2"}
        assert client.post("/api/v1/models/iris/predict", {"features": [1, 2, 3, 4]}).status == 200


# -- no model at all ---------------------------------------------------------------------------------------------------


def test_a_server_without_a_model_is_alive_and_not_ready(empty: Serving) -> None:
    with Client(empty.port) as client:
        assert client.get("/health/live").status == 200
        for path in ("/health/ready", "/api/v1/health/ready"):
            answer = client.get(path)
            assert (answer.status, answer.json["status"]) == (503, "not_ready")
        health = client.get("/health")
        assert (health.status, health.json["status"], health.json["model_loaded"]) == (503, "unhealthy", False)
        assert client.get("/api/v1/models").json["models"] == []
        for answer in (client.post("/predict", {"features": [1]}), client.get("/api/v1/model/info")):
            assert answer.status == 503
            assert answer.json["code"] == "not_ready"
        named = client.post("/api/v1/models/iris/predict", {"features": [1]})
        assert named.status == 503, "it may be there soon; nothing here says that it will not"
        assert client.get("/openapi.json").status == 200


# -- other ways to start -----------------------------------------------------------------------------------------------


def test_a_single_file_is_a_model(repository: Repository, place: Path) -> None:
    place.mkdir()
    artifact = (repository.models / "iris" / "v2" / "model.onnx").read_bytes()
    (place / "flowers.onnx").write_bytes(artifact)
    with serving(place / "flowers.onnx", place) as server, Client(server.port) as client:
        answer = client.post("/predict", {"features": [5.1, 3.5, 1.4, 0.2]})
        assert (answer.status, answer.json["model"], answer.json["model_version"]) == (200, "flowers", "v1")
        assert answer.json["prediction"] == 0


def test_one_model_is_its_own_default(repository: Repository, place: Path) -> None:
    with serving(repository.models / "iris", place) as server, Client(server.port) as client:
        answer = client.post("/predict", {"features": [5.1, 3.5, 1.4, 0.2]})
        assert (answer.status, answer.json["model"], answer.json["model_version"]) == (200, "iris", "v2")
        assert stable(client.post("/predict/v1", {"features": [5.1, 3.5, 1.4, 0.2]}))["class_name"] == "setosa"


def test_another_prefix_and_hidden_values_and_smaller_limits(soon_up: Path, place: Path) -> None:
    settings: dict[str, Any] = {
        "default_model": "iris",
        "prefix": "/ml",
        "errors__show_values": False,
        "limits__max_body_bytes": 2048,
        "limits__max_batch_rows": 3,
        "docs__enabled": False,
    }
    with serving(soon_up, place, **settings) as server, Client(server.port) as client:
        assert client.post("/ml/predict", {"features": [5.1, 3.5, 1.4, 0.2]}).status == 200
        assert client.post("/predict", {"features": [5.1, 3.5, 1.4, 0.2]}).status == 200
        assert client.post("/api/v1/predict", {"features": [5.1, 3.5, 1.4, 0.2]}).status == 404
        refused = client.post("/ml/predict", {"features": ["canary-value", 3.5, 1.4, 0.2]})
        assert refused.status == 422 and "canary-value" not in refused.body.decode()
        assert client.post("/ml/predict", b" " * 2049).status == 413
        assert client.post("/ml/predict/batch", {"features": [[5.1, 3.5, 1.4, 0.2]] * 4}).status == 400
        assert client.get("/docs").status == client.get("/openapi.json").status == 404
        assert "docs" not in client.get("/").json["links"]
