"""The gate before everything: whoever may not is answered before a route is looked for or a body is read."""

from __future__ import annotations

from typing import Any

from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from foretell.api.access import DOCS, Asked, Table
from foretell.api.middleware.context import Exchange, exchange_of
from foretell.api.problems import problem_response
from foretell.core.access.address import counted_as, is_address, on_this_machine
from foretell.core.access.credentials import Credential, presented, proved
from foretell.core.access.decision import Action, Need
from foretell.core.hosts import Hosts
from foretell.core.proxies import PROXIED
from foretell.errors import RequestError
from foretell.security.gate import Admission, Footing
from foretell.settings import Settings

POLICY_VIOLATION = 1008


class GateMiddleware:
    """Lets in who may, by the table of routes; answers 401, 403 and 429 itself. Stands inside the ContextMiddleware."""

    def __init__(self, app: ASGIApp, table: Table, settings: Settings) -> None:
        self.app = app
        self._table = table
        self._home = Hosts.home(settings.wire.hosts)

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            # no route takes one yet, so there is nobody to let in
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = exchange_of(scope)
        asked = self._table.find(scope)
        if asked.route is not None:
            scope["route"] = asked.route
        exchange.asked = asked
        exchange.here = self._is_here(scope, exchange)
        exchange.address = counted_as(_address(scope), here=exchange.here)
        try:
            exchange.admission = exchange.passed or await self._admit(exchange, asked, scope)
        except RequestError as error:
            exchange.code = error.instance_code
            # what was not read of the body would be taken for the next request
            headers = {"connection": "close"} if _unread(exchange) and _http_1(scope) else {}
            response = problem_response(error, exchange.request_id, show_values=False, headers=headers)
            await response(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _is_here(self, scope: AsgiScope, exchange: Exchange) -> bool:
        """Whether the caller is on this machine, and no page that had its visitor's browser call (``core.hosts``)."""
        if PROXIED in scope or not on_this_machine(scope.get("client"), scope.get("server")):
            return False  # what a proxy hands on came from elsewhere, whatever address it names
        host = exchange.headers.get(b"host")
        return host is None or not is_address(_address(scope) or "") or self._home.own(host)

    async def _admit(self, exchange: Exchange, asked: Asked, scope: AsgiScope) -> Admission:
        services = exchange.services
        gate, address = services.gate, exchange.address
        need = _need(asked, exchange.here or services.settings.auth.public_docs)
        if need == "public":
            return await gate.admit(gate.nobody, Action(need), address)
        model = services.service.catalog.default_model if asked.of_default else asked.model
        action, credential, generation = Action(need, model), _credential(scope), gate.generation
        exchange.principal = principal = await gate.identify(credential, action, address, loopback=exchange.here)
        if asked.of_default and model is None:  # of all that this caller sees one may be the default
            action = Action(need, services.service.catalog.visible(principal.models).default_model)
        footing = Footing(gate, generation, principal, action, credential, loopback=exchange.here)
        return await gate.admit(principal, action, address, footing)


def _need(asked: Asked, docs_open: bool) -> Need:
    if asked.access != DOCS:
        return asked.access  # type: ignore[return-value]  # all but "docs" are needs
    return "public" if docs_open else "models:read"


def _credential(scope: AsgiScope) -> Credential | None:
    """What the caller presents: in its headers, else its certificate. Raises Unauthenticated."""
    return presented(scope["headers"]) or proved(scope)


def _address(scope: AsgiScope) -> str | None:
    """The caller's address; None where the server does not tell (a Unix socket)."""
    client = scope.get("client")
    return None if client is None else client[0]


def _unread(exchange: Exchange) -> bool:
    """Whether there is a body, of which some may still be on its way."""
    if exchange.whole:
        return False
    headers: dict[bytes, Any] = exchange.headers
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"


def _http_1(scope: AsgiScope) -> bool:
    return bool(scope.get("http_version", "1.1").startswith("1"))
