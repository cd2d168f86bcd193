"""Proxies, hosts, pages of other sites, compressed bodies, headers of safety: under any ASGI server."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from foretell.errors import SettingsError
from foretell.settings import Settings
from tests.asgi import Shop, problem, ready, serving
from tests.serving import running
from tests.wire import Answer, Wire, get, post

ROW = {"features": [1, 0.8]}
PAGE = "https://shop.example.com"


def shop(**options: Any) -> Any:
    return serving(ready("shop v1", Shop()), **options)


def test_every_answer_carries_the_headers_of_safety_once() -> None:
    with shop() as api:
        for path in ("/health", "/docs", "/docs/assets/init.js", "/nowhere", "/openapi.json"):
            answer = api.client.get(path)
            assert answer.headers.get_list("x-content-type-options") == ["nosniff"]
            assert answer.headers.get_list("referrer-policy") == ["no-referrer"]
            assert "strict-transport-security" not in answer.headers
            assert "access-control-allow-origin" not in answer.headers
        assert "frame-ancestors 'none'" in api.client.get("/docs").headers["content-security-policy"]


def test_over_https_browsers_are_told_to_stay_with_it() -> None:
    with running(proxy={"trusted": "127.0.0.1"}) as server, Wire(server.port) as wire:
        for data in (
            post("/predict", b'{"features": [1, 2]}', "X-Forwarded-Proto: https"),
            get("/health", "X-Forwarded-Proto: https"),
        ):
            wire.send(data)
            assert wire.answer().headers["strict-transport-security"] == "max-age=31536000"
        wire.send(post("/predict", b'{"features": [1, 2]}'))
        assert "strict-transport-security" not in wire.answer().headers
    with running(proxy={"trusted": "127.0.0.1"}, wire={"hsts_s": 0}) as server, Wire(server.port) as wire:
        wire.send(post("/predict", b'{"features": [1, 2]}', "X-Forwarded-Proto: https"))
        assert "strict-transport-security" not in wire.answer().headers


def test_a_proxy_may_bring_any_host_and_many_connections_and_others_not() -> None:
    data = post("/predict", b'{"features": [1, 2]}', host="api.example.com")
    with running(proxy={"trusted": "127.0.0.1"}, wire={"max_connections_per_address": 1}) as server:
        wires = [Wire(server.port) for _ in range(3)]
        for wire in wires:
            wire.send(data)
            assert wire.answer().status == 200
            wire.socket.close()
    with running() as server, Wire(server.port) as wire:
        wire.send(data)
        assert wire.answer().json["code"] == "misdirected_request"


def test_named_hosts_hold_under_any_server() -> None:
    with shop(wire={"hosts": "api.example.com, *.internal"}) as api:
        for host, status in (
            ("api.example.com", 200),
            ("API.example.com:80", 200),
            ("x.internal", 200),
            ("internal", 421),
            ("testserver", 421),
        ):
            answer = api.client.get("/health", headers={"host": host})
            assert answer.status_code == status, host
        problem(api.client.get("/health", headers={"host": "a/?x="}), 400, "malformed_request")
        assert [outcome.status for outcome in api.outcomes] == [200, 200, 200, 421, 421, 400]


def test_pages_of_other_sites_may_not_call_until_they_are_named() -> None:
    with shop() as api:
        answer = api.client.options("/predict", headers={"origin": PAGE, "access-control-request-method": "POST"})
        assert answer.status_code == 405
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_named_page_may_call_and_another_may_not() -> None:
    with shop(cors={"origins": PAGE + ":443", "credentials": True, "max_age_s": 60}) as api:
        asked = {"origin": PAGE, "access-control-request-method": "POST", "access-control-request-headers": "x-api-key"}
        preflight = api.client.options("/predict", headers=asked)
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == PAGE
        assert preflight.headers["access-control-allow-credentials"] == "true"
        assert "x-api-key" in preflight.headers["access-control-allow-headers"]
        assert preflight.headers["access-control-max-age"] == "60"
        answer = api.client.post("/predict", json=ROW, headers={"origin": PAGE})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, PAGE)
        assert "X-Request-ID" in answer.headers["access-control-expose-headers"]
        assert answer.headers["vary"] == "Origin"
        for origin in ("https://evil.example", "null", PAGE + ".evil.example", "http://shop.example.com"):
            refused = api.client.options("/predict", headers={**asked, "origin": origin})
            plain = api.client.post("/predict", json=ROW, headers={"origin": origin})
            assert "access-control-allow-origin" not in {*refused.headers, *plain.headers}
            assert plain.headers["vary"] == "Origin"
        assert api.client.get("/health").headers["vary"] == "Origin"


def test_every_page_may_call_where_every_page_is_named_but_not_as_its_visitor() -> None:
    with shop(cors={"origins": "*"}) as api:
        answer = api.client.post("/predict", json=ROW, headers={"origin": PAGE})
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers
    with pytest.raises(SettingsError, match="must name them"):
        Settings.load({"cors.origins": "*", "cors.credentials": True}, environ={})


def test_the_lane_leaves_pages_to_the_ordinary_way() -> None:
    with running(cors={"origins": PAGE}) as server, Wire(server.port) as wire:
        wire.send(post("/predict", b'{"features": [1, 2]}', f"Origin: {PAGE}"))
        assert wire.answer().headers["access-control-allow-origin"] == PAGE
        wire.send(post("/predict", b'{"features": [1, 2]}'))
        assert wire.answer().status == 200
        server.eventually(lambda: len(server.observer.ids) == 2)
        assert len(server.observer.lane) == 1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("wire.hosts", "a b"),
        ("wire.hosts", "api.example.com:80"),
        ("wire.hosts", "a..b"),
        ("proxy.trusted", "everybody"),
        ("proxy.trusted", 7),
        ("cors.origins", "shop.example.com"),
        ("cors.origins", "https://shop.example.com/path"),
        ("cors.headers", "a b"),
    ],
)
def test_names_that_cannot_be_stop_the_start(key: str, value: Any) -> None:
    with pytest.raises(SettingsError, match="must be"):
        Settings.load({key: value}, environ={})


def asked(data: bytes, encoding: str, **options: Any) -> Answer:
    with running(**options) as server, Wire(server.port) as wire:
        wire.send(post("/predict", data, f"Content-Encoding: {encoding}"))
        return wire.answer()


@pytest.mark.parametrize("padding", [0, 200_000])
def test_compressed_bodies_are_read_where_the_settings_say_so(padding: int) -> None:
    data = gzip.compress(json.dumps({"features": [1, 2]}).encode() + b" " * padding)
    assert asked(data, "gzip").status == 415
    allowed = {"compressed": True, "max_ratio": 1100}
    assert asked(data, "gzip", wire=allowed).json["prediction"] == 12.0
    assert asked(data, "gzip, gzip", wire=allowed).status == 415
    assert asked(data, "br", wire=allowed).status == 415
    assert asked(data + data, "gzip", wire=allowed).status == 400
    assert asked(gzip.compress(bytes(50_000_000)), "gzip", wire=allowed).status == 413
