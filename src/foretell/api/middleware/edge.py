"""What is decided about a request before anybody asks who sent it: where it comes from, whether it is meant for this
server, and which pages of other sites may call. Nothing of the body is read here.

Below ASGI our own protocol class has decided the first two already, by the same functions; under another ASGI server
this is the only place.
"""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foretell.api.middleware.context import exchange_of
from foretell.api.problems import problem_response
from foretell.core.hosts import Hosts
from foretell.core.proxies import PROXIED, Proxies
from foretell.errors import MalformedRequest, Misdirected, RequestError
from foretell.settings import Cors, Settings

METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
EXPOSED = (
    "Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, X-Request-ID, X-Model, X-Model-Version, "
    "X-Prediction-ID, X-Cache"
)


class EdgeMiddleware:
    """Resolves the caller behind trusted proxies, holds ``Host`` against the list, and speaks CORS."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self._hosts = Hosts.of(settings.wire.hosts, "")
        self._proxies = Proxies(settings.proxy.trusted, settings.proxy.header)
        self._cors = Sharing(settings.cors) if settings.cors.origins else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if self._proxies:
            self._resolve(scope)
        refusal = self._refusal(scope)
        if refusal is not None:
            exchange = exchange_of(scope)
            exchange.code = refusal.code
            await problem_response(refusal, exchange.request_id, show_values=False)(scope, receive, send)
        elif self._cors is None:
            await self.app(scope, receive, send)
        else:
            await self._shared(self._cors, scope, receive, send)

    def _resolve(self, scope: Scope) -> None:
        client = scope.get("client")
        peer = client[0] if client else None
        if not self._proxies.trusts(peer):
            return
        scope[PROXIED] = True
        address, scope["scheme"] = self._proxies.caller(peer, scope.get("scheme", "http"), scope["headers"])
        if address != peer:
            scope["client"] = None if address is None else (address, 0)

    def _refusal(self, scope: Scope) -> RequestError | None:
        """HTTP/2 names the host in the request itself, which ASGI servers hand on as a ``Host`` header too."""
        given = [value for name, value in scope["headers"] if name == b"host"]
        if len(given) > 1:
            return MalformedRequest("A request names its host once.")
        fault = self._hosts.fault(given[0]) if given else None
        if fault == "malformed":
            return MalformedRequest("The Host header holds no host.")
        if fault is not None or (not given and not self._hosts.every):
            return Misdirected("The request is for a host that this server was not told is its own (wire.hosts).")
        return None

    async def _shared(self, cors: Sharing, scope: Scope, receive: Receive, send: Send) -> None:
        origin = exchange_of(scope).header(b"origin")
        if origin is None:
            await self.app(scope, receive, cors.varying(send))
        elif scope["method"] == "OPTIONS" and exchange_of(scope).header(b"access-control-request-method") is not None:
            await Response(status_code=204, headers=cors.preflight(origin))(scope, receive, send)
        else:
            await self.app(scope, receive, cors.varying(send, origin))


class Sharing:
    """CORS, as the settings say."""

    def __init__(self, settings: Cors) -> None:
        self._every = "*" in settings.origins
        self._origins = frozenset(settings.origins)
        self._credentials = settings.credentials
        self._preflight = {
            "access-control-allow-methods": METHODS,
            "access-control-allow-headers": ", ".join(settings.headers),
            "access-control-max-age": str(settings.max_age_s),
        }

    def allowed(self, origin: str) -> dict[str, str]:
        """The headers that let a page of ``origin`` read an answer; none where it may not."""
        if self._every:
            return {"access-control-allow-origin": "*"}
        if origin not in self._origins:
            return {}
        credentials = {"access-control-allow-credentials": "true"} if self._credentials else {}
        return {"access-control-allow-origin": origin, **credentials}

    def preflight(self, origin: str) -> dict[str, str]:
        """The headers of the answer to a browser that asks first."""
        allowed = self.allowed(origin)
        vary = {"vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"}
        return {**allowed, **self._preflight, **vary} if allowed else vary

    def varying(self, send: Send, origin: str | None = None) -> Send:
        """``send``, whose answers say which page may read them."""
        allowed = {} if origin is None else self.allowed(origin)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=list(message["headers"]))
                if not self._every:
                    headers.add_vary_header("Origin")
                if allowed:
                    headers.update({**allowed, "access-control-expose-headers": EXPOSED})
                message = {**message, "headers": headers.raw}
            await send(message)

        return answer
