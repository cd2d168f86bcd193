"""The lane passes the same gate as the ordinary way: the same callers get in, and each request is charged once."""

from __future__ import annotations

import json
import time
from collections import Counter

import pytest

from foretell.core.access.principal import Principal
from foretell.core.access.scopes import Scope
from foretell.errors import RateLimited
from foretell.security.unlimited import Unlimited
from tests.gates import Keys, gate
from tests.serving import caches, running
from tests.wire import Answer, Wire, post

PREDICT = "/api/v1/predict"


def principal(name: str, *scopes: Scope, **more: object) -> Principal:
    return Principal(f"key:{name}", "key", name, frozenset(scopes), **more)  # type: ignore[arg-type]  # fields


def ask(secret: str | None, features: object = (1, 2)) -> bytes:
    headers = () if secret is None else (f"Authorization: Bearer {secret}",)
    return post(PREDICT, json.dumps({"features": features}).encode(), *headers)


class Ledger(Unlimited):
    """Counts what is charged; has ``left`` requests for each caller, of which memory alone grants ``at_hand``."""

    def __init__(self, left: int = 10**9, at_hand: int = 10**9) -> None:
        self.requests: Counter[str] = Counter()
        self.rows: Counter[str] = Counter()
        self.left = left
        self.at_hand = at_hand
        self.models: set[str | None] = set()

    def spend(self, principal: Principal, address: str, model: str | None, requests: int, rows: int) -> bool:
        if self.requests[principal.id] + requests > min(self.left, self.at_hand):
            return False
        self._note(principal, address, model, requests, rows)
        return True

    async def charge(self, principal: Principal, address: str, model: str | None, requests: int, rows: int) -> None:
        if self.requests[principal.id] + requests > self.left:
            raise RateLimited("No more.", limit=self.left, reset_s=3)
        self._note(principal, address, model, requests, rows)

    def _note(self, principal: Principal, address: str, model: str | None, requests: int, rows: int) -> None:
        assert address == ""  # this machine's
        self.requests[principal.id] += requests
        self.rows[principal.id] += rows
        self.models.add(model)


class Addresses(Unlimited):
    """Remembers what limits are asked for."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def spend(self, principal: Principal, address: str, model: str | None, requests: int, rows: int) -> bool:
        self.seen += [address] * requests
        return True


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "ordinary"])
def test_whoever_calls_through_a_proxy_on_this_machine_has_an_address_to_be_limited_by(lane: bool) -> None:
    addresses = Addresses()
    guard = gate(mode="off", limiter=addresses)
    with running(lane=lane, gate=guard, proxy={"trusted": "127.0.0.1"}) as server, Wire(server.port) as wire:
        for named in ("203.0.113.9", "203.0.113.9", "127.0.0.1", "x, " * 2000 + "203.0.113.10"):
            wire.send(post(PREDICT, b'{"features": [1, 2]}', f"X-Forwarded-For: {named}"))
            assert wire.answer().status == 200
    assert addresses.seen == ["203.0.113.9", "203.0.113.9", "127.0.0.1", "203.0.113.10"]
    with running(lane=lane, gate=guard) as server, Wire(server.port) as wire:
        wire.send(post(PREDICT, b'{"features": [1, 2]}', "X-Forwarded-For: 203.0.113.9"))
        assert wire.answer().status == 200
    assert addresses.seen[-1] == ""


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "ordinary"])
def test_a_page_that_made_its_name_point_to_this_machine_is_not_taken_for_it(lane: bool) -> None:
    """As a browser asks on its behalf, where every name is answered: over loopback, for the page's name."""
    row = b'{"features": [1, 2]}'
    addresses = Addresses()
    guard = gate(mode="auto", limiter=addresses)
    hosts = "*, api.example.com"
    with running(lane=lane, gate=guard, wire={"hosts": hosts}) as server, Wire(server.port) as wire:
        for host, status in (
            ("localhost:8000", 200), ("evil.example", 401), ("127.0.0.1", 200), ("127.0.0.9:80", 200),
            ("[::1]", 200), ("localhost.evil.example", 401), ("api.example.com", 200), ("evil.api.example.com", 401),
        ):  # fmt: skip
            for path in (PREDICT, "/api/v1/predict/batch"):
                with Wire(server.port) as other:
                    for each in (wire, other) if path == PREDICT and status == 200 else (other,):
                        each.send(post(path, row if path == PREDICT else b'{"features": [[1, 2]]}', host=host))
                        assert each.answer().status == status, (host, path)
        assert set(addresses.seen) == {""}
        for host, status in (("localhost", 200), ("evil.example", 401)):  # with nothing else changed
            wire.send(post(PREDICT, row, host=host))
            assert wire.answer().status == status


