"""The application: FastAPI with our routes, our middleware in one visible order, and one way to fail at start."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from foretell.api.access import Table
from foretell.api.admin.router import admin_paths
from foretell.api.answers import Answer, document_answer
from foretell.api.dependencies import STATE, OpenServices, Services
from foretell.api.docs import docs_asset, docs_page
from foretell.api.handlers import install_handlers
from foretell.api.middleware.context import ContextMiddleware, exchange_of
from foretell.api.middleware.edge import EdgeMiddleware
from foretell.api.middleware.gate import GateMiddleware
from foretell.api.native.router import native_paths
from foretell.api.oauth.router import oauth_paths
from foretell.api.openapi import OpenApi
from foretell.api.routes import Route
from foretell.api.system.security import security
from foretell.errors import ForetellError
from foretell.lifecycle.catalog import Catalog
from foretell.settings import Settings


class Application(FastAPI):
    """FastAPI whose OpenAPI document follows the catalog, and whose failing start is one line, no traceback."""

    def __init__(self, settings: Settings, open_services: OpenServices) -> None:
        super().__init__(
            title="Foretell",
            version=version("foretell"),
            lifespan=self._lifespan,
            # from the outside to the inside; FastAPI's own go around and behind them
            middleware=[
                Middleware(ContextMiddleware),
                Middleware(EdgeMiddleware, settings=settings),
                Middleware(GateMiddleware, table=Table(lambda: self.routes), settings=settings),
            ],
            openapi_url=None,
            docs_url=None,
            redoc_url=None,
            # a redirect would be made from the Host header, which is the caller's; the 404 names the right path
            redirect_slashes=False,
            # asked on every request, and off until somebody configures telemetry
            telemetry={"tracing": False, "metrics": False, "logs": False},
        )
        self._settings = settings
        self._open_services = open_services
        self._services: Services | None = None
        self._failure: ForetellError | None = None
        self._openapi = OpenApi(settings, version("foretell"))
        self.router.route_class = Route
        install_handlers(self)
        for path in (*native_paths(settings.prefix), *admin_paths(settings.prefix)):
            self.add_api_route(path.path, path.endpoint, methods=[path.method], name=path.name, response_model=None)
        for path in oauth_paths(settings.prefix) if settings.auth.token_lifetime_s else ():
            self.add_api_route(
                path.path,
                path.endpoint,
                methods=[path.method],
                name=path.name,
                response_model=None,
                include_in_schema=False,
            )
        self.add_api_route(
            f"{settings.prefix}/security", security, name="security", response_model=None, include_in_schema=False
        )
        if settings.docs.enabled:
            pages = (
                ("/openapi.json", self._document, "openapi"),
                ("/docs", docs_page, "docs"),
                ("/docs/assets/{name}", docs_asset, "docs_asset"),
            )
            for place, endpoint, name in pages:
                self.add_api_route(place, endpoint, name=name, response_model=None, include_in_schema=False)

    @property
    def failure(self) -> ForetellError | None:
        """Why the start failed, for the command line; None where it did not, or for no reason of ours."""
        return self._failure

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document for the catalog as it stands; before the start, for an empty one."""
        if self._services is None:
            return self._openapi.document(self.routes, Catalog(), ())
        return self._openapi.document(self.routes, self._services.service.catalog, self._services.codecs)

    async def _document(self, request: Request) -> Answer:
        """The OpenAPI document."""
        exchange = exchange_of(request.scope)
        gate = exchange.services.gate
        stranger = gate.recognise(None, loopback=exchange.here) or gate.nobody
        document = self._openapi.document(self.routes, exchange.catalog, exchange.services.codecs, stranger)
        return document_answer(self._openapi.under(request.scope.get("root_path", ""), document))

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[dict[str, Any]]:
        opening = self._open_services(self._settings)
        try:
            services = await opening.__aenter__()
        except ForetellError as error:
            self._failure = error
            raise
        self._services = services
        try:
            yield {STATE: services, "lane": services.lane, "wire": services.wire}
        finally:
            self._services = None
            await opening.__aexit__(None, None, None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await super().__call__(scope, receive, send)
            return

        async def in_one_line(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed" and self._failure is not None:
                message = {**message, "message": f"{self._failure.title}: {self._failure.detail}"}
            await send(message)

        try:
            await super().__call__(scope, receive, in_one_line)
        except ForetellError as error:
            if error is not self._failure:
                raise  # the server has been told of the other one


def create_app(settings: Settings, open_services: OpenServices) -> FastAPI:
    """The application of ``settings``; ``open_services`` is entered at start-up and left at shutdown."""
    return Application(settings, open_services)
