"""Tokens on real servers: outside issuers, tokens for keys on every worker, and what ends them."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from foretell.core.access.grant import Grant
from foretell.core.access.scopes import Scope
from foretell.security.audit import Author
from foretell.security.keys.opening import open_keys
from tests.e2e.process import Serving, serving, until
from tests.issuer import AUDIENCE, Issuer, issuing

ME = Author("cli:test")
IRIS = json.dumps({"features": [5.1, 3.5, 1.4, 0.2]}).encode()


def create(folder: Path, name: str, *scopes: Scope) -> tuple[str, str]:
    with open_keys(folder / "state") as store:
        record, key = store.create(Grant(name, name, frozenset(scopes)), ME)
        return record.id, key


def revoke(folder: Path, name: str) -> None:
    with open_keys(folder / "state") as store:
        store.revoke(name, ME)


def post(url: str, body: bytes, **headers: str) -> tuple[int, dict[str, Any]]:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, body, given, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)


def predict(server: Serving, token: str) -> int:
    kind = {"content_type": "application/json", "authorization": f"Bearer {token}"}
    return post(f"{server.url}/predict", IRIS, **kind)[0]


def trade(server: Serving, key: tuple[str, str]) -> tuple[int, dict[str, Any]]:
    basic = b64encode(":".join(key).encode()).decode()
    form = {"content_type": "application/x-www-form-urlencoded", "authorization": f"Basic {basic}"}
    return post(f"{server.url}/oauth/token", b"grant_type=client_credentials", **form)


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as running:
        yield running


def settings(issuer: Issuer) -> str:
    return json.dumps([{"issuer": issuer.url, "audience": AUDIENCE}])


def test_tokens_of_an_issuer_that_rotates_its_keys_goes_away_and_is_flooded(
    soon_up: Path, place: Path, issuer: Issuer
) -> None:
    options: dict[str, Any] = {"auth__issuers": settings(issuer), "default_model": "iris"}
    with serving(soon_up, place, **options) as server:
        assert post(f"{server.url}/predict", IRIS, content_type="application/json")[0] == 401
        old = issuer.token()
        assert predict(server, old) == 200
        assert predict(server, issuer.token(scope="models:read")) == 403
        assert predict(server, issuer.token(exp=int(time.time()) - 60)) == 401
        issuer.rotate()
        assert predict(server, issuer.token(sub="new")) == 200
        assert predict(server, old) == 401
        for number in range(20):
            assert predict(server, issuer.token(header={"kid": f"random-{number}"})) in (401, 429)
        assert issuer.fetches() == 2
        issuer.fault = (503, b"", {})
        assert predict(server, issuer.token(sub="while it is away")) == 200
        until(lambda: f"{issuer.url}|while it is away" in server.text, "the log does not name the caller")
        assert old not in server.text


def test_where_the_issuer_was_never_there_its_tokens_are_put_off(soon_up: Path, place: Path, issuer: Issuer) -> None:
    issuer.fault = (503, b"", {})
    options: dict[str, Any] = {"auth__issuers": settings(issuer), "default_model": "iris"}
    with serving(soon_up, place, **options) as server:
        kind = {"content_type": "application/json", "authorization": f"Bearer {issuer.token()}"}
        status, document = post(f"{server.url}/predict", IRIS, **kind)
        assert (status, document["code"]) == (503, "issuer_unavailable")
        assert [event for event in server.events() if event["event"] == "issuer_away"]


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "ordinary"])
def test_a_token_for_a_key_is_known_on_every_worker_and_ends_with_the_key(
    soon_up: Path, place: Path, lane: bool
) -> None:
    with serving(soon_up, place, lane=lane, default_model="iris", workers=2) as server:
        key = create(place, "partner", "predict")
        status, made = trade(server, key)
        assert status == 200, made
        token = made["access_token"]
        # every connection is a new one, and any worker takes it
        assert {predict(server, token) for _ in range(12)} == {200}
        revoke(place, "partner")
        until(lambda: {predict(server, token) for _ in range(4)} == {401}, "the token did not end", within_s=10)
        assert trade(server, key)[0] == 401
        assert token not in server.text and key[1] not in server.text
