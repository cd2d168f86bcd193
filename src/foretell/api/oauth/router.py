"""Tokens for API keys by RFC 6749, and how others check them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import orjson
from starlette.requests import Request

from foretell.api.answers import Answer, Header, document_answer
from foretell.api.body import read_body
from foretell.api.middleware.context import exchange_of
from foretell.api.native.router import Path
from foretell.api.oauth.form import FormFault, read_request
from foretell.core.access.scopes import SCOPES
from foretell.errors import NotFound
from foretell.security.tokens.desk import TokenDesk, TradeRefused

MAX_FORM_BYTES = 16 * 1024
TOKEN_PATH = "/oauth/token"  # noqa: S105  # a path
KEYS_PATH = "/.well-known/jwks.json"

_JSON: Header = (b"content-type", b"application/json")
# RFC 6749, 5.1
_SECRET: list[Header] = [_JSON, (b"cache-control", b"no-store"), (b"pragma", b"no-cache")]
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?", re.ASCII)


def oauth_paths(prefix: str) -> Iterator[Path]:
    """Every path of this dialect."""
    for base in dict.fromkeys((prefix, "")):
        yield Path("POST", f"{base}{TOKEN_PATH}", token, "token")
    yield Path("GET", KEYS_PATH, keys, "jwks")
    for name in ("openid-configuration", "oauth-authorization-server"):
        yield Path("GET", f"/.well-known/{name}", configuration, "oauth_configuration")


async def token(request: Request) -> Answer:
    """``POST /oauth/token``: a token for the API key that the caller shows. Its errors are RFC 6749's."""
    exchange = exchange_of(request.scope)
    deadline_s = exchange.arrived_s + exchange.services.settings.limits.timeout_s
    body = await read_body(request.receive, exchange, MAX_FORM_BYTES, deadline_s)
    authorization = exchange.header(b"authorization")
    try:
        asked = read_request(exchange.header(b"content-type"), authorization, body)
        made = await _desk(request).trade(asked.client_id, asked.secret, asked.scope, exchange.address)
    except FormFault as fault:
        error, why = fault.error, fault.why
    except TradeRefused as refused:
        error, why = refused.trouble, refused.why
    else:
        return Answer(orjson.dumps(made), _SECRET)
    exchange.code = error
    headers = list(_SECRET)
    if error == "invalid_client" and authorization is not None:
        headers.append((b"www-authenticate", b'Basic realm="foretell"'))
    document = {"error": error, "error_description": why}
    return Answer(orjson.dumps(document), headers, 401 if error == "invalid_client" else 400)


async def keys(request: Request) -> Answer:
    """``GET /.well-known/jwks.json``: what the tokens are signed with."""
    document = _desk(request).published()
    return Answer(orjson.dumps(document), [_JSON, (b"cache-control", b"public, max-age=600")])


async def configuration(request: Request) -> Answer:
    """What there is of OAuth here, and where (RFC 8414)."""
    desk, settings = _desk(request), exchange_of(request.scope).services.settings
    base = (settings.auth.token_issuer or _asked_at(request)).rstrip("/")
    return document_answer(
        {
            "issuer": desk.name,
            "token_endpoint": f"{base}{settings.prefix}{TOKEN_PATH}",
            "jwks_uri": f"{base}{KEYS_PATH}",
            "grant_types_supported": ["client_credentials"],
            "response_types_supported": [],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "scopes_supported": list(SCOPES),
        }
    )


def _desk(request: Request) -> TokenDesk:
    desk = exchange_of(request.scope).services.desk
    if desk is None:
        raise NotFound("This server makes no tokens.")
    return desk


def _asked_at(request: Request) -> str:
    """The address that the caller used itself; it is told to nobody else."""
    scope = request.scope
    host = exchange_of(scope).header(b"host") or ""
    if not _HOST.fullmatch(host):
        raise NotFound("The request names no host that could be this server's.")
    return f"{scope['scheme']}://{host}{scope.get('root_path', '')}"
