"""The OpenAPI document: derived from the routes and, by each model's signature, from the catalog (ADR 0007).

It is made anew when the catalog has changed, and kept until then. Every ready model gets its own paths with a schema
and an example that works; the paths with ``{model}`` in them take any body.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from foretell.api.admin.operations import OPERATIONS as ADMIN
from foretell.api.admin.operations import SCHEMAS as ADMIN_SCHEMAS
from foretell.api.native.operations import Target, components, operation
from foretell.api.native.schemas import COMPONENTS
from foretell.codecs.base import Codec
from foretell.lifecycle.catalog import Catalog
from foretell.settings import Settings

DESCRIPTION = """\
Predictions from trained models. Every answer carries `X-Request-ID`; every error is a problem document (RFC 9457) that
names what is wrong, where, and what would be right.
"""


class OpenApi:
    """Makes and keeps the document of one application."""

    def __init__(self, settings: Settings, version: str) -> None:
        self._prefix = settings.prefix
        self._version = version
        self._limits = settings.limits.body
        self._made_for: tuple[Any, ...] | None = None
        self._document: dict[str, Any] = {}

    def document(self, routes: Iterable[BaseRoute], catalog: Catalog, codecs: Sequence[Codec]) -> dict[str, Any]:
        """The document for ``catalog`` and the formats of ``codecs``. Shared: not to be changed by the caller."""
        offer = _offer(catalog)
        if self._made_for != offer:
            self._document, self._made_for = self._make(routes, catalog, codecs), offer
        return self._document

    def _make(self, routes: Iterable[BaseRoute], catalog: Catalog, codecs: Sequence[Codec]) -> dict[str, Any]:
        paths: dict[str, dict[str, Any]] = {}
        schemas = {**COMPONENTS, **ADMIN_SCHEMAS}
        targets = {name: target for name, model in catalog.models.items() if (target := Target.of(model)) is not None}
        for model, target in targets.items():
            schemas |= components(target, self._limits)
            for suffix, name in (("predict", "predict"), ("predict/batch", "predict_batch")):
                path = f"{self._prefix}/models/{model}/{suffix}"
                paths[path] = {"post": operation(name, path, target, codecs, own=True)}
        default = targets.get(catalog.default_model or "")
        for method, path, name in _documented(routes):
            described = ADMIN.get(name) or operation(name, path, default, codecs)
            paths.setdefault(path, {})[method.lower()] = described
        return {
            "openapi": "3.1.0",
            "info": {"title": "Foretell", "version": self._version, "description": DESCRIPTION},
            "paths": paths,
            "components": {"schemas": schemas},
        }


def _offer(catalog: Catalog) -> tuple[Any, ...]:
    """What of a catalog the document shows. Values only: to keep a version would keep its model in memory."""
    latest = (model.latest for model in catalog.models.values())
    return (catalog.default_model, *((servable.ref, servable.loaded_at) for servable in latest if servable is not None))


def _documented(routes: Iterable[BaseRoute]) -> Iterator[tuple[str, str, str]]:
    for route in routes:
        if isinstance(route, APIRoute) and route.include_in_schema:
            for method in sorted(route.methods or ()):
                yield method, route.path, route.name
