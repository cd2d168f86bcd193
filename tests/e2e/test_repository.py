"""Good versions serve whatever lies beside them; `/models` and the log say why the rest does not (contract §1, §5)."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import Client
from tests.e2e.models import Repository
from tests.e2e.process import Serving, serving, until

FLOWER = [5.1, 3.5, 1.4, 0.2]


def spoil(models: Path, outside: Path) -> dict[str, str]:
    """Versions that cannot be served, newer than the good one: the reason's code by version."""
    iris = models / "iris"

    def like_v1(version: str) -> Path:
        shutil.copytree(iris / "v1", iris / version)
        return iris / version

    (like_v1("v20") / "manifest.toml").write_text("format = 1\nruntime = [")
    artifact = like_v1("v21") / "model.skops"
    artifact.write_bytes(artifact.read_bytes()[:-200])  # half-copied
    artifact = like_v1("v22") / "model.skops"
    data = bytearray(artifact.read_bytes())
    data[len(data) // 2] ^= 1
    artifact.write_bytes(bytes(data))  # changed
    (like_v1("v23") / "model.skops").unlink()
    outside.write_bytes((iris / "v1" / "model.skops").read_bytes())
    artifact = like_v1("v24") / "model.skops"
    artifact.unlink()
    artifact.symlink_to(outside)  # a link that leaves the folder
    manifest = like_v1("v25") / "manifest.toml"
    manifest.write_text(manifest.read_text().replace('"model.skops"', '"../../../secret.skops"'))
    (iris / "v26").mkdir()
    (iris / "v26" / "model.pkl").write_bytes(b"cos\nsystem\n(S'touch /tmp/owned'\ntR.")
    manifest = like_v1("v27") / "manifest.toml"
    text = manifest.read_text()
    assert "\nprediction = 0\n" in text
    manifest.write_text(text.replace("\nprediction = 0\n", "\nprediction = 1\n"))  # not what was recorded
    artifact = like_v1("v28") / "model.skops"
    artifact.unlink()
    os.mkfifo(artifact)  # to open it would wait for ever
    return {
        "v20": "manifest_invalid",
        "v21": "integrity_failed",
        "v22": "integrity_failed",
        "v23": "integrity_failed",
        "v24": "integrity_failed",
        "v26": "artifact_untrusted",
        "v27": "golden_mismatch",
        "v28": "integrity_failed",
    }


@pytest.fixture
def broken(repository: Repository, tmp_path: Path) -> Iterator[tuple[Serving, dict[str, str]]]:
    models = tmp_path / "models"
    models.mkdir()
    shutil.copytree(repository.models / "iris" / "v1", models / "iris" / "v1")
    shutil.copytree(repository.models / "species", models / "species")
    reasons = spoil(models, tmp_path / "secret.skops")
    with serving(models, tmp_path / "server", default_model="iris") as server:
        yield server, reasons


def versions(client: Client, model: str = "iris") -> dict[str, Any]:
    return {version["version"]: version for version in client.get(f"/api/v1/models/{model}").json["versions"]}


def test_what_is_broken_or_hostile_is_reported_and_the_rest_serves(broken: tuple[Serving, dict[str, str]]) -> None:
    server, reasons = broken
    with Client(server.port) as client:
        answer = client.post("/predict", {"features": FLOWER})
        assert (answer.status, answer.json["model_version"]) == (200, "v1"), "the newest ready version answers"
        assert client.post("/api/v1/models/species/predict", {"features": FLOWER}).status == 200
        shown = versions(client)
        for version, code in reasons.items():
            assert shown[version]["state"] == "failed", version
            assert shown[version]["reason"]["code"] == code, shown[version]
            refused = client.post(f"/predict/{version}", {"features": FLOWER})
            assert refused.status == 503
        assert shown["v25"]["state"] == "failed"
        text = client.get("/api/v1/models").body.decode()
        assert str(server.models) not in text and "Traceback" not in text
        assert "foretell add" in shown["v26"]["reason"].get("hint", "") + shown["v26"]["reason"]["detail"]
        assert client.get("/health/ready").status == 200
    for version in reasons:
        assert any(
            event.get("version") == version and event["level"] in ("warning", "error") for event in server.events()
        )
    assert not Path("/tmp/owned").exists()


def test_a_version_that_is_mended_is_taken_in_by_a_rescan(broken: tuple[Serving, dict[str, str]]) -> None:
    server, _ = broken
    assert server.models is not None
    iris = server.models / "iris"
    shutil.rmtree(iris / "v21")
    shutil.copytree(iris / "v1", iris / ".mended")
    (iris / ".mended").rename(iris / "v21")
    with Client(server.port) as client:
        server.tell(signal.SIGHUP)
        until(lambda: versions(client)["v21"]["state"] == "ready", "the mended version")
        assert client.post("/predict", {"features": FLOWER}).json["model_version"] == "v21"


def test_a_broken_newcomer_leaves_the_version_before_it_answering(repository: Repository, tmp_path: Path) -> None:
    models = tmp_path / "models"
    shutil.copytree(repository.models / "iris", models / "iris")
    with serving(models, tmp_path / "server") as server, Client(server.port) as client:
        shutil.copytree(models / "iris" / "v1", models / "iris" / "v3")
        (models / "iris" / "v3" / "model.skops").write_bytes(b"half")
        server.tell(signal.SIGHUP)
        until(lambda: versions(client).get("v3", {}).get("state") == "failed", "the newcomer is refused")
        assert client.post("/predict", {"features": FLOWER}).json["model_version"] == "v2"
        assert client.get("/api/v1/models/iris").json["aliases"] == {"latest": "v2"}


def test_openapi_follows_the_repository(repository: Repository, tmp_path: Path) -> None:
    models = tmp_path / "models"
    shutil.copytree(repository.models / "iris", models / "iris")
    with serving(models, tmp_path / "server", default_model="iris") as server, Client(server.port) as client:
        assert "/api/v1/models/species/predict" not in client.get("/openapi.json").json["paths"]
        shutil.copytree(repository.models / "species", tmp_path / "species")
        (tmp_path / "species").rename(models / "species")
        server.tell(signal.SIGHUP)
        until(lambda: "/api/v1/models/species/predict" in client.get("/openapi.json").json["paths"], "its own path")
        assert client.post("/api/v1/models/species/predict", {"features": FLOWER}).status == 200
