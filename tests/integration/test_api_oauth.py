"""Tokens for API keys: who gets one, what it gives, and when it ends."""

from __future__ import annotations

import base64
import hashlib
import json
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from foretell.core.access.api_key import id_of
from foretell.core.access.credentials import Credential
from foretell.core.access.grant import Grant
from foretell.core.access.principal import Principal
from foretell.core.access.rates import Rate
from foretell.core.access.scopes import Scope
from foretell.errors import RateLimited
from foretell.security.audit import Author
from foretell.security.gate import Gate
from foretell.security.keys.opening import Keys, serve_keys
from foretell.security.openness import stranger
from foretell.security.tokens.desk import TokenDesk
from foretell.security.tokens.identities import TokenIdentities
from foretell.security.tokens.own import OwnIssuer
from foretell.security.tokens.own_keys import EPOCH_S, OwnKeys
from foretell.security.unlimited import Unlimited
from tests.asgi import Api, Shop, problem, ready, serving

ME = Author("cli:me")
FORM = {"content-type": "application/x-www-form-urlencoded"}


class Suspicious(Unlimited):
    """Refuses an address after three wrong credentials."""

    def __init__(self) -> None:
        self.wrong: dict[str, int] = {}
        self.charged: list[str] = []

    def spend(self, principal: Principal, address: str, model: str | None, requests: int, rows: int) -> bool:
        self.charged += [principal.id] * requests
        return True

    async def suspect(self, address: str) -> None:
        if self.wrong.get(address, 0) >= 3:
            raise RateLimited("Too many wrong credentials.", limit=3, remaining=0, reset_s=60)

    def failed(self, address: str) -> None:
        self.wrong[address] = self.wrong.get(address, 0) + 1


class Clock:
    """The true time, and as much later as it is told."""

    later_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.later_s


@dataclass
class World:
    """A server with keys of its own that makes tokens."""

    api: Api
    keys: Keys
    clock: Clock
    limiter: Suspicious
    tokens: TokenIdentities

    def create(self, name: str, *scopes: Scope, **more: Any) -> tuple[str, str]:
        record, key = self.keys.store.create(Grant(name, name, frozenset(scopes), **more), ME)
        return record.id, key

    def ask(self, path: str = "/oauth/token", headers: dict[str, str] | None = None, **form: Any) -> Any:
        return self.api.client.post(path, data=form, headers=headers)

    def trade(self, key: tuple[str, str], **form: Any) -> Any:
        return self.ask(grant_type="client_credentials", client_id=key[0], client_secret=key[1], **form)

    def token(self, key: tuple[str, str], **form: Any) -> str:
        answer = self.trade(key, **form)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def predict(self, token: str) -> int:
        headers = {"authorization": f"Bearer {token}"}
        return int(self.api.client.post("/predict", json={"features": [1, 0.8]}, headers=headers).status_code)

    def principal(self, token: str) -> Principal | None:
        return self.tokens.known(Credential("token", token.encode()))


