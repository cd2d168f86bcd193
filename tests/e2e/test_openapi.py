"""The OpenAPI document of a real server: it can be relied on, its examples work, and the server keeps to it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import Client
from tests.e2e.process import Serving
from tests.report import Report

ROOT = Path(__file__).parents[2]
# which body suits a path with {model} in it depends on the name, which a schema cannot say; the models' own paths can
CONFIG = """\
[generation]
with-security-parameters = false

[parameters]
model = "iris"
version = "v1"

[[operations]]
include-path-regex = ".*\\\\{(model|version)\\\\}.*"
checks.positive_data_acceptance.enabled = false
"""
# models whose own paths take other bodies than the rest: a flower, mixed columns, a tensor, several outputs
OTHERS = r"/api/v1/models/(?!\{|(iris|customers|image|pair)/)"
WANTED = "0 answers of 5xx, 0 undocumented"
RUN = "from schemathesis.cli import schemathesis; schemathesis()"


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, operation) for path, item in document["paths"].items() for method, operation in item.items()]


def test_every_example_works_as_it_stands(client: Client) -> None:
    document = client.get("/openapi.json").json
    posted = 0
    for path, method, operation in operations(document):
        for kind, media in operation.get("requestBody", {}).get("content", {}).items():
            if "{" in path or "example" not in media:
                continue
            body = media["example"]
            answer = client.post(path, body.encode() if isinstance(body, str) else body, kind=kind)
            assert answer.status == 200, (method, path, kind, answer)
            posted += 1
    assert posted >= 30, "every model has examples, single and batch, in JSON and CSV"


def test_every_model_has_its_own_paths_with_an_example(client: Client) -> None:
    paths = client.get("/openapi.json").json["paths"]
    for model in client.get("/api/v1/models").json["models"]:
        for suffix in ("predict", "predict/batch"):
            content = paths[f"/api/v1/models/{model['name']}/{suffix}"]["post"]["requestBody"]["content"]
            assert "example" in content["application/json"], model["name"]


def test_every_path_of_the_contract_is_described(client: Client) -> None:
    paths = client.get("/openapi.json").json["paths"]
    for path in (
        "/predict",
        "/health",
        "/",
        "/health/live",
        "/health/ready",
        "/predict_batch",
        "/predict/{version}",
        "/api/v1/predict",
        "/api/v1/predict/batch",
        "/api/v1/models",
        "/api/v1/model/info",
        "/api/v1/models/{model}",
        "/api/v1/models/{model}/versions/{version}",
        "/api/v1/models/{model}/predict",
        "/api/v1/models/{model}/predict/batch",
        "/api/v1/models/{model}/versions/{version}/predict",
        "/api/v1/models/{model}/versions/{version}/predict/batch",
    ):
        assert path in paths, path


def test_operation_ids_are_unique(client: Client) -> None:
    ids = [operation["operationId"] for *_, operation in operations(client.get("/openapi.json").json)]
    assert len(ids) == len(set(ids))


def conform(server: Serving, folder: Path, timeout_s: float, *how: str) -> int:
    """Runs schemathesis against the server; how many requests came of it."""
    before = len(server.requests())
    environ = {**os.environ, "SCHEMATHESIS_HOOKS": "tests.e2e.conformance", "PYTHONPATH": str(ROOT)}
    (folder / "schemathesis.toml").write_text(CONFIG)
    command = [sys.executable, "-c", RUN, "run", f"{server.url}/openapi.json", "--no-color", *how]
    run = subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=timeout_s
    )
    assert run.returncode == 0, run.stdout[-12_000:] + run.stderr[-2000:]
    lines = server.requests()[before:]
    assert not [line for line in lines if line["status"] >= 500]
    return len(lines)


@pytest.mark.timeout(300)
def test_the_server_does_what_it_says_and_nothing_else(server: Serving, tmp_path: Path, report: Report) -> None:
    requests = conform(server, tmp_path, 280, "--max-examples", "4", "--seed", "1", "--exclude-path-regex", OTHERS)
    report(said(server), bar=WANTED, requests=requests, examples_an_operation=4)


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_the_server_does_what_it_says_at_length(server: Serving, tmp_path: Path, report: Report) -> None:
    requests = conform(server, tmp_path, 3500, "--max-examples", "300")
    report(said(server), bar=WANTED, requests=requests, examples_an_operation=300)


def said(server: Serving) -> str:
    return f"The server does what its OpenAPI document says (schemathesis), {'lane' if server.lane else 'ordinary way'}"
