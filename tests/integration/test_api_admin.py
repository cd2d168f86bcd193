"""The admin API: keys and the audit trail over HTTP, with the gate and a real database behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from foretell.errors import StateAway, StateFull
from foretell.security.gate import Gate
from foretell.security.keys.opening import Keys, serve_keys
from foretell.security.openness import stranger
from foretell.security.unlimited import Unlimited
from tests.asgi import Api, Shop, problem, ready, serving

KEYS = "/api/v1/admin/keys"
PARTNER = {
    "name": "partner-x", "tenant": "acme", "scopes": ["predict"], "models": ["shop"],
    "rates": ["100/m", "1M/month"], "expires": "90d",
}  # fmt: skip


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[Keys]:
    with serve_keys(tmp_path / "state") as opened:
        yield opened


@pytest.fixture
def api(keys: Keys) -> Iterator[Api]:
    gate = Gate(
        {"key": keys.keyring},
        Unlimited(),
        lambda loopback: stranger("auto", loopback=loopback, closed=keys.closed),
        lambda: 0.0,
    )
    with serving(ready("shop v1", Shop()), ready("secret v1", Shop()), gate=gate) as served:
        served.services.keys = keys
        assert keys.admin_file is not None
        served.client.headers["authorization"] = f"Bearer {keys.admin_file.read_text().strip()}"
        yield served


def created(api: Api, **changes: Any) -> Any:
    answer = api.client.post(KEYS, json={**PARTNER, **changes})
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_a_key_that_was_made_here_predicts_at_once_and_only_what_it_may(api: Api) -> None:
    key = created(api)["key"]
    theirs = {"authorization": f"Bearer {key}"}
    body = {"features": [1, 0.8]}
    assert api.client.post("/api/v1/models/shop/predict", json=body, headers=theirs).status_code == 200
    refused = api.client.post("/api/v1/models/secret/predict", json=body, headers=theirs)
    problem(refused, 403, "model_not_allowed")
    problem(api.client.get(KEYS, headers=theirs), 403, "scope_missing")
    assert api.client.delete(f"{KEYS}/partner-x").status_code == 200
    problem(api.client.post("/api/v1/models/shop/predict", json=body, headers=theirs), 401, "credential_invalid")


def test_from_the_first_key_on_nobody_predicts_without_one_even_when_it_is_gone(api: Api) -> None:
    admin = api.client.headers.pop("authorization")
    api.predict("/api/v1/models/shop/predict")
    api.client.headers["authorization"] = admin
    created(api)
    api.client.delete(f"{KEYS}/partner-x")
    del api.client.headers["authorization"]
    problem(api.client.post("/api/v1/models/shop/predict", json={"features": [1, 0.8]}), 401, "unauthenticated")


def test_a_new_key_is_shown_once(api: Api) -> None:
    answer = api.client.post(KEYS, json=PARTNER)
    made = answer.json()
    assert made["key"].startswith(f"ft_{made['id']}_") and answer.headers["location"] == f"{KEYS}/{made['id']}"
    assert answer.headers["cache-control"] == "no-store"
    assert (made["tenant"], made["models"], made["rates"]) == ("acme", ["shop"], ["100/m", "1000000/month"])
    shown = api.client.get(f"{KEYS}/{made['id']}").json()
    assert shown == {name: value for name, value in made.items() if name != "key"}
    assert api.client.get(f"{KEYS}/partner-x").json() == shown
    listed = api.client.get(KEYS).json()["keys"]
    assert [key["name"] for key in listed] == ["admin", "partner-x"]
    assert made["key"].split("_")[2] not in json.dumps(listed)


def test_rotating_gives_a_new_key_and_keeps_the_old_one_for_a_while(api: Api) -> None:
    old = created(api)
    rotated = api.client.post(f"{KEYS}/partner-x/rotate")
    assert rotated.status_code == 201 and rotated.json()["key"] != old["key"]
    before = api.client.get(f"{KEYS}/{old['id']}").json()
    assert (before["state"], before["replaced_by"]) == ("replaced", rotated.json()["id"])
    for key in (old["key"], rotated.json()["key"]):
        assert api.client.get("/api/v1/health", headers={"x-api-key": key}).status_code == 200
    again = api.client.post(f"{KEYS}/partner-x/rotate", json={"grace": "0s", "expires": "never"})
    assert again.json()["expires"] is None
    assert api.client.get(f"{KEYS}/{rotated.json()['id']}").json()["state"] == "expired"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed_json"),
        (b"{", 400, "malformed_json"),
        (b"\xff{}", 400, "malformed_json"),
        (b"[" * 100_000, 400, "malformed_json"),
        (b'{"name": ' + b"9" * 10_000 + b"}", 400, "malformed_json"),
        (b"[]", 400, "not_an_object"),
        (b'{"name": "a", "name": "b", "scopes": ["predict"]}', 400, "duplicate_key"),
        (b"{}", 422, "invalid_grant"),
        (b'{"name": null, "scopes": null}', 422, "invalid_grant"),
        (b'{"name": "../x", "scopes": ["predict"]}', 422, "invalid_grant"),
        (b'{"name": "x", "scopes": "predict"}', 422, "invalid_grant"),
        (b'{"name": "x", "scopes": []}', 422, "invalid_grant"),
        (b'{"name": "x", "scopes": ["predict"], "models": []}', 422, "invalid_grant"),
        (b'{"name": "x", "scopes": ["predict"], "expires": "soon"}', 422, "invalid_grant"),
        (b'{"name": "x", "scopes": ["predict"], "rates": ["many"]}', 422, "invalid_grant"),
        (b" " * (256 * 1024 + 1), 413, "body_too_large"),
    ],
)
def test_a_body_that_cannot_be_is_refused(api: Api, body: bytes, status: int, code: str) -> None:
    problem(api.client.post(KEYS, content=body), status, code)
    assert len(api.client.get(KEYS).json()["keys"]) == 1


def test_every_fault_is_named_where_it_stands(api: Api) -> None:
    body = {
        "name": "-", "scops": [], "scopes": ["predikt", 7], "models": ["iris", "../x"], "rates": ["100/m", "x"],
        "expires": "11y",
    }  # fmt: skip
    found = problem(api.client.post(KEYS, json=body), 422, "invalid_grant")
    assert {fault["pointer"]: fault.get("suggestion") for fault in found["errors"]} == {
        "/name": None, "/scops": "scopes", "/scopes/1": None, "/models/1": None, "/rates/1": None, "/expires": None,
    }  # fmt: skip
    found = problem(api.client.post(KEYS, json={**PARTNER, "scopes": ["predikt"]}), 422, "invalid_grant")
    assert found["errors"][0]["suggestion"] == "predict"


@pytest.mark.parametrize("body", [b"[]", b'{"grace": "never"}', b'{"expires": "x"}', b'{"tenant": "y"}', b"{"])
def test_a_rotation_that_cannot_be_is_refused(api: Api, body: bytes) -> None:
    created(api)
    assert api.client.post(f"{KEYS}/partner-x/rotate", content=body).status_code in (400, 422)
    assert len(api.client.get(KEYS).json()["keys"]) == 2


def test_what_contradicts_is_409_and_what_is_not_there_404(api: Api) -> None:
    created(api)
    problem(api.client.post(KEYS, json=PARTNER), 409, "conflict")
    assert "Did you mean 'partner-x'?" in problem(api.client.get(f"{KEYS}/partner-y"), 404, "not_found")["detail"]
    problem(api.client.delete(f"{KEYS}/nothing"), 404, "not_found")
    problem(api.client.post(f"{KEYS}/nothing/rotate"), 404, "not_found")
    api.client.delete(f"{KEYS}/partner-x")
    problem(api.client.delete(f"{KEYS}/partner-x"), 409, "conflict")
    problem(api.client.post(f"{KEYS}/partner-x/rotate"), 409, "conflict")
    problem(api.client.put(KEYS), 405, "method_not_allowed")


def test_the_trail_says_who_did_what_a_page_at_a_time(api: Api) -> None:
    created(api)
    answer = api.client.delete(f"{KEYS}/partner-x", headers={"x-request-id": "why-1"})
    assert answer.status_code == 200
    page = api.client.get("/api/v1/admin/audit?limit=2").json()
    assert [entry["action"] for entry in page["entries"]] == ["key.revoke", "key.create"]
    newest = page["entries"][0]
    assert (newest["actor"], newest["request_id"], newest["target"]) == ("key:admin", "why-1", "key:partner-x")
    assert newest["address"] == "testclient" and newest["after"]["state"] == "revoked"
    rest = api.client.get(f"/api/v1/admin/audit?before={page['next_before']}").json()
    assert [entry["actor"] for entry in rest["entries"]] == ["server:first-start"] and rest["next_before"] is None
    assert api.client.get("/api/v1/admin/audit?since=2999-01-01").json()["entries"] == []


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=x", "before=-1", "since=soon", "befor=3", "limit=1&limit=2", "&".join("a" * 30)],
)
def test_a_parameter_that_cannot_be_is_refused(api: Api, query: str) -> None:
    problem(api.client.get(f"/api/v1/admin/audit?{query}"), 400, "invalid_parameter")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [(StateFull("/srv/state is full"), 507, "storage_full"), (StateAway("/srv/state"), 503, "state_unavailable")],
)
def test_a_database_that_is_away_or_full_is_said_without_its_place(
    api: Api, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, code: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(type(api.services.keys.store), "create", fail)
    with capture_logs() as logs:
        answer = api.client.post(KEYS, json=PARTNER)
    assert "/srv" not in json.dumps(problem(answer, status, code))
    assert [line["detail"] for line in logs if line["event"] == "state_not_usable"] == [str(error)]


def test_a_key_that_was_made_is_told_even_where_the_database_goes_away_after_it(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StateAway("gone")

    monkeypatch.setattr(type(api.services.keys.store), "standing", fail)
    assert created(api)["key"]


def test_the_document_describes_every_path(api: Api) -> None:
    document = api.client.get("/openapi.json").json()
    admin = {path: sorted(item) for path, item in document["paths"].items() if "/admin/" in path}
    assert admin == {
        KEYS: ["get", "post"],
        f"{KEYS}/{{id}}": ["delete", "get"],
        f"{KEYS}/{{id}}/rotate": ["post"],
        "/api/v1/admin/audit": ["get"],
        "/api/v1/admin/usage": ["get"],
    }
    names = set(document["components"]["schemas"])
    assert not [text for text in _references(document["paths"]) if text.rpartition("/")[2] not in names]


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from [value] if key == "$ref" else _references(value)
    elif isinstance(node, list):
        for item in node:
            yield from _references(item)
