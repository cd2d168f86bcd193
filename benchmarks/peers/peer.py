"""What each peer needs, how it is started, how it wants to be asked, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from benchmarks.servers import HOST

HERE = Path(__file__).resolve().parent
APPS, LOCKS = HERE / "apps", HERE / "locks"
SHARED = ("scikit-learn==1.9.1", "joblib", "numpy", "orjson", "uvloop", "httptools")
"""In every peer's environment: the model's library in our version, and what makes its web server fast where it has it.

BentoML and MLflow do not ask for uvloop and httptools, and are about a fifth slower without.
"""

Rows = list[list[float]]
Classes = list[int]


@dataclass(frozen=True, slots=True)
class Peer:
    """A model server that is not ours.

    In ``command`` and ``environment`` ``{bin}`` stands for the scripts of its environment, ``{folder}`` for where its
    model lies, ``{apps}`` for our few lines of code for it and ``{port}`` for the port. ``body`` writes rows as it
    takes them, ``classes`` reads from an answer the class of each row. ``title`` and ``chosen`` are for the page: its
    name, and which of its settings were chosen. ``shares`` names the peer whose environment it runs in, if not its own.
    """

    name: str
    title: str
    requires: str
    command: tuple[str, ...]
    probe: str
    path: str
    body: Callable[[Rows], Any]
    classes: Callable[[Any], Classes]
    chosen: str
    environment: tuple[tuple[str, str], ...] = ()
    extras: tuple[str, ...] = ()
    prepare: str = ""
    shares: str = ""

    def message(self, rows: Rows) -> bytes:
        return orjson.dumps(self.body(rows))

    @property
    def lock(self) -> Path:
        """Every package of its environment with its version."""
        return LOCKS / f"{self.home}.txt"

    @property
    def home(self) -> str:
        """Of whose name its environment is."""
        return self.shares or self.name

    @property
    def version(self) -> str:
        return self.requires.partition("==")[2]


def features(rows: Rows) -> Any:
    return {"features": rows}


def open_inference(rows: Rows) -> Any:
    tensor = {"name": "x", "shape": [len(rows), len(rows[0])], "datatype": "FP64", "data": rows}
    return {"inputs": [tensor], "outputs": [{"name": "predict_proba"}]}


def most_likely(probabilities: list[list[float]]) -> Classes:
    return [row.index(max(row)) for row in probabilities]


def first_tensor(answer: Any) -> Classes:
    """Of the open inference protocol, whose tensors are flat."""
    tensor = answer["outputs"][0]
    width = tensor["shape"][1]
    values = tensor["data"]
    return most_likely([values[start : start + width] for start in range(0, len(values), width)])


def predictions(answer: Any) -> Classes:
    return list(answer["predictions"])


MLSERVER = Peer(
    name="mlserver",
    title="MLServer",
    requires="mlserver==1.7.1",
    extras=("mlserver-sklearn==1.7.1",),
    command=("{bin}/mlserver", "start", "{folder}"),
    probe="/v2/health/ready",
    path="/v2/models/iris/infer",
    body=open_inference,
    classes=first_tensor,
    chosen="no worker pool, no access log",
    environment=(
        ("MLSERVER_HTTP_PORT", "{port}"),
        ("MLSERVER_GRPC_PORT", "0"),
        ("MLSERVER_METRICS_PORT", "0"),
        ("MLSERVER_HOST", HOST),
        ("MLSERVER_PARALLEL_WORKERS", "0"),
        ("MLSERVER_DEBUG", "false"),
    ),
    prepare="mlserver",
)

PEERS = (
    MLSERVER,
    replace(  # better under load, worse without: both are shown
        MLSERVER,
        name="mlserver-batching",
        title="MLServer with batching",
        chosen="the same, with adaptive batching: up to 64, waiting 1 ms",
        environment=(
            *MLSERVER.environment,
            ("MLSERVER_MODEL_MAX_BATCH_SIZE", "64"),
            ("MLSERVER_MODEL_MAX_BATCH_TIME", "0.001"),
        ),
        shares="mlserver",
    ),
    Peer(
        name="litserve",
        title="LitServe",
        requires="litserve==0.2.19",
        extras=("pyzmq",),
        command=("{bin}/python", "{apps}/litserve_app.py", "{folder}", "{port}"),
        probe="/health",
        path="/predict",
        body=features,
        classes=predictions,
        chosen="one worker, batches of up to 64 without waiting, no access log",
    ),
    Peer(
        name="bentoml",
        title="BentoML",
        # 1.4.40 wants a certifi newer than the index had when this was locked.
        requires="bentoml==1.4.39",
        command=(
            *("{bin}/bentoml", "serve", "bentoml_app:Iris", "--working-dir", "{apps}"),
            *("--host", HOST, "--port", "{port}"),
        ),
        probe="/readyz",
        path="/predict",
        body=features,
        classes=most_likely,
        chosen="one worker, adaptive batching, no access log, no metrics",
        environment=(("PEER_FOLDER", "{folder}"), ("BENTOML_DO_NOT_TRACK", "True")),
    ),
    Peer(
        name="kserve",
        title="KServe",
        requires="kserve==0.21.0",
        command=("{bin}/python", "{apps}/kserve_app.py", "{folder}", "{port}"),
        probe="/v2/health/ready",
        path="/v1/models/iris:predict",
        body=lambda rows: {"instances": rows},
        classes=predictions,
        chosen="one worker, protocol V1 (quicker than V2), no gRPC, no access log, no latency log",
    ),
    Peer(
        name="mlflow",
        title="MLflow",
        # 3.18.0 wants an mlflow-skinny that the index did not have when this was locked.
        requires="mlflow==3.17.2",
        command=(
            *("{bin}/mlflow", "models", "serve", "--env-manager", "local", "--workers", "1"),
            *("-m", "{folder}/mlflow-model", "-h", HOST, "-p", "{port}"),
        ),
        probe="/ping",
        path="/invocations",
        body=lambda rows: {"inputs": rows},
        classes=lambda answer: most_likely(answer["predictions"]),
        chosen="one worker, no signature to be enforced, no access log",
        environment=(("UVICORN_ACCESS_LOG", "false"), ("UVICORN_LOG_LEVEL", "warning")),
        prepare="mlflow",
    ),
    Peer(
        name="ray-serve",
        title="Ray Serve",
        requires="ray[serve]==2.60.0",
        command=("{bin}/python", "{apps}/ray_app.py", "{folder}", "{port}"),
        probe="/-/healthz",
        path="/predict",
        body=features,
        classes=predictions,
        chosen="one replica, high-throughput mode behind its HAProxy, dynamic batching, no access log",
        environment=(
            ("RAY_USAGE_STATS_ENABLED", "0"),
            ("RAY_SERVE_THROUGHPUT_OPTIMIZED", "1"),
            ("RAY_SERVE_ENABLE_HA_PROXY", "1"),
        ),
    ),
)
