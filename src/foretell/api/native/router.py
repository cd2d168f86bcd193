"""The native API: which paths there are, and what the reading ones answer (contract §3)."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from importlib.metadata import version
from typing import NamedTuple

from starlette.requests import Request

from foretell.api.answers import Answer, document_answer
from foretell.api.middleware.context import exchange_of
from foretell.api.native import listing
from foretell.api.native.predict import predict_batch, predict_single
from foretell.api.native.stream import predict_stream
from foretell.lifecycle.catalog import Catalog

Endpoint = Callable[[Request], Awaitable[Answer]]


class Path(NamedTuple):
    """One path of the API. ``name`` names what it does: paths of one name are the same thing at different places."""

    method: str
    path: str
    endpoint: Endpoint
    name: str


def native_paths(prefix: str) -> Iterator[Path]:
    """Every path, each once: exact ones before those with parameters, and the busiest first, as they are tried."""
    seen: set[tuple[str, str]] = set()
    paths = [*_predict_paths(prefix), *_read_paths(prefix)]
    for path in sorted(paths, key=lambda path: "{" in path.path):
        if (path.method, path.path) not in seen:
            seen.add((path.method, path.path))
            yield path


def _predict_paths(prefix: str) -> Iterator[Path]:
    named, versioned = f"{prefix}/models/{{model}}", f"{prefix}/models/{{model}}/versions/{{version}}"
    for base in (prefix, ""):
        yield Path("POST", f"{base}/predict", predict_single, "predict")
        yield Path("POST", f"{base}/predict/batch", predict_batch, "predict_batch")
        yield Path("POST", f"{base}/predict_batch", predict_batch, "predict_batch_alias")
        yield Path("POST", f"{base}/predict/stream", predict_stream, "predict_stream")
    for base, suffix in ((named, "_model"), (versioned, "_version")):
        yield Path("POST", f"{base}/predict", predict_single, f"predict{suffix}")
        yield Path("POST", f"{base}/predict/batch", predict_batch, f"predict_batch{suffix}")
        yield Path("POST", f"{base}/predict/stream", predict_stream, f"predict_stream{suffix}")
    for base in (prefix, ""):
        yield Path("POST", f"{base}/predict/{{version}}", predict_single, "predict_default_version")


def _read_paths(prefix: str) -> Iterator[Path]:
    for base in (prefix, ""):
        yield Path("GET", f"{base}/health", health, "health")
        yield Path("GET", f"{base}/health/live", live, "live")
        yield Path("GET", f"{base}/health/ready", ready, "ready")
    yield Path("GET", f"{prefix}/model/info", model_info, "model_info")
    yield Path("GET", f"{prefix}/models", models, "models")
    yield Path("GET", f"{prefix}/models/{{model}}", model, "model")
    yield Path("GET", f"{prefix}/models/{{model}}/versions/{{version}}", model_version, "model_version")
    yield Path("GET", "/", index, "index")


async def models(request: Request) -> Answer:
    """Every model and version, whatever their states."""
    return document_answer(listing.models_document(_catalog(request)))


async def model(request: Request) -> Answer:
    """One model, and its newest ready version in full."""
    return document_answer(listing.model_document(_catalog(request), request.path_params["model"]))


async def model_version(request: Request) -> Answer:
    """One version, or the one an alias stands for."""
    path = request.path_params
    return document_answer(listing.version_document(_catalog(request), path["model"], path["version"]))


async def model_info(request: Request) -> Answer:
    """The default model in short."""
    return document_answer(listing.info_document(_catalog(request).resolve()))


async def health(request: Request) -> Answer:
    """The summary for people."""
    services = exchange_of(request.scope).services
    document = listing.health_document(
        services.service.catalog,
        policy=services.settings.ready,
        draining=services.service.draining,
        started_at=services.started_at,
        now=time.time(),
    )
    return document_answer(document) if document["status"] == "healthy" else document_answer(document, 503, [_RETRY])


async def live(_: Request) -> Answer:
    """The process answers: for liveness probes."""
    return document_answer({"status": "alive"})


async def ready(request: Request) -> Answer:
    """Whether this instance should get traffic: for readiness probes."""
    services = exchange_of(request.scope).services
    document = listing.readiness_document(
        services.service.catalog, policy=services.settings.ready, draining=services.service.draining
    )
    return document_answer(document) if document["status"] == "ready" else document_answer(document, 503, [_RETRY])


async def index(request: Request) -> Answer:
    """What this is and where everything stands."""
    settings = exchange_of(request.scope).services.settings
    root, prefix = request.scope.get("root_path", ""), settings.prefix
    links = {name: f"{root}{prefix}{path}" for name, path in _LINKS.items()}
    if settings.docs.enabled:
        links |= {"docs": f"{root}/docs", "openapi": f"{root}/openapi.json"}
    return document_answer({"name": "Foretell", "version": version("foretell"), "links": links})


_RETRY = (b"retry-after", b"1")
_LINKS = {"predict": "/predict", "models": "/models", "health": "/health", "ready": "/health/ready"}


def _catalog(request: Request) -> Catalog:
    return exchange_of(request.scope).catalog
