"""What OpenAPI says of callers, and where the docs page may ask for tokens."""

from __future__ import annotations

from typing import Any

import pytest

from tests.asgi import Shop, ready, serving
from tests.gates import Keys, gate

ISSUERS = [
    {"issuer": "https://a.example", "audience": "us", "token_url": "https://tokens.a.example/oauth/token?x=1"},
    {"issuer": "https://b.example", "audience": "us", "jwks_url": "https://b.example/jwks"},
    {"issuer": "c", "audience": "us", "algorithms": "HS256", "secret": "s" * 32, "token_url": "https://c.example/t"},
]


def described(root_path: str = "", mode: Any = "on", **auth: Any) -> tuple[dict[str, Any], str]:
    with serving(
        ready("shop v1", Shop()), gate=gate(Keys({}), mode=mode), root_path=root_path, auth=auth, prefix="/api/v1"
    ) as api:
        policy = api.client.get("/docs").headers["content-security-policy"]
        return api.client.get("/openapi.json").json(), policy


def scopes(document: dict[str, Any], path: str, method: str, scheme: str) -> Any:
    return [each[scheme] for each in document["paths"][path][method]["security"] if scheme in each]


def test_operations_say_which_scope_they_need() -> None:
    document, policy = described()
    schemes = document["components"]["securitySchemes"]
    assert set(schemes) == {"apiKey", "bearer", "clientCredentials"}
    flow = schemes["clientCredentials"]["flows"]["clientCredentials"]
    assert flow["tokenUrl"] == "/api/v1/oauth/token" and "predict" in flow["scopes"]
    assert scopes(document, "/predict", "post", "clientCredentials") == [["predict"]]
    assert scopes(document, "/api/v1/models", "get", "clientCredentials") == [["models:read"]]
    assert scopes(document, "/predict", "post", "apiKey") == [[]]
    assert document["paths"]["/health"]["get"]["security"] == []
    assert {} not in document["paths"]["/predict"]["post"]["security"]
    assert {"401", "403", "429"} <= set(document["paths"]["/predict"]["post"]["responses"])
    assert "401" not in document["paths"]["/health"]["get"]["responses"]
    assert "connect-src 'self';" in policy


def test_where_strangers_may_it_says_so() -> None:
    document, _ = described(mode="off")
    assert {} in document["paths"]["/predict"]["post"]["security"]
    assert {} not in document["paths"]["/api/v1/admin/keys"]["get"]["security"]


def test_outside_issuers_are_schemes_and_may_be_asked_by_the_page() -> None:
    document, policy = described(issuers=ISSUERS)
    schemes = document["components"]["securitySchemes"]
    assert set(schemes) == {"apiKey", "bearer", "clientCredentials", "issuer1", "openId1", "issuer3"}
    assert schemes["openId1"]["openIdConnectUrl"] == "https://a.example/.well-known/openid-configuration"
    assert schemes["issuer1"]["flows"]["clientCredentials"]["tokenUrl"] == ISSUERS[0]["token_url"]
    assert scopes(document, "/predict", "post", "openId1") == [["predict"]]
    assert "connect-src 'self' https://a.example https://c.example https://tokens.a.example;" in policy
    assert "s" * 32 not in str(document)


@pytest.mark.parametrize(
    ("auth", "root_path", "expected"),
    [
        ({}, "/ml", "/ml/api/v1/oauth/token"),
        ({"token_issuer": "https://m.example/"}, "/ml", "https://m.example/api/v1/oauth/token"),
    ],
)
def test_tokens_are_got_where_callers_see_the_server(auth: dict[str, str], root_path: str, expected: str) -> None:
    document, _ = described(root_path, **auth)
    found = document["components"]["securitySchemes"]["clientCredentials"]["flows"]["clientCredentials"]
    assert found["tokenUrl"] == expected


def test_a_server_that_makes_no_tokens_has_no_scheme_for_them() -> None:
    assert set(described(token_lifetime_s=0)[0]["components"]["securitySchemes"]) == {"apiKey", "bearer"}
