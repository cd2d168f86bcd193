"""The gate in front of the application: who gets in, who is told what, and that nothing is read before."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, cast

import pytest
from fastapi.routing import APIRoute

from foretell.api.access import ACCESS, access_of
from foretell.core.access.decision import Action
from foretell.core.access.principal import Principal, anonymous
from foretell.core.access.rates import Rate
from foretell.core.access.scopes import Scope
from foretell.errors import RateLimited
from foretell.security.gate import Admission, Footing
from foretell.security.unlimited import Unlimited
from tests.asgi import Api, Shop, problem, ready, serving
from tests.gates import Keys, gate

HEALTH = {"/health", "/health/live", "/health/ready"}
TOKENS = {"/oauth/token", "/.well-known/jwks.json"}
TOKENS |= {f"/.well-known/{name}" for name in ("openid-configuration", "oauth-authorization-server")}
PUBLIC = HEALTH | TOKENS
REMOTE = ("203.0.113.7", 40000)


def key(name: str, *scopes: Scope, models: frozenset[str] | None = None, **more: Any) -> Principal:
    return Principal(f"key:{name}", "key", name, frozenset(scopes), models, **more)


PRINCIPALS = {
    "ft_all": key("all", "admin"),
    "ft_predict": key("partner", "predict"),
    "ft_read": key("reader", "models:read"),
    "ft_shop": key("shopper", "predict", "models:read", models=frozenset({"shop", "gone"})),
    "ft_none": key("none"),
    "ft_old": key("old", "predict", expires_s=time.time() - 1),
}


@pytest.fixture(scope="module")
def guarded() -> Iterator[Api]:
    keys = Keys(PRINCIPALS, {"eyJ.late.token": key("late", "predict")})
    with serving(ready("shop v1", Shop()), ready("secret v1", Shop()), gate=gate(keys)) as api:
        yield api


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def filled(path: str) -> str:
    return path.replace("{model}", "shop").replace("{version}", "v1").replace("{name}", "init.js")


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW")


def routes(api: Api) -> list[APIRoute]:
    return [route for route in api.client.app.routes if isinstance(route, APIRoute)]  # type: ignore[attr-defined]


def test_every_route_says_what_it_needs(guarded: Api) -> None:
    assert {route.name for route in routes(guarded)} <= set(ACCESS)
    named = {route.path for route in routes(guarded) if access_of(route) == "public"}
    assert named == PUBLIC | {f"/api/v1{path}" for path in HEALTH | {"/oauth/token"}}


def test_without_a_credential_every_path_and_method_but_the_public_ones_is_401(guarded: Api) -> None:
    paths = {filled(route.path) for route in routes(guarded)} | {
        "/nothing",
        "/api/v1",
        "//predict",
        "/predict/",
        "/%2e",
    }
    walked = 0
    for path in sorted(paths):
        for method in METHODS:
            answer = ask_from_afar(guarded, method, path)
            public = path.removeprefix("/api/v1") in PUBLIC
            assert (answer == 401) is not public, (method, path, answer)
            walked += 1
    assert walked > 250


def ask_from_afar(
    api: Api, method: str, path: str, *headers: tuple[bytes, bytes], client: tuple[str, int] = REMOTE
) -> int:
    """The status for a caller from another machine, who is in the middle of an endless body."""
    statuses: list[int] = []

    async def receive() -> Any:
        raise AssertionError("the body was read")

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    server = "198.51.100.1" if client == REMOTE else client[0]
    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"",
        "root_path": "", "headers": [(b"transfer-encoding", b"chunked"), *headers], "http_version": "1.1",
        "scheme": "http", "client": client, "server": (server, 80), "state": {"services": api.services},
    }  # fmt: skip
    asyncio.run(cast("Coroutine[Any, Any, None]", api.client.app(scope, receive, send)))
    return statuses[0]


def test_a_websocket_is_refused_before_it_is_accepted(guarded: Api) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    for path in ("/", "/predict", "/health", "/api/v1/models/shop/predict"):
        scope: dict[str, Any] = {"type": "websocket", "path": path, "root_path": "", "headers": [], "query_string": b""}
        scope["state"] = {"services": guarded.services}
        asyncio.run(cast("Coroutine[Any, Any, None]", guarded.client.app(scope, receive, send)))
    assert [message["type"] for message in sent] == ["websocket.close"] * 4


@pytest.mark.parametrize("secret", ["ft_unknown", "ft_old", "eyJ.unknown.token", "ft_é"])
def test_what_is_wrong_with_a_credential_is_not_told(guarded: Api, secret: str) -> None:
    answer = guarded.client.post("/predict", json={"x": 1}, headers={b"authorization": f"Bearer {secret}".encode()})
    document = problem(answer, 401, "credential_invalid")
    assert "unknown, expired or revoked" in document["detail"]
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert secret not in answer.text


@pytest.mark.parametrize(
    ("secret", "method", "path", "status", "code"),
    [
        ("ft_predict", "POST", "/api/v1/models/shop/predict", 200, None),
        ("ft_predict", "GET", "/api/v1/models", 403, "scope_missing"),
        ("ft_read", "GET", "/api/v1/models", 200, None),
        ("ft_read", "POST", "/api/v1/models/shop/predict", 403, "scope_missing"),
        ("ft_all", "GET", "/api/v1/models/secret", 200, None),
        ("ft_all", "POST", "/api/v1/models/secret/predict", 200, None),
        ("ft_none", "POST", "/api/v1/models/shop/predict", 403, "scope_missing"),
        ("ft_none", "GET", "/nothing", 403, "scope_missing"),
        ("ft_predict", "GET", "/nothing", 404, "not_found"),
        ("ft_predict", "PUT", "/api/v1/models/shop/predict", 405, "method_not_allowed"),
        ("ft_shop", "POST", "/api/v1/models/shop/predict", 200, None),
        ("ft_shop", "POST", "/api/v1/models/secret/predict", 403, "model_not_allowed"),
        ("ft_shop", "POST", "/api/v1/models/secret/versions/v1/predict", 403, "model_not_allowed"),
        ("ft_shop", "GET", "/api/v1/models/secret", 403, "model_not_allowed"),
        ("ft_shop", "GET", "/api/v1/models/no-such", 403, "model_not_allowed"),
        ("ft_shop", "GET", "/api/v1/models/gone", 404, "unknown_model"),
        ("eyJ.late.token", "POST", "/api/v1/models/shop/predict", 200, None),
    ],
)
def test_a_credential_reaches_as_far_as_its_scopes_and_models(
    guarded: Api, secret: str, method: str, path: str, status: int, code: str | None
) -> None:
    body: Any = {"json": {"features": [1, 0.8]}} if method == "POST" else {}
    answer = guarded.client.request(method, path, headers=bearer(secret), **body)
    if code is None:
        assert answer.status_code == status, answer.text
    else:
        assert "secret" not in str(problem(answer, status, code)).replace("model_not_allowed", "")


def test_models_outside_its_list_are_nowhere_for_a_caller(guarded: Api) -> None:
    listed = guarded.client.get("/api/v1/models", headers=bearer("ft_shop")).json()
    assert [model["name"] for model in listed["models"]] == ["shop"]
    missing = guarded.client.get("/api/v1/models/gone", headers=bearer("ft_shop"))
    assert "secret" not in missing.text
    # of all it sees, one model is the only one, and so the default
    assert guarded.predict("/predict", headers=bearer("ft_shop"))["model"] == "shop"
    problem(
        guarded.client.post("/predict", json={"features": [1, 1]}, headers=bearer("ft_all")),
        400,
        "default_model_ambiguous",
    )


def test_both_headers_take_the_key_and_no_query_does(guarded: Api) -> None:
    path = "/api/v1/models/shop/predict"
    assert guarded.client.post(path, json={"features": [1, 1]}, headers={"X-API-Key": "ft_predict"}).status_code == 200
    assert guarded.client.post(f"{path}?api_key=ft_predict", json={"features": [1, 1]}).status_code == 401


def test_health_answers_whatever_is_presented(guarded: Api) -> None:
    assert guarded.client.get("/health", headers=bearer("ft_unknown")).status_code == 200


def test_who_called_is_in_the_outcome_and_its_key_is_not(guarded: Api) -> None:
    guarded.predict("/api/v1/models/shop/predict", headers=bearer("ft_predict"))
    assert guarded.outcomes[-1].principal is PRINCIPALS["ft_predict"]
    guarded.client.get("/api/v1/models", headers=bearer("ft_predict"))
    assert (guarded.outcomes[-1].status, guarded.outcomes[-1].code) == (403, "scope_missing")
    assert guarded.outcomes[-1].route == "/api/v1/models"


def test_the_documentation_is_open_on_this_machine_alone_unless_a_setting_says_otherwise(guarded: Api) -> None:
    for path in ("/", "/docs", "/openapi.json"):
        assert guarded.client.get(path).status_code == 200
        assert ask_from_afar(guarded, "GET", path) == 401
    with serving(ready("shop v1", Shop()), gate=gate(Keys({})), auth={"public_docs": True}) as api:
        assert ask_from_afar(api, "GET", "/docs") == 200
        assert ask_from_afar(api, "GET", "/api/v1/models") == 401


def test_on_this_machine_is_who_asks_for_a_name_of_this_machine(guarded: Api) -> None:
    for host, status in ((b"localhost", 200), (b"127.0.0.1:80", 200), (b"evil.example", 401), (b"10.0.0.1", 401)):
        for client in ("127.0.0.1", "::ffff:127.0.0.1"):
            assert ask_from_afar(guarded, "GET", "/docs", (b"host", host), client=(client, 40000)) == status


@pytest.mark.parametrize(
    ("mode", "closed", "near", "far"),
    [("auto", False, 200, 401), ("auto", True, 401, 401), ("on", False, 401, 401), ("off", True, 200, 200)],
)
def test_what_is_open_to_strangers(mode: Any, closed: bool, near: int, far: int) -> None:
    with serving(ready("shop v1", Shop()), gate=gate(Keys(PRINCIPALS), mode=mode, closed=closed)) as api:
        assert api.client.get("/api/v1/models").status_code == near
        assert ask_from_afar(api, "GET", "/api/v1/models") == far
        assert api.client.get("/api/v1/models", headers=bearer("ft_read")).status_code == 200
        # a credential that nobody knows makes a stranger neither more nor less welcome
        for wrong in ("ft_wrong", "sk-of-another-service"):
            assert api.client.get("/api/v1/models", headers=bearer(wrong)).status_code == near


class Meter(Unlimited):
    """Refuses beyond ``requests`` and ``rows``."""

    def __init__(self, requests: int, rows: int) -> None:
        self.left = {"requests": requests, "rows": rows}
        self.wrong: list[str] = []

    def spend(self, principal: Principal, address: str, model: str | None, requests: int, rows: int) -> bool:
        if requests > self.left["requests"] or rows > self.left["rows"]:
            return False
        self.left["requests"] -= requests
        self.left["rows"] -= rows
        return True

    async def charge(self, principal: Principal, address: str, model: str | None, requests: int, rows: int) -> None:
        raise RateLimited(f"{principal.id} may send no more.", limit=7, remaining=0, reset_s=9)

    def failed(self, address: str) -> None:
        self.wrong.append(address)


def test_requests_are_charged_before_the_body_and_rows_before_the_model() -> None:
    meter = Meter(requests=3, rows=5)
    principals = {"ft_a": key("a", "predict", rates=(Rate(3, 60),))}
    with serving(ready("shop v1", Shop()), gate=gate(Keys(principals), limiter=meter)) as api:
        rows = {"features": [[1, 1], [2, 1]]}
        for _ in range(2):
            assert api.client.post("/predict/batch", json=rows, headers=bearer("ft_a")).status_code == 200
        assert meter.left == {"requests": 1, "rows": 1}
        answer = api.client.post("/predict/batch", json=rows, headers=bearer("ft_a"))
        assert problem(answer, 429, "rate_limited")
        assert meter.left == {"requests": 0, "rows": 1}
        refused = api.client.post("/predict", content=b"no JSON at all", headers=bearer("ft_a"))
        problem(refused, 429, "rate_limited")
        assert refused.headers["retry-after"] == refused.headers["ratelimit-reset"] == "9"
        assert (refused.headers["ratelimit-limit"], refused.headers["ratelimit-remaining"]) == ("7", "0")
        assert refused.headers["connection"] == "close"
        assert api.client.get("/health").status_code == 200


def test_wrong_credentials_are_counted_by_address_and_right_ones_are_not() -> None:
    meter = Meter(requests=100, rows=100)
    with serving(ready("shop v1", Shop()), gate=gate(Keys(PRINCIPALS), limiter=meter)) as api:
        for secret in (b"ft_wrong", b"ft_predict", b"ft_wrong"):
            ask_from_afar(api, "GET", "/api/v1/models", (b"x-api-key", secret))
            api.client.get("/api/v1/models", headers=bearer(secret.decode()))
    assert meter.wrong == [REMOTE[0], "", REMOTE[0], ""]


def test_what_a_proxy_on_this_machine_hands_on_counts_as_from_elsewhere_whoever_it_names() -> None:
    meter = Meter(requests=100, rows=100)
    guard = gate(Keys(PRINCIPALS), limiter=meter)
    with serving(ready("shop v1", Shop()), gate=guard, proxy={"trusted": "127.0.0.1"}) as api:
        for named in (b"203.0.113.9", b"127.0.0.1", b"nonsense", b"x, " * 3000 + b"203.0.113.9", b"x" * 9000):
            headers = (b"x-api-key", b"ft_wrong"), (b"x-forwarded-for", named)
            ask_from_afar(api, "GET", "/api/v1/models", *headers, client=("127.0.0.1", 40000))
    assert meter.wrong == ["203.0.113.9", "127.0.0.1", "127.0.0.1", "203.0.113.9", "127.0.0.1"]


def lines() -> tuple[bytes, str]:
    return b"".join(b'{"x": %d, "y": 1}\n' % i for i in range(3)), "application/x-ndjson"


def columns() -> tuple[bytes, str]:
    pa = pytest.importorskip("pyarrow")
    sink, batch = pa.BufferOutputStream(), pa.record_batch({"x": [0.0, 1.0, 2.0], "y": [1.0] * 3})
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes(), "application/vnd.apache.arrow.stream"


@pytest.mark.parametrize("made", [lines, columns])
def test_a_credential_in_a_stream_is_charged_for_its_rows(made: Callable[[], tuple[bytes, str]]) -> None:
    meter = Meter(requests=2, rows=3)
    with serving(ready("shop v1", Shop()), gate=gate(Keys(PRINCIPALS), limiter=meter)) as api:
        body, kind = made()
        headers = {**bearer("ft_predict"), "content-type": kind}
        path = "/api/v1/models/shop/predict/stream"
        assert api.client.post(path, content=body, headers=headers).status_code == 200
        assert meter.left == {"requests": 1, "rows": 0}
        problem(api.client.post(path, content=body, headers=headers), 429, "rate_limited")


def test_where_strangers_are_welcome_a_key_is_looked_for_only_for_what_they_may_not() -> None:
    keys = Keys({}, {"ft_late": key("late", "admin")})
    with serving(ready("shop v1", Shop()), gate=gate(keys, mode="off")) as api:
        assert api.client.get("/api/v1/models", headers=bearer("ft_late")).status_code == 200
        assert keys.asked == []
        path = "/api/v1/admin/keys"
        assert api.client.get(path, headers=bearer("ft_late")).status_code != 401
        assert keys.asked == [b"ft_late"]
        assert api.client.get(path, headers=bearer("ft_wrong")).status_code == 401


class Told(Meter):
    """Keeps of which model was charged, and suspects every address once ``suspicious``."""

    def __init__(self) -> None:
        super().__init__(requests=100, rows=100)
        self.models: list[str | None] = []
        self.suspicious = False

    def spend(self, principal: Principal, address: str, model: str | None, requests: int, rows: int) -> bool:
        self.models.append(model)
        return super().spend(principal, address, model, requests, rows)

    async def suspect(self, address: str) -> None:
        if self.suspicious:
            raise RateLimited("Too many wrong credentials.", limit=3, remaining=0, reset_s=60)


def test_the_default_path_is_charged_as_the_model_that_the_caller_sees_there() -> None:
    told = Told()
    entries = ready("shop v1", Shop()), ready("secret v1", Shop())
    with serving(*entries, gate=gate(Keys(PRINCIPALS), limiter=told)) as api:
        assert api.predict("/predict", headers=bearer("ft_shop"))["model"] == "shop"
    assert told.models == ["shop", "shop"], "the request and its row"


def test_a_credential_that_can_be_checked_at_once_is_not_locked_out_by_a_neighbours_guesses() -> None:
    keys, told = Keys({}, {"eyJ.good": key("good", "models:read"), "eyJ.far": key("far", "models:read")}), Told()
    keys.near |= {b"eyJ.good", b"eyJ.wrong"}
    with serving(ready("shop v1", Shop()), gate=gate(keys, limiter=told)) as api:
        assert api.client.get("/api/v1/models", headers=bearer("eyJ.wrong")).status_code == 401
        assert len(told.wrong) == 1
        told.suspicious = True
        assert api.client.get("/api/v1/models", headers=bearer("eyJ.good")).status_code == 200
        problem(api.client.get("/api/v1/models", headers=bearer("eyJ.wrong")), 429, "rate_limited")
        asked = list(keys.asked)
        problem(api.client.get("/api/v1/models", headers=bearer("eyJ.far")), 429, "rate_limited")
        assert keys.asked == asked, "nothing is fetched or looked up for whoever guesses"


def test_streams_are_shared_out_by_credential_and_among_strangers_by_address() -> None:
    guard, action = gate(Keys(PRINCIPALS), mode="off"), Action("predict")

    def caller(principal: Principal, address: str, *, loopback: bool) -> str | None:
        footing = Footing(guard, 0, principal, action, None, loopback=loopback)
        return Admission(principal, address, None, guard.limiter, footing=footing).caller

    stranger = anonymous(frozenset({"predict"}))
    assert caller(PRINCIPALS["ft_predict"], "203.0.113.7", loopback=True) == "key:partner"
    assert caller(stranger, "203.0.113.7", loopback=False) == "203.0.113.7"
    assert caller(stranger, "2001:db8::1", loopback=False) == caller(stranger, "2001:db8::2", loopback=False)
    assert caller(stranger, "127.0.0.1", loopback=True) is None
