"""What the API says about models, health and itself (contract §3)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from foretell.core.manifest import Artifact, Manifest
from tests.asgi import Api, Price, Shop, failed, problem, ready, serving


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    entries = [ready("shop v1", Shop()), ready("shop v10", Shop()), failed("shop v11"), ready("price v1", Price())]
    with serving(*entries, failed("broken v1"), default_model="shop") as running:
        yield running


def test_models_lists_every_version_with_its_state_and_why_it_failed(api: Api) -> None:
    document = api.client.get("/api/v1/models").json()
    assert document["default_model"] == "shop"
    assert [model["name"] for model in document["models"]] == ["broken", "price", "shop"]
    broken, _, shop = document["models"]
    assert (shop["default"], shop["state"], shop["aliases"]) == (True, "ready", {"latest": "v10"})
    assert [(version["version"], version["state"]) for version in shop["versions"]] == [
        ("v11", "failed"),
        ("v10", "ready"),
        ("v1", "ready"),
    ]
    reason = {"code": "integrity_failed", "detail": "model.skops was changed"}
    assert shop["versions"][0]["reason"] == broken["versions"][0]["reason"] == reason
    assert broken["state"] == "failed" and broken["default"] is False and broken["aliases"] == {}


def test_a_model_shows_its_newest_ready_version_in_full(api: Api) -> None:
    api.predict("/api/v1/models/shop/predict/batch", [[1, 1], [2, 1]])
    document = api.client.get("/api/v1/models/shop").json()
    latest = document["latest"]
    assert (latest["version"], latest["digest"], latest["model_type"]) == ("v10", "sha256:0", "Shop")
    assert [column["name"] for column in latest["signature"]["columns"]] == ["x", "y"]
    assert latest["example"] == [1.0, 0.8]
    assert latest["execution"]["mode"] == "direct"
    assert latest["execution"]["waiting_rows"] == 0
    assert latest["execution"]["costs"]["call_ms"] == {"1": 0.1}
    assert latest["execution"]["served"] == {"lane": 0, "ordinary": 1, "rows": 2}
    assert "latest" not in api.client.get("/api/v1/models/broken").json()


@pytest.mark.parametrize(("asked", "found"), [("v1", "v1"), ("v10", "v10"), ("latest", "v10")])
def test_a_version_is_found_by_its_name_or_an_alias(api: Api, asked: str, found: str) -> None:
    document = api.client.get(f"/api/v1/models/shop/versions/{asked}").json()
    assert (document["model"], document["version"], document["state"]) == ("shop", found, "ready")
    assert document["signature"]["output"]["class_names"] == ["book", "game", "tea"]


def test_a_failed_version_says_why(api: Api) -> None:
    document = api.client.get("/api/v1/models/shop/versions/v11").json()
    assert (document["state"], document["reason"]["code"]) == ("failed", "integrity_failed")
    assert "signature" not in document


def test_an_unknown_version_and_an_alias_of_nothing_are_told_apart(api: Api) -> None:
    problem(api.client.get("/api/v1/models/shop/versions/v2"), 404, "unknown_version")
    problem(api.client.get("/api/v1/models/broken/versions/latest"), 503, "not_ready")


def test_what_the_manifest_says_is_shown() -> None:
    entry = ready("shop v1", Shop())
    assert entry.servable is not None
    created_at = entry.servable.loaded_at
    artifact = Artifact("model.skops", "0" * 64, 1)
    manifest = Manifest("fake", (artifact,), entry.servable.signature, created_at, {"numpy": "2.4"}, {"team": "shop"})
    entry.servable.manifest = manifest
    with serving(entry) as api:
        latest = api.client.get("/api/v1/models/shop").json()["latest"]
    assert (latest["libraries"], latest["metadata"]) == ({"numpy": "2.4"}, {"team": "shop"})
    assert latest["created_at"] == latest["loaded_at"] and latest["created_at"].endswith("Z")


def test_model_info_is_the_default_model_in_short(api: Api) -> None:
    document = api.client.get("/api/v1/model/info").json()
    assert list(document) == ["model_name", "model_version", "model_type", "loaded_at", "parameters", "signature"]
    assert (document["model_name"], document["model_version"]) == ("shop", "v10")
    assert document["parameters"] == {"depth": 3}


@pytest.mark.parametrize("path", ["/health", "/api/v1/health"])
def test_health_speaks_of_the_default_model(api: Api, path: str) -> None:
    document = api.client.get(path).json()
    assert (document["status"], document["model_loaded"]) == ("healthy", True)
    assert (document["model_name"], document["model_version"]) == ("shop", "v10")
    assert document["uptime_seconds"] >= 0 and document["timestamp"].endswith("Z")


def test_health_without_a_default_model_speaks_of_all() -> None:
    with serving(ready("shop v1", Shop()), ready("price v3", Price()), failed("broken v1")) as api:
        document = api.client.get("/health").json()
    assert document["models"] == {
        "broken": {"model_loaded": False, "model_version": None},
        "price": {"model_loaded": True, "model_version": "v3"},
        "shop": {"model_loaded": True, "model_version": "v1"},
    }
    assert document["model_loaded"] is True


def test_a_server_without_any_model_is_alive_but_neither_healthy_nor_ready() -> None:
    with serving() as api:
        health = api.client.get("/health")
        assert (health.status_code, health.json()["status"], health.json()["model_loaded"]) == (503, "unhealthy", False)
        assert health.headers["retry-after"]
        assert api.client.get("/api/v1/health/live").json() == {"status": "alive"}
        answer = api.client.get("/health/ready")
        assert answer.status_code == 503
        assert answer.json() == {"status": "not_ready", "reason": "no_model_ready", "waiting_for": []}


@pytest.mark.parametrize(
    ("policy", "status", "waiting_for"),
    [("any", 200, None), ("all", 503, ["broken"]), ("shop", 200, None), ("shop,later", 503, ["later"])],
)
@pytest.mark.parametrize("prefix", ["", "/api/v1"])
def test_ready_means_what_the_setting_says(policy: str, status: int, waiting_for: object, prefix: str) -> None:
    with serving(ready("shop v1", Shop()), failed("broken v1"), ready=policy) as api:
        answer = api.client.get(f"{prefix}/health/ready")
    assert (answer.status_code, answer.json().get("waiting_for")) == (status, waiting_for)


def test_the_root_links_to_what_there_is(api: Api) -> None:
    document = api.client.get("/").json()
    assert document["name"] == "Foretell" and document["version"]
    for name in ("models", "health", "ready", "docs", "openapi"):
        assert api.client.get(document["links"][name]).status_code == 200
    assert api.client.post(document["links"]["predict"], json={"features": [1, 1]}).status_code == 200


def test_unknown_query_parameters_of_reading_paths_do_no_harm(api: Api) -> None:
    assert api.client.get("/health?_=123").status_code == 200


@pytest.mark.parametrize("prefix", ["", "/v2", "/predict", "/health", "/models", "/docs"])
def test_any_prefix_serves_the_same_api(prefix: str) -> None:
    with serving(ready("shop v1", Shop()), prefix=prefix) as api:
        for path in ("/predict", f"{prefix}/predict", f"{prefix}/models/shop/predict", f"{prefix}/predict/v1"):
            assert api.predict(path)["model"] == "shop"
        assert api.predict(f"{prefix}/predict/batch", [[1, 1]])["batch_size"] == 1
        for path in ("/health", f"{prefix}/health/ready", f"{prefix}/models", f"{prefix}/models/shop", "/docs", "/"):
            assert api.client.get(path).status_code == 200, path
        paths = api.client.get("/openapi.json").json()["paths"]
        assert f"{prefix}/models/shop/predict" in paths
