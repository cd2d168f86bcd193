"""What each peer needs, how it is started, and how it wants to be asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from benchmarks.servers import HOST

APPS = Path(__file__).resolve().parent / "apps"
SHARED = ("scikit-learn", "joblib", "numpy")

Rows = list[list[float]]


@dataclass(frozen=True, slots=True)
class Peer:
    """A model server that is not ours.

    In ``command`` and ``environment`` ``{bin}`` stands for the scripts of its environment, ``{folder}`` for where its
    model lies, ``{apps}`` for our few lines of code for it and ``{port}`` for the port. ``body`` writes rows as it
    takes them.
    """

    name: str
    requires: tuple[str, ...]
    command: tuple[str, ...]
    probe: str
    path: str
    body: Callable[[Rows], Any]
    environment: tuple[tuple[str, str], ...] = ()
    prepare: str = ""

    def message(self, rows: Rows) -> bytes:
        return orjson.dumps(self.body(rows))


def features(rows: Rows) -> Any:
    return {"features": rows}


def open_inference(rows: Rows) -> Any:
    tensor = {"name": "x", "shape": [len(rows), len(rows[0])], "datatype": "FP64", "data": rows}
    return {"inputs": [tensor], "outputs": [{"name": "predict_proba"}]}


PEERS = (
    Peer(
        "mlserver",
        ("mlserver", "mlserver-sklearn"),
        ("{bin}/mlserver", "start", "{folder}"),
        "/v2/health/ready",
        "/v2/models/iris/infer",
        open_inference,
        (
            ("MLSERVER_HTTP_PORT", "{port}"),
            ("MLSERVER_GRPC_PORT", "0"),
            ("MLSERVER_METRICS_PORT", "0"),
            ("MLSERVER_HOST", HOST),
            ("MLSERVER_PARALLEL_WORKERS", "0"),
        ),
        "mlserver",
    ),
    Peer(
        "litserve",
        ("litserve",),
        ("{bin}/python", "{apps}/litserve_app.py", "{folder}", "{port}"),
        "/health",
        "/predict",
        features,
    ),
    Peer(
        "bentoml",
        ("bentoml",),
        ("{bin}/bentoml", "serve", "bentoml_app:Iris", "--working-dir", "{apps}", "--host", HOST, "--port", "{port}"),
        "/readyz",
        "/predict",
        features,
        (("PEER_FOLDER", "{folder}"), ("BENTOML_DO_NOT_TRACK", "True")),
    ),
    Peer(
        "kserve",
        ("kserve",),
        ("{bin}/python", "{apps}/kserve_app.py", "{folder}", "{port}"),
        "/v2/health/ready",
        "/v1/models/iris:predict",
        lambda rows: {"instances": rows},
    ),
    Peer(
        "mlflow",
        ("mlflow",),
        (
            *("{bin}/mlflow", "models", "serve", "--env-manager", "local"),
            *("-m", "{folder}/mlflow-model", "-h", HOST, "-p", "{port}"),
        ),
        "/ping",
        "/invocations",
        lambda rows: {"inputs": rows},
        prepare="mlflow",
    ),
    Peer(
        "ray-serve",
        ("ray[serve]",),
        ("{bin}/python", "{apps}/ray_app.py", "{folder}", "{port}"),
        "/-/healthz",
        "/predict",
        features,
        (("RAY_USAGE_STATS_ENABLED", "0"),),
    ),
)
