"""The OpenAPI document: derived from the routes and, by each model's signature, from the catalog (ADR 0007).

It is made anew when the catalog has changed, and the last few are kept: callers who see other models take turns. Every
ready model gets its own paths with a schema and an example that works; paths with ``{model}`` in them take any body.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from foretell.api.admin.operations import OPERATIONS as ADMIN
from foretell.api.admin.operations import SCHEMAS as ADMIN_SCHEMAS
from foretell.api.native.operations import REFUSALS, Target, components, operation, problem
from foretell.api.native.schemas import COMPONENTS
from foretell.api.security_schemes import needed, schemes
from foretell.codecs.base import Codec
from foretell.core.access.principal import Principal, anonymous
from foretell.lifecycle.catalog import Catalog
from foretell.settings import Settings

DESCRIPTION = """\
Predictions from trained models. Every answer carries `X-Request-ID`; every error is a problem document (RFC 9457) that
names what is wrong, where, and what would be right.
"""


NOBODY = anonymous(frozenset())
MOST_KEPT = 8


class OpenApi:
    """Makes the documents of one application, and keeps ``MOST_KEPT`` of them."""

    def __init__(self, settings: Settings, version: str) -> None:
        self._prefix = settings.prefix
        self._version = version
        self._limits = settings.limits.body
        self._settings = settings
        self._made: OrderedDict[tuple[Any, ...], dict[str, Any]] = OrderedDict()

    def under(self, root_path: str, document: dict[str, Any]) -> dict[str, Any]:
        """The document for callers who see all paths behind ``root_path``."""
        if not root_path:
            return document
        placed = {**document["components"], "securitySchemes": schemes(self._settings, root_path)}
        return {**document, "servers": [{"url": root_path}], "components": placed}

    def document(
        self,
        routes: Iterable[BaseRoute],
        catalog: Catalog,
        codecs: Sequence[Codec],
        stranger: Principal = NOBODY,
    ) -> dict[str, Any]:
        """The document for ``catalog``, the formats of ``codecs``, and what a ``stranger`` may do.

        Shared: not to be changed by the caller.
        """
        offer = (*_offer(catalog), stranger.scopes)
        document = self._made.get(offer)
        if document is None:
            document = self._made[offer] = self._make(routes, catalog, codecs, stranger)
            if len(self._made) > MOST_KEPT:
                self._made.popitem(last=False)
        self._made.move_to_end(offer)
        return document

    def _make(
        self, routes: Iterable[BaseRoute], catalog: Catalog, codecs: Sequence[Codec], stranger: Principal
    ) -> dict[str, Any]:
        paths: dict[str, dict[str, Any]] = {}
        schemas = {**COMPONENTS, **ADMIN_SCHEMAS}
        targets = {name: target for name, model in catalog.models.items() if (target := Target.of(model)) is not None}
        for model, target in targets.items():
            schemas |= components(target, self._limits)
            for suffix, name in (("predict", "predict"), ("predict/batch", "predict_batch")):
                path = f"{self._prefix}/models/{model}/{suffix}"
                paths[path] = {"post": self._guarded(name, operation(name, path, target, codecs, own=True), stranger)}
        default = targets.get(catalog.default_model or "")
        for method, path, name in _documented(routes):
            described = ADMIN.get(name) or operation(name, path, default, codecs)
            paths.setdefault(path, {})[method.lower()] = self._guarded(name, described, stranger)
        return {
            "openapi": "3.1.0",
            "info": {"title": "Foretell", "version": self._version, "description": DESCRIPTION},
            "paths": paths,
            "components": {"schemas": schemas, "securitySchemes": schemes(self._settings)},
        }

    def _guarded(self, name: str, operation: dict[str, Any], stranger: Principal) -> dict[str, Any]:
        """The operation with what it needs of its caller, and what is answered to one who has it not."""
        security = needed(name, self._settings, stranger)
        if not security:
            return {**operation, "security": []}
        refusals = {str(status): problem(status) for status in REFUSALS}
        return {**operation, "security": security, "responses": refusals | operation["responses"]}


def _offer(catalog: Catalog) -> tuple[Any, ...]:
    """What of a catalog the document shows. Values only: to keep a version would keep its model in memory."""
    latest = (model.latest for model in catalog.models.values())
    return (catalog.default_model, *((servable.ref, servable.loaded_at) for servable in latest if servable is not None))


def _documented(routes: Iterable[BaseRoute]) -> Iterator[tuple[str, str, str]]:
    for route in routes:
        if isinstance(route, APIRoute) and route.include_in_schema:
            for method in sorted(route.methods or ()):
                yield method, route.path, route.name
