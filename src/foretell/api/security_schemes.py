"""How OpenAPI describes who may call: the schemes there are, and what each operation needs of a caller."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from foretell.api.access import ACCESS, PUBLIC
from foretell.api.oauth.router import TOKEN_PATH
from foretell.core.access.decision import Action, decide
from foretell.core.access.principal import Principal
from foretell.core.access.scopes import ADMIN, DESCRIPTIONS
from foretell.settings import Settings

KEY, BEARER, OWN = "apiKey", "bearer", "clientCredentials"


def schemes(settings: Settings, root_path: str = "") -> dict[str, Any]:
    """The security schemes, by name."""
    found: dict[str, Any] = {
        KEY: {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "A key of `foretell keys create`."},
        BEARER: {
            "type": "http",
            "scheme": "bearer",
            "description": "A key, or a token.",
        },
    }
    auth = settings.auth
    if auth.token_lifetime_s:
        base = (auth.token_issuer or root_path).rstrip("/")
        found[OWN] = _client_credentials(f"{base}{settings.prefix}{TOKEN_PATH}", "A key's id and text.")
    for number, issuer in enumerate(auth.issuers, 1):
        if issuer.token_url is not None:
            found[f"issuer{number}"] = _client_credentials(issuer.token_url, f"A client of {issuer.issuer}.")
        if not issuer.shared and issuer.jwks_url is None:
            found[f"openId{number}"] = {"type": "openIdConnect", "openIdConnectUrl": issuer.discovery_url}
    return found


def needed(name: str, settings: Settings, stranger: Principal) -> list[dict[str, list[str]]]:
    """What the operation of this name needs: one of several, or nothing where a ``stranger`` may, too.

    Empty where nobody needs anything.
    """
    access = ACCESS.get(name, ADMIN)
    if access == PUBLIC:
        return []
    scopes = {"docs": ["models:read"], "known": []}.get(access, [access])
    found = [
        {scheme: scopes if described["type"] in ("oauth2", "openIdConnect") else []}
        for scheme, described in schemes(settings).items()
    ]
    # "docs" is known to be open here, for it is read here
    open_to_all = access == "docs" or decide(stranger, Action(access)).allowed
    return [{}, *found] if open_to_all else found


def origins(settings: Settings) -> list[str]:
    """Where the docs page has to ask for outside tokens."""
    asked = [issuer.token_url for issuer in settings.auth.issuers]
    asked += [issuer.discovery_url for issuer in settings.auth.issuers if not issuer.shared and issuer.jwks_url is None]
    parts = (urlsplit(url) for url in asked if url is not None)
    return sorted({f"{part.scheme}://{part.netloc}" for part in parts})


def _client_credentials(token_url: str, description: str) -> dict[str, Any]:
    flow = {"tokenUrl": token_url, "scopes": dict(DESCRIPTIONS)}
    return {"type": "oauth2", "description": description, "flows": {"clientCredentials": flow}}