@pytest.fixture(params=["on"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with serve_keys(tmp_path / "state") as keys:
        clock, limiter = Clock(), Suspicious()
        own = OwnIssuer("urn:foretell", keys.keyring, keys.store.pepper.digest, clock)
        tokens = TokenIdentities([own], clock)
        gate = Gate(
            {"key": keys.keyring, "token": tokens},
            limiter,
            lambda loopback: stranger(request.param, loopback=loopback, closed=True),
            clock,
        )
        with serving(ready("shop v1", Shop()), gate=gate, desk=TokenDesk(own, gate, 3600)) as api:
            yield World(api, keys, clock, limiter, tokens)


def test_a_key_is_traded_for_a_token_that_predicts(world: World) -> None:
    key = world.create("partner", "predict", "models:read")
    answer = world.trade(key)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store" and answer.headers["pragma"] == "no-cache"
    document = answer.json()
    assert set(document) == {"access_token", "token_type", "expires_in", "scope"}
    assert (document["token_type"], document["expires_in"]) == ("Bearer", 3600)
    assert document["scope"] == "predict models:read"
    assert world.predict(document["access_token"]) == 200
    assert key[1] not in answer.text


def test_a_token_is_its_keys_with_the_keys_limits(world: World) -> None:
    rates, models = (Rate.parse("5/m"),), frozenset({"shop"})
    key = world.create("partner", "predict", models=models, rates=rates)
    token = world.token(key)
    assert world.predict(token) == 200
    found = world.principal(token)
    assert found is not None
    assert (found.id, found.tenant, found.kind) == ("key:partner", "partner", "token")
    assert (found.models, found.rates) == (models, rates)
    assert world.limiter.charged == ["key:partner", "key:partner"]  # the trade and the prediction


def test_fewer_scopes_can_be_asked_for_and_never_more(world: World) -> None:
    key = world.create("partner", "predict", "models:read")
    token = world.token(key, scope="models:read")
    assert world.predict(token) == 403
    for scope in ("admin", "predict admin", "nonsense", " ".join(["predict"] * 65)):
        answer = world.trade(key, scope=scope)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope"), scope
    assert world.trade(world.create("ops", "admin"), scope="predict").json()["scope"] == "predict"


def test_basic_authorization_is_taken_at_every_place(world: World) -> None:
    key_id, key = world.create("partner", "predict")
    for name, secret in ((key_id, key), (quote(key_id), quote(key))):
        basic = base64.b64encode(f"{name}:{secret}".encode()).decode()
        for path in ("/oauth/token", "/api/v1/oauth/token"):
            answer = world.ask(path, {"authorization": f"Basic {basic}"}, grant_type="client_credentials")
            assert answer.status_code == 200, answer.text


def basic(text: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}


GRANT = {"grant_type": "client_credentials"}
WRONG = "ft_abcdefgh_" + "0" * 49
REFUSED: dict[str, tuple[dict[str, str], str | dict[str, str], str]] = {
    "nothing": ({}, {}, "invalid_request"),
    "no grant": ({}, {"client_id": "a", "client_secret": "b"}, "invalid_request"),
    "another grant": ({}, {"grant_type": "password", "username": "a", "password": "b"}, "unsupported_grant_type"),
    "no client": ({}, GRANT, "invalid_client"),
    "an empty secret": ({}, GRANT | {"client_id": "a", "client_secret": ""}, "invalid_client"),
    "an unknown client": ({}, GRANT | {"client_id": "abcdefgh", "client_secret": WRONG}, "invalid_client"),
    "a secret that is no key": ({}, GRANT | {"client_id": "abcdefgh", "client_secret": "x"}, "invalid_client"),
    "a secret in Unicode": ({}, GRANT | {"client_id": "abcdefgh", "client_secret": "ключ"}, "invalid_client"),
    "an unknown client by Basic": (basic(f"abcdefgh:{WRONG}"), GRANT, "invalid_client"),
    "another scheme": ({"authorization": f"Bearer {WRONG}"}, GRANT, "invalid_client"),
    "Basic that is no base64": ({"authorization": "Basic !"}, GRANT, "invalid_client"),
    "Basic without a colon": (basic("abc"), GRANT, "invalid_client"),
    "Basic in another coding": ({"authorization": "Basic //8="}, GRANT, "invalid_client"),
    "Basic and a secret": (basic("a:b"), GRANT | {"client_secret": "b"}, "invalid_request"),
    "Basic and another client": (basic("a:b"), GRANT | {"client_id": "c"}, "invalid_request"),
    "JSON": ({"content-type": "application/json"}, '{"grant_type":"client_credentials"}', "invalid_request"),
    "a field twice": (FORM, "grant_type=client_credentials&grant_type=client_credentials", "invalid_request"),
    "too many fields": (FORM, "&".join(f"f{number}=1" for number in range(40)), "invalid_request"),
    "bytes that are no text": (FORM, "grant_type=%ff", "invalid_request"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_is_told_in_the_words_of_rfc_6749(world: World, case: str) -> None:
    headers, body, error = REFUSED[case]
    options: dict[str, Any] = {"data": body} if isinstance(body, dict) else {"content": body}
    answer = world.api.client.post("/oauth/token", headers=headers, **options)
    assert answer.json()["error"] == error, answer.text
    assert set(answer.json()) == {"error", "error_description"}
    assert answer.status_code == (401 if error == "invalid_client" else 400)
    asked_by_header = error == "invalid_client" and "authorization" in headers
    assert answer.headers.get("www-authenticate") == ('Basic realm="foretell"' if asked_by_header else None)
    assert answer.headers["cache-control"] == "no-store"
    assert world.api.outcomes[-1].code == error


def test_the_id_must_be_the_keys(world: World) -> None:
    _, key = world.create("partner", "predict")
    assert world.trade(("abcdefgh", key)).json()["error"] == "invalid_client"
    assert sum(world.limiter.wrong.values()) == 1


@pytest.mark.parametrize("world", ["off"], indirect=True)
def test_a_server_that_is_open_to_all_gives_nobody_anothers_token(world: World) -> None:
    key_id, key = world.create("partner", "admin")
    forged = key_like(key_id)
    assert id_of(forged.encode()) == key_id
    assert world.trade((key_id, forged)).json()["error"] == "invalid_client"
    assert world.trade((key_id, key)).status_code == 200


def key_like(key_id: str) -> str:
    """A whole key with this id, whose secret is a guess."""
    body = f"ft_{key_id}_" + "0" * 43
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    number, check = zlib.crc32(body.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        check = digits[digit] + check
    return body + check


def test_whoever_guesses_is_held_off_even_with_the_right_key(world: World) -> None:
    key = world.create("partner", "predict")
    for _ in range(3):
        assert world.trade((key[0], WRONG)).status_code == 401
    problem(world.trade((key[0], WRONG)), 429, "rate_limited")


def test_guesses_beside_it_lock_no_good_token_out(world: World) -> None:
    key = world.create("partner", "predict")
    token = world.token(key)
    for _ in range(3):
        assert world.trade((key[0], WRONG)).status_code == 401
    forged = token.rpartition(".")[0] + "." + "A" * 86
    assert world.predict(forged) == 429
    assert world.principal(token) is None, "it was not presented yet"
    assert world.predict(token) == 200
    world.keys.store.revoke("partner", ME)
    world.keys.following.look()
    assert world.predict(token) == 429, "its key would have to be looked for"


def test_a_form_that_is_too_long_is_not_read(world: World) -> None:
    problem(world.ask(grant_type="x" * 20_000), 413, "body_too_large")


def test_a_token_ends_with_its_key(world: World) -> None:
    key = world.create("partner", "predict")
    token = world.token(key)
    assert world.predict(token) == 200
    before = world.api.services.gate.generation
    world.keys.store.revoke("partner", ME)
    world.keys.following.look()
    assert world.api.services.gate.generation > before
    assert world.predict(token) == 401
    assert world.principal(token) is None
    assert world.trade(key).json()["error"] == "invalid_client"


def test_a_token_of_a_replaced_key_lasts_for_its_grace(world: World) -> None:
    key = world.create("partner", "predict")
    token = world.token(key)
    world.keys.store.rotate("partner", ME, grace_s=60)
    world.keys.following.look()
    assert world.predict(token) == 200
    found = world.principal(token)
    assert found is not None and found.expires_s is not None and found.expires_s < time.time() + 61


def test_a_token_is_over_after_its_time(world: World) -> None:
    token = world.token(world.create("partner", "predict"))
    assert world.predict(token) == 200
    world.clock.later_s = 3600 + 31
    assert world.predict(token) == 401


def test_a_token_lasts_no_longer_than_its_key(world: World) -> None:
    key = world.create("partner", "predict", lifetime_s=600)
    assert 590 <= world.trade(key).json()["expires_in"] <= 600


def kid_of(token: str) -> str:
    return str(json.loads(base64.urlsafe_b64decode(token.split(".", maxsplit=1)[0] + "=="))["kid"])


def test_every_process_with_the_same_pepper_knows_a_token(world: World, tmp_path: Path) -> None:
    token = world.token(world.create("partner", "predict"))
    with serve_keys(tmp_path / "state") as again:
        other = OwnKeys(again.store.pepper.digest)
        assert other.published() == world.api.client.get("/.well-known/jwks.json").json()
    with serve_keys(tmp_path / "another state") as foreign:
        own = OwnIssuer("urn:foretell", foreign.keyring, foreign.store.pepper.digest)
        assert own.keys.find(kid_of(token)) is None


def test_a_true_signature_without_the_tie_to_a_key_is_not_enough(world: World) -> None:
    key_id, key = world.create("partner", "predict")
    now = int(time.time())
    own = OwnKeys(world.keys.store.pepper.digest)
    world.token((key_id, key))
    good = {"iss": "urn:foretell", "aud": "urn:foretell", "sub": "key:partner", "iat": now, "exp": now + 60}
    for more in ({}, {"tie": "A" * 22}, {"tie": "é" * 22}, {"client_id": "abcdefgh", "tie": "A" * 22}):
        claims = good | {"client_id": key_id, "scope": "admin"} | more
        assert world.predict(own.sign(json.dumps(claims).encode())) == 401, more
        world.limiter.wrong.clear()


def test_outsiders_can_check_a_token_by_the_published_keys(world: World) -> None:
    token = world.token(world.create("partner", "predict"))
    answer = world.api.client.get("/.well-known/jwks.json")
    assert "max-age" in answer.headers["cache-control"]
    keys = KeySet.import_key_set(answer.json())
    assert all("d" not in key for key in answer.json()["keys"])
    claims = jwt.decode(token, keys, algorithms=["ES256"]).claims
    assert (claims["sub"], claims["scope"]) == ("key:partner", "predict")


def test_keys_are_new_every_month_and_the_old_one_still_serves() -> None:
    def days(shift: float) -> OwnKeys:
        return OwnKeys(lambda data: hashlib.sha256(data).digest(), lambda: 100.5 * EPOCH_S + shift)

    kids = [
        json.loads(base64.urlsafe_b64decode(days(n * EPOCH_S).sign(b"{}").split(".")[0] + "=="))["kid"]
        for n in range(3)
    ]
    assert len(set(kids)) == 3
    middle = days(EPOCH_S)
    assert all(middle.find(kid) for kid in kids)
    assert days(0).find(kids[2]) is None and days(2 * EPOCH_S).find(kids[0]) is None
    assert days(0).find(None) is None


def test_what_there_is_is_told_at_the_well_known_places(world: World) -> None:
    for name in ("openid-configuration", "oauth-authorization-server"):
        found = world.api.client.get(f"/.well-known/{name}").json()
        assert found["issuer"] == "urn:foretell"
        assert found["token_endpoint"] == "http://testserver/api/v1/oauth/token"
        assert found["jwks_uri"] == "http://testserver/.well-known/jwks.json"
    answer = world.api.client.get("/.well-known/openid-configuration", headers={"host": "evil/?x="})
    assert answer.status_code in (400, 404, 421)


def test_a_server_may_have_a_name_or_make_no_tokens() -> None:
    with serving(ready("shop v1", Shop()), auth={"token_lifetime_s": 0}) as api:
        assert api.client.post("/oauth/token", data=GRANT).status_code == 404
        assert "clientCredentials" not in api.client.get("/openapi.json").json()["components"]["securitySchemes"]
    with serving(ready("shop v1", Shop())) as api:
        problem(api.client.get("/.well-known/jwks.json"), 404, "not_found")
