"""Routes as FastAPI has them, with nothing between the path and the endpoint.

FastAPI's own handler resolves dependencies, opens two exit stacks and validates answers for every request: that costs
more than a prediction. Our endpoints take the request and return the response; the rest of a route (path, OpenAPI, its
place among the others) is FastAPI's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from foretell.api.middleware.context import exchange_of
from foretell.core.identity import closest
from foretell.errors import MethodNotAllowed, NotFound, RequestError


class Route(APIRoute):
    """One path. ``endpoint(request) -> Response`` may raise any RequestError; a GET answers HEAD too."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, served = scope["method"], self.methods or ()
        if method not in served and not (method == "HEAD" and "GET" in served):
            raise refused_method(scope)
        exchange = exchange_of(scope)
        if exchange.admission is None or exchange.asked is None or exchange.asked.route is not self:
            raise AssertionError("a request reached a route that it was not let in for")
        response: Response = await self.endpoint(Request(scope, receive))
        if method == "HEAD":
            response.body = b""
        await response(scope, receive, send)


def refused_method(scope: Scope) -> RequestError:
    """Why a path that is known is not served by this method. An unknown model in the path goes first (contract §4)."""
    path = scope["path_params"]
    if "model" in path or "version" in path:
        catalog = exchange_of(scope).catalog
        try:
            catalog.resolve(path.get("model"), path.get("version"))
        except NotFound as error:
            return error
        except RequestError:
            return _not_allowed(scope)  # no version ready, or no default model: neither goes before the method
    return _not_allowed(scope)


def _not_allowed(scope: Scope) -> MethodNotAllowed:
    allowed = allowed_methods(scope["app"].routes, scope)
    return MethodNotAllowed(f"This path takes {' and '.join(allowed)}.")


def allowed_methods(routes: Iterable[BaseRoute], scope: Scope) -> list[str]:
    """Every method that the path of ``scope`` is served by, for ``Allow``."""
    methods: set[str] = set()
    for route in routes:
        if isinstance(route, APIRoute) and route.matches(scope)[0] is not Match.NONE:
            methods |= route.methods or set()
    if "GET" in methods:
        methods.add("HEAD")
    return sorted(methods)


def unknown_path(routes: Iterable[BaseRoute], path: str) -> NotFound:
    """The error for a path that no route has, with the nearest that one does."""
    templates = dict(_filled(routes, path))
    nearest = closest(path, templates)
    if nearest is None:
        return NotFound("There is nothing at this path.", hint="GET / lists what is here")
    return NotFound(f"There is nothing at this path. Did you mean {templates[nearest]}?")


def _filled(routes: Iterable[BaseRoute], path: str) -> Iterator[tuple[str, str]]:
    """(path, template) of every route about as long as ``path``, its parameters filled from there."""
    given = path[:512].rstrip("/").split("/")
    for route in routes:
        template = getattr(route, "path", "")
        segments = template.split("/")
        if abs(len(segments) - len(given)) <= 1:
            yield "/".join(_segment(segment, given, i) for i, segment in enumerate(segments)), template


def _segment(segment: str, given: Sequence[str], index: int) -> str:
    return given[index] if segment.startswith("{") and index < len(given) else segment
