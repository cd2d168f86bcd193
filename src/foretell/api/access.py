"""What each route needs of its caller: one table, and what is not in it needs the admin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Literal, NamedTuple

from starlette.routing import BaseRoute, Match
from starlette.types import Scope as AsgiScope

from foretell.core.access.decision import Need
from foretell.core.access.scopes import ADMIN

Access = Need | Literal["docs"]
"""What a caller needs. ``docs``: nothing on loopback or by ``auth.public_docs``; else ``models:read``."""

PUBLIC: Access = "public"
KNOWN: Access = "known"
DOCS: Access = "docs"

_REMEMBERED = 1024
_REMEMBERED_CHARS = 512
"""Longer paths lead nowhere that is asked often, and callers could fill memory with them."""

ACCESS: Mapping[str, Access] = {
    "predict": "predict",
    "predict_batch": "predict",
    "predict_batch_alias": "predict",
    "predict_stream": "predict",
    "predict_default_version": "predict",
    "predict_model": "predict",
    "predict_batch_model": "predict",
    "predict_stream_model": "predict",
    "predict_version": "predict",
    "predict_batch_version": "predict",
    "predict_stream_version": "predict",
    "models": "models:read",
    "model": "models:read",
    "model_version": "models:read",
    "model_info": "models:read",
    "security": ADMIN,
    "health": PUBLIC,
    "live": PUBLIC,
    "ready": PUBLIC,
    "token": PUBLIC,
    "jwks": PUBLIC,
    "oauth_configuration": PUBLIC,
    "index": DOCS,
    "openapi": DOCS,
    "docs": DOCS,
    "docs_asset": DOCS,
    "admin_keys": ADMIN,
    "admin_key_create": ADMIN,
    "admin_key": ADMIN,
    "admin_key_revoke": ADMIN,
    "admin_key_rotate": ADMIN,
    "admin_audit": ADMIN,
    "admin_usage": ADMIN,
}
"""By the name of a route."""


class Asked(NamedTuple):
    """The route a request is for (None: no route has the path), what it needs, and the model its path names."""

    route: BaseRoute | None
    access: Access
    model: str | None = None

    @property
    def of_default(self) -> bool:
        """Whether the default model is asked."""
        return self.access == "predict" and self.model is None


def access_of(route: BaseRoute) -> Access:
    """What a route asks of its caller."""
    return ACCESS.get(getattr(route, "name", ""), ADMIN)


class Table:
    """The routes as the router tries them: of several that fit, the first; a method it does not serve is still it.

    The router's own matching is asked, so that what is decided here and what answers cannot be two things.
    """

    def __init__(self, routes: Callable[[], Iterable[BaseRoute]]) -> None:
        self._routes = routes
        self._found = lru_cache(_REMEMBERED)(self._find)

    def find(self, scope: AsgiScope) -> Asked:
        """The route for the path and method of ``scope``."""
        path: str = scope["path"]
        find = self._found if len(path) <= _REMEMBERED_CHARS else self._find
        return find(scope["method"], path, scope.get("root_path", ""))

    def _find(self, method: str, path: str, root_path: str) -> Asked:
        scope: AsgiScope = {"type": "http", "method": method, "path": path, "root_path": root_path}
        partial: Asked | None = None
        for route in self._routes():
            match, child = route.matches(scope)
            if match is not Match.NONE:
                asked = Asked(route, access_of(route), child.get("path_params", {}).get("model"))
                if match is Match.FULL:
                    return asked
                partial = partial or asked
        return partial or Asked(None, KNOWN)