def asked(wire: Wire, *requests: bytes) -> list[Answer]:
    found = []
    for request in requests:
        wire.send(request)
        found.append(wire.answer())
    return found


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "ordinary"])
def test_callers_share_a_connection_and_each_is_who_it_says(lane: bool) -> None:
    keys = Keys(
        {"ft_a": principal("a", "predict"), "ft_b": principal("b", "predict"), "ft_r": principal("r", "metrics")}
    )
    ledger = Ledger()
    with running(lane=lane, gate=gate(keys, limiter=ledger)) as server, Wire(server.port) as wire:
        answers = asked(wire, ask("ft_a"), ask("ft_a"), ask("ft_b"), ask("ft_a"))
        assert [answer.status for answer in answers] == [200] * 4
        server.eventually(lambda: len(server.observer.every) == 4)
        assert sorted(str(outcome.principal and outcome.principal.id) for outcome in server.observer.every) == [
            "key:a", "key:a", "key:a", "key:b",
        ]  # fmt: skip
        assert all(outcome.lane is lane for outcome in server.observer.every)
        for secret, status in (("ft_r", 403), (None, 401), ("ft_x", 401)):
            with Wire(server.port) as other:
                assert asked(other, ask(secret))[0].status == status
        assert ledger.requests == ledger.rows == {"key:a": 3, "key:b": 1}
        assert ledger.models == {"sum"}


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "ordinary"])
def test_a_key_that_is_revoked_or_expires_ends_on_a_connection_that_is_open(lane: bool) -> None:
    soon = principal("soon", "predict", expires_s=time.time() + 3600)
    keys = Keys({"ft_a": principal("a", "predict"), "ft_soon": soon})
    with running(lane=lane, gate=gate(keys)) as server, Wire(server.port) as wire, Wire(server.port) as other:
        assert asked(wire, ask("ft_a"))[0].status == 200
        assert asked(other, ask("ft_soon"))[0].status == 200
        del keys.principals["ft_a"]
        keys.principals["ft_soon"] = principal("soon", "predict", expires_s=time.time() - 1)
        keys.changed()
        assert asked(wire, ask("ft_a"))[0].status == 401
        assert asked(other, ask("ft_soon"))[0].status == 401


def test_what_the_lane_was_paid_for_is_not_charged_again_where_it_falls_back() -> None:
    ledger = Ledger()
    keys = Keys({"ft_a": principal("a", "predict")})
    with running(gate=gate(keys, limiter=ledger)) as server, Wire(server.port) as wire:
        statuses = [answer.status for answer in asked(wire, ask("ft_a", [-1, 2]), ask("ft_a", ["x", 2]), ask("ft_a"))]
        assert statuses == [500, 422, 200]
        assert ledger.requests == ledger.rows == {"key:a": 3}


def test_what_memory_cannot_grant_goes_the_ordinary_way_and_is_granted_or_refused_there() -> None:
    ledger = Ledger(left=3, at_hand=1)
    keys = Keys({"ft_a": principal("a", "predict")})
    with running(gate=gate(keys, limiter=ledger)) as server, Wire(server.port) as wire:
        answers = asked(wire, *[ask("ft_a")] * 4)
        assert [answer.status for answer in answers] == [200, 200, 200, 429]
        assert answers[-1].headers["retry-after"] == "3"
        server.eventually(lambda: len(server.observer.every) == 4)
        assert [outcome.lane for outcome in server.observer.every if outcome.status == 200].count(True) == 1
        assert ledger.requests == {"key:a": 3}


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "ordinary"])
def test_a_token_that_memory_does_not_know_is_identified_on_the_ordinary_way(lane: bool) -> None:
    keys = Keys({}, {"eyJ.a.b": principal("late", "predict")})
    with running(lane=lane, gate=gate(keys)) as server, Wire(server.port) as wire:
        assert asked(wire, ask("eyJ.a.b"))[0].status == 200
        assert keys.asked == [b"eyJ.a.b"]


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "ordinary"])
def test_tenants_do_not_see_each_others_remembered_answers(lane: bool) -> None:
    keys = Keys(
        {
            "ft_a": principal("a", "predict"),
            "ft_b": principal("b", "predict"),
            "ft_a2": Principal("key:a2", "key", "a", frozenset({"predict"})),
        }
    )
    with running(lane=lane, gate=gate(keys), open_cache=caches().cache) as server, Wire(server.port) as wire:
        said = [
            answer.headers["x-cache"]
            for answer in asked(wire, ask("ft_a"), ask("ft_a"), ask("ft_b"), ask("ft_a2"), ask("ft_b"))
        ]
        assert said == ["miss", "hit", "miss", "hit", "hit"]
