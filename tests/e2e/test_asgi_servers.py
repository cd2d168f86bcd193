"""`foretell.asgi:app` under other ASGI servers: health, single, batch, a fault, and an end on SIGTERM."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.client import Client
from tests.e2e.expected import check_batch, check_single
from tests.e2e.models import FLOAT32, Model, Repository
from tests.e2e.process import Serving, environment, free_port, probe, started, until
from tests.tooling import miss

SERVERS = {
    "uvicorn": ["uvicorn", "foretell.asgi:app", "--host", "127.0.0.1", "--port", "{port}"],
    "uvicorn, h11 on asyncio": [
        "uvicorn", "foretell.asgi:app", "--port", "{port}", "--http", "h11", "--loop", "asyncio",
    ],
    "uvicorn, lane": [
        "uvicorn", "foretell.asgi:app", "--port", "{port}", "--http", "foretell.wire.protocol:LaneProtocol",
    ],
    "gunicorn": [
        "gunicorn", "foretell.asgi:app", "--bind", "127.0.0.1:{port}", "-k", "{worker}", "--workers", "1",
        "--graceful-timeout", "20", "--no-control-socket",
    ],
    "granian": ["granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", "{port}", "foretell.asgi:app"],
}  # fmt: skip


def worker_class() -> str:
    """gunicorn's worker for ASGI: a package of its own, or still part of uvicorn."""
    return (
        "uvicorn_worker.UvicornWorker"
        if importlib.util.find_spec("uvicorn_worker")
        else "uvicorn.workers.UvicornWorker"
    )


@pytest.fixture(params=SERVERS)
def other(request: pytest.FixtureRequest, repository: Repository, place: Path) -> Iterator[Serving]:
    place.mkdir()
    port = free_port()
    arguments = [part.format(port=port, worker=worker_class()) for part in SERVERS[request.param]]
    program = arguments[0]
    if importlib.util.find_spec(program) is None:
        miss(f"{program} is not installed: pip install {program}")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    env = environment(FORETELL_MODELS=str(repository.models / "iris"), PATH=path)
    executable = str(Path(sys.executable).parent / program)
    with started([executable, *arguments[1:]], env, place / "server.log", place) as process:
        server = Serving(process, port, place / "server.log", lane="lane" in request.param, models=repository.models)

        def ready() -> bool:
            assert process.poll() is None, server.text[-4000:]
            return probe(port, "/health/ready") == 200

        until(ready, f"{request.param} did not start", 60)
        yield server


def test_the_application_answers_and_stops(other: Serving, iris: Model) -> None:
    onnx = Model(iris.name, iris.estimator, iris.rows, iris.class_names, FLOAT32)
    row, rows = iris.take(1), iris.take(12, 50)
    with Client(other.port) as client:
        assert client.get("/health").json["status"] == "healthy"
        check_single(client.post("/predict", {"features": iris.lists(row)[0]}), onnx, row, "v2")
        check_single(client.post("/predict/v1", {"features": iris.lists(row)[0]}), iris, row)
        check_batch(client.post("/api/v1/predict/batch", {"features": iris.lists(rows)}), onnx, rows, "v2")
        fault = client.post("/predict", {"features": ["wide"]})
        assert (fault.status, fault.json["code"]) == (400, "wrong_feature_count")
        assert client.get("/openapi.json").status == 200
        served = client.get("/api/v1/models/iris/versions/v2").json["execution"]["served"]
        assert served["lane"] == int(other.lane)
    assert len(until(lambda: found if len(found := other.requests()) >= 7 else None, "a line for each request")) >= 7
    # uvicorn's own command line raises the signal again once all has ended in order
    assert other.stop() in (0, -signal.SIGTERM), other.text[-3000:]
    assert "Traceback" not in other.text
    assert '"model_retired"' in other.text, "the models were closed"
