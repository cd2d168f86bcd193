"""The catalog as answers show it: pure functions from a snapshot to plain values."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from foretell.api.native.translate import timestamp
from foretell.lifecycle.catalog import Catalog, Entry, ModelVersions, ReadyPolicy
from foretell.lifecycle.servable import Servable


def models_document(catalog: Catalog) -> dict[str, Any]:
    """``GET /models``: every model and every version, whatever their states."""
    default = catalog.default_model
    return {
        "default_model": default,
        "models": [_model_head(model, default) for model in catalog.models.values()],
    }


def model_document(catalog: Catalog, name: str) -> dict[str, Any]:
    """``GET /models/{model}``: the model, and its newest ready version in full. Raises UnknownModel."""
    model = catalog.get(name)
    head = _model_head(model, catalog.default_model)
    latest = model.latest
    return head if latest is None else {**head, "latest": {"version": latest.ref.version, **_servable_details(latest)}}


def version_document(catalog: Catalog, name: str, version: str) -> dict[str, Any]:
    """One version of a model. Raises UnknownModel, UnknownVersion, NotReady (``latest`` where none is ready)."""
    entry = catalog.get(name).find(version)
    if entry is None:
        catalog.resolve(name, version)  # raises, since what resolves has an entry
        raise LookupError(version)
    details = {} if entry.servable is None else _servable_details(entry.servable)
    return {"model": name, **_version_head(entry), **details}


def info_document(servable: Servable) -> dict[str, Any]:
    """``GET /model/info``: the default model in short."""
    return {
        "model_name": servable.ref.model,
        "model_version": servable.ref.version,
        "model_type": servable.model_type,
        "loaded_at": rfc3339(servable.loaded_at),
        "parameters": dict(servable.parameters),
        "signature": servable.signature.to_document(),
    }


def health_document(
    catalog: Catalog, *, policy: ReadyPolicy, draining: bool, started_at: float, now: float
) -> dict[str, Any]:
    """``GET /health``: healthy where the server is ready. With several models and no default it speaks of all."""
    healthy = not draining and catalog.is_ready(policy)
    document: dict[str, Any] = {"status": "healthy" if healthy else "unhealthy"}
    default = catalog.models.get(catalog.default_model or "")
    if default is None and len(catalog.models) > 1:
        document["model_loaded"] = any(model.latest for model in catalog.models.values())
        document["models"] = {
            name: {"model_loaded": model.latest is not None, "model_version": _latest_version(model)}
            for name, model in catalog.models.items()
        }
    else:
        document["model_loaded"] = default is not None and default.latest is not None
        document["model_name"] = catalog.default_model
        document["model_version"] = None if default is None else _latest_version(default)
    document["uptime_seconds"] = round(max(0.0, now - started_at), 3)
    document["timestamp"] = timestamp(now)
    return document


def readiness_document(catalog: Catalog, *, policy: ReadyPolicy, draining: bool) -> dict[str, Any]:
    """``GET /health/ready``: ready, or which models are still waited for."""
    if draining:
        return {"status": "not_ready", "reason": "draining", "waiting_for": []}
    if catalog.is_ready(policy):
        return {"status": "ready"}
    wanted = list(catalog.models) if isinstance(policy, str) else list(policy)
    missing = [name for name in wanted if name not in catalog.models or catalog.models[name].latest is None]
    return {
        "status": "not_ready",
        "reason": "no_model_ready" if policy == "any" else "models_not_ready",
        "waiting_for": missing,
    }


def rfc3339(moment: datetime) -> str:
    """A moment as answers write it."""
    return timestamp(moment.timestamp())


def _latest_version(model: ModelVersions) -> str | None:
    return None if model.latest is None else model.latest.ref.version


def _model_head(model: ModelVersions, default: str | None) -> dict[str, Any]:
    return {
        "name": model.name,
        "default": model.name == default,
        "state": str(model.state),
        "aliases": model.aliases,
        "versions": [_version_head(entry) for entry in reversed(model.versions)],
    }


def _version_head(entry: Entry) -> dict[str, Any]:
    head: dict[str, Any] = {"version": entry.ref.version, "state": str(entry.state)}
    if entry.reason is not None:
        head["reason"] = {"code": entry.reason.code, "detail": entry.reason.detail}
    if entry.servable is not None:
        head["model_type"] = entry.servable.model_type
        head["runtime"] = entry.servable.runtime
        head["loaded_at"] = rfc3339(entry.servable.loaded_at)
        head["digest"] = entry.servable.digest
    return head


def _servable_details(servable: Servable) -> dict[str, Any]:
    created_at, served = servable.created_at, servable.served
    return {
        "model_type": servable.model_type,
        "runtime": servable.runtime,
        "digest": servable.digest,
        "created_at": None if created_at is None else rfc3339(created_at),
        "loaded_at": rfc3339(servable.loaded_at),
        "load_seconds": round(servable.load_s, 3),
        "signature": servable.signature.to_document(),
        "example": servable.example,
        "parameters": dict(servable.parameters),
        "metadata": dict(servable.metadata),
        "libraries": dict(servable.libraries),
        "cache": None if servable.cache is None else dict(servable.cache.to_document()),
        "execution": {
            "mode": servable.executor.mode,
            "waiting_rows": servable.executor.waiting_rows,
            "costs": dict(servable.costs.to_document()),
            "served": {"lane": served.lane, "ordinary": served.ordinary, "rows": served.rows},
        },
    }
