"""What is known of one request while it travels, and the middleware that opens and closes it.

The middleware is the outermost of ours. It gives every answer its ``X-Request-ID``, turns what nobody caught into an
answer, and hands one outcome to the observer when the request ends, however it ends.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foretell.api.access import Asked
from foretell.api.dependencies import Services, find_services
from foretell.api.problems import InternalError, problem_response
from foretell.core.access.principal import Principal
from foretell.core.headers import safety_headers
from foretell.core.ids import Ids, sane_request_id
from foretell.errors import NotReady, RequestError
from foretell.lifecycle.catalog import Catalog
from foretell.security.gate import Admission
from foretell.telemetry.observer import Outcome, Result

KEY = "foretell"
UNMATCHED = "_unmatched"
CLIENT_CLOSED = 499
DISCONNECTED = "client_disconnected"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})

_log = structlog.get_logger("foretell.api")
_unserved_ids = Ids()


class Disconnected(Exception):
    """The caller went away; nobody is left to answer."""


class Exchange:
    """One request and what came of it so far; routes fill in what they learn, the middleware reports it.

    ``started_s`` is the arrival on ``time.perf_counter``'s clock. ``headers`` are the request's by lower-case name, the
    values of a repeated one joined by commas. ``late`` says that the server was stopping already when it came.
    ``version`` is set as soon as it is known which version answers. ``here`` says that the caller is on this machine,
    ``address`` what limits know it by (``counted_as``). Both, ``asked``, ``principal`` and ``admission`` are the
    gate's; ``passed`` is an admission that the lane got already for this very request, and ``whole`` says that the lane
    has read its body.
    """

    __slots__ = (
        "address",
        "admission",
        "asked",
        "batch_rows",
        "code",
        "headers",
        "here",
        "inference_ms",
        "late",
        "model",
        "passed",
        "principal",
        "request_id",
        "rows",
        "services",
        "started_s",
        "status",
        "version",
        "whole",
    )

    def __init__(self, request_id: str, started_s: float, headers: dict[bytes, bytes], services: Services) -> None:
        self.request_id = request_id
        self.started_s = started_s
        self.headers = headers
        self.services = services
        self.late = False
        self.whole = False
        self.here = False
        self.address = ""
        self.status = 0
        self.code: str | None = None
        self.model: str | None = None
        self.version: str | None = None
        self.rows = 0
        self.batch_rows = 0
        self.inference_ms: float | None = None
        self.asked: Asked | None = None
        self.passed: Admission | None = None
        self.principal: Principal | None = None
        self.admission: Admission | None = None

    @property
    def catalog(self) -> Catalog:
        """The models as the caller may see them."""
        catalog = self.services.service.catalog
        return catalog if self.principal is None else catalog.visible(self.principal.models)

    @property
    def arrived_s(self) -> float:
        """The arrival on ``time.monotonic``'s clock, which deadlines are kept on."""
        return time.monotonic() - (time.perf_counter() - self.started_s)

    def header(self, name: bytes) -> str | None:
        """A request header's value as text; None where it was not sent."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    def outcome(self, scope: Scope) -> Outcome:
        """The request as the observer is told of it. ``status`` 0: no answer was begun."""
        method = scope["method"]
        status = self.status or CLIENT_CLOSED
        return Outcome(
            request_id=self.request_id,
            method=method if method in METHODS else "_other",
            route=getattr(scope.get("route"), "path", UNMATCHED),
            status=status,
            outcome=_result(status),
            code=self.code,
            model=self.model,
            version=self.version,
            rows=self.rows,
            batch_rows=self.batch_rows,
            duration_ms=(time.perf_counter() - self.started_s) * 1e3,
            inference_ms=self.inference_ms,
            principal=self.principal,
        )


def _result(status: int) -> Result:
    if status < 400:
        return "success"
    if status == CLIENT_CLOSED:
        return "disconnected"
    return "refused" if status < 500 or status == 503 else "failed"


def exchange_of(scope: Scope) -> Exchange:
    """The exchange that the middleware opened for this request."""
    exchange: Exchange = scope[KEY]
    return exchange


class ContextMiddleware:
    """Opens an exchange for every request, and closes it with one outcome."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        services = find_services(scope)
        if services is None:
            await _refuse_unstarted(scope, receive, send)
            return
        exchange = scope[KEY] = _open(scope, services)
        id_header = (b"x-request-id", exchange.request_id.encode("latin-1"))
        safety = safety_headers(scope.get("scheme", "http"), services.settings.wire.hsts_s)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                message["headers"] = [*message["headers"], *safety, id_header]
            await send(message)

        try:
            await self.app(scope, receive, answer)
        except (Disconnected, asyncio.CancelledError) as error:
            exchange.code = exchange.code or DISCONNECTED
            if isinstance(error, asyncio.CancelledError):
                raise
        except Exception as error:
            await _fail(error, exchange, scope, receive, answer)
        finally:
            services.observer.request(exchange.outcome(scope))


def _open(scope: Scope, services: Services) -> Exchange:
    headers = joined(scope["headers"])
    earlier: Any = scope.get(KEY)
    started_s = time.perf_counter() if earlier is None else earlier.started_s
    request_id = None if earlier is None else earlier.request_id
    if request_id is None:
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = given if sane_request_id(given) else services.ids.next()
    exchange = Exchange(request_id, started_s, headers, services)
    exchange.late = services.service.draining and earlier is None
    exchange.whole = earlier is not None and earlier.whole
    exchange.passed = None if earlier is None else earlier.admission
    exchange.principal = None if exchange.passed is None else exchange.passed.principal
    return exchange


def joined(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The values of each header; those of a repeated one joined by commas, in time linear in their length."""
    found: dict[bytes, bytes] = {}
    repeated: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        if name in found:
            repeated.setdefault(name, [found[name]]).append(value)
        else:
            found[name] = value
    for name, values in repeated.items():
        found[name] = b", ".join(values)
    return found


async def _fail(error: Exception, exchange: Exchange, scope: Scope, receive: Receive, send: Send) -> None:
    """Logs an exception nobody expected, and answers 500 where no answer was begun."""
    _log.error(
        "request_failed_inside",
        request_id=exchange.request_id,
        route=getattr(scope.get("route"), "path", UNMATCHED),
        exc_info=error,
    )
    exchange.code = InternalError.code
    if exchange.status:
        # the answer is already on its way: only breaking the connection tells the caller that it is not whole
        raise error
    await problem_response(InternalError(), exchange.request_id, show_values=False)(scope, receive, send)


async def _refuse_unstarted(scope: Scope, receive: Receive, send: Send) -> None:
    error: RequestError = NotReady(
        "The application was never started: the ASGI server has to speak the lifespan protocol.", retry_after_s=5
    )
    request_id = _unserved_ids.next()
    response = problem_response(error, request_id, show_values=False, headers={"x-request-id": request_id})
    await response(scope, receive, send)
