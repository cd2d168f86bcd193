"""Limits on real servers: over the workers of one, over several with a Redis, and without it."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from foretell.core.access.rates import Rate
from foretell.security.limits.buckets import Policy
from foretell.security.limits.limiter import SharedLimiter
from foretell.security.limits.local import alone
from tests.e2e.process import Serving, serving, until
from tests.gates import gate
from tests.limited import SINGLE, batch, flood, iris, make_key, status
from tests.redis_server import redis_server
from tests.report import Report
from tests.serving import running
from tests.wire import Wire, post

FULL = pytest.mark.torture, pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return iris(tmp_path_factory.mktemp("models"))


def share_keys(one: Path, other: Path) -> None:
    """Copies the state of a server that has stopped: two hosts would share a PostgreSQL, or be set up alike."""
    (other / "state").mkdir(parents=True)
    with (
        sqlite3.connect(one / "state" / "foretell.db") as source,
        sqlite3.connect(other / "state" / "foretell.db") as target,
    ):
        source.backup(target)
    for name in ("pepper",):
        (other / "state" / name).write_text((one / "state" / name).read_text())
        (other / "state" / name).chmod(0o600)


@pytest.mark.parametrize(
    ("workers", "limit", "requests"), [(2, 400, 1200), pytest.param(4, 100_000, 800_000, marks=FULL)]
)
def test_the_workers_of_one_server_admit_no_more_than_the_limit(
    repository: Path, tmp_path: Path, workers: int, limit: int, requests: int, report: Report
) -> None:
    key = make_key(tmp_path, "partner-x", f"{limit}/h", "1M/month")
    with serving(repository, tmp_path, workers=workers) as server:
        counts = flood([server], key, requests, 16)
        report(
            f"One server of {workers} workers admits no more than the limit, without a Redis",
            bar="limit + 1 %",
            requests=requests,
            limit=f"{limit:,}",
            admitted=f"{counts[200]:,}",
        )
        assert set(counts) == {200, 429}
        assert limit * 0.98 <= counts[200] <= limit * 1.01
        with Wire(server.port) as wire:
            wire.send(post("/api/v1/predict", SINGLE, f"Authorization: Bearer {key}"))
            answer = wire.answer()
        assert answer.status == 429
        assert answer.headers["ratelimit-limit"] == str(limit)
        assert answer.headers["ratelimit-remaining"] == "0"
        assert int(answer.headers["retry-after"]) == int(answer.headers["ratelimit-reset"]) > 3000
        said = json.loads(answer.body)
        assert said["code"] == "rate_limited"
        assert said["detail"].startswith(f"key:partner-x may make {limit} requests per hour; none are left.")
        assert server.stop() == 0
    with serving(repository, tmp_path) as server:
        assert flood([server], key, 20, 2) == {429: 20}, "a quota survives a restart"


@pytest.mark.parametrize(
    ("workers", "limit", "requests"), [(2, 400, 1200), pytest.param(4, 100_000, 800_000, marks=FULL)]
)
def test_servers_on_one_redis_admit_no_more_than_the_limit_and_their_shares_without_it(
    repository: Path, tmp_path: Path, workers: int, limit: int, requests: int, report: Report
) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    key, fresh = make_key(one, "partner-x", f"{limit}/h"), make_key(one, "partner-y", f"{limit}/h")
    share_keys(one, other)
    with redis_server() as redis, ExitStack() as running:
        # a second for Redis: the tests share the machine with others
        settings: dict[str, Any] = {"rates__redis_url": redis.url, "rates__redis_timeout_ms": 1000}
        servers = []
        for folder in (one, other):
            server = running.enter_context(serving(repository, folder, workers=workers, **settings))
            until(lambda: server.text.count("limits_redis_available") == workers, "Redis was not found")  # noqa: B023
            servers.append(server)
        until(lambda: servers[0].text.count("limits_hosts") == workers, "the first did not hear of the second")
        counts = flood(servers, key, requests, 16)
        assert set(counts) == {200, 429}
        assert limit * 0.98 <= counts[200] <= limit * 1.01
        redis.kill()
        more = flood(servers, key, requests // 2, 16)
        first = flood(servers, fresh, requests // 2, 16)
        report(
            f"Two servers of {workers} workers on one Redis admit no more than the limit, and without it their shares",
            bar="limit + 1 %; limit + shares",
            requests=requests,
            limit=f"{limit:,}",
            admitted=f"{counts[200]:,}",
            more_once_redis_was_killed=f"{more.get(200, 0):,}",
            of_a_limit_nobody_had_used=f"{first[200]:,}",
        )
        assert set(more) <= {200, 429}
        assert more.get(200, 0) <= limit, "what was used and the servers' shares"
        assert 0 < first[200] <= limit * 1.01


def latencies(server: Serving, key: str, requests: int, failed: list[int]) -> list[float]:
    taken = []
    with Wire(server.port, wait_s=60) as wire:
        for _ in range(requests):
            began = time.perf_counter()
            wire.send(post("/api/v1/predict", SINGLE, f"Authorization: Bearer {key}"))
            status = wire.answer().status
            taken.append(time.perf_counter() - began)
            if status != 200:
                failed.append(status)
            time.sleep(0.004)
    return sorted(taken)


@pytest.mark.parametrize(("requests", "judged"), [(200, False), pytest.param(5000, True, marks=FULL)])
def test_who_floods_takes_nothing_from_others(
    repository: Path, tmp_path: Path, requests: int, judged: bool, report: Report
) -> None:
    flooding = make_key(tmp_path, "flooding", "50/s")
    other = make_key(tmp_path, "other", "1000/s")
    failed: list[int] = []
    with serving(repository, tmp_path, workers=2) as server:
        latencies(server, other, 50, failed)
        alone = latencies(server, other, requests, failed)
        stop = threading.Event()

        def keep_flooding() -> None:  # 500 a second: ten times what it may
            with Wire(server.port, wait_s=60) as wire:
                while not stop.wait(0.002):
                    wire.send(post("/api/v1/predict", SINGLE, f"Authorization: Bearer {flooding}"))
                    wire.answer()

        thread = threading.Thread(target=keep_flooding)
        thread.start()
        beside = latencies(server, other, requests, failed)
        stop.set()
        thread.join()
    p99 = int(requests * 0.99) - 1
    report(
        "Who floods at ten times its limit takes nothing from another caller",
        bar="0 errors, p99 at most 2 x",
        requests=requests,
        errors=len(failed),
        p99_alone_ms=alone[p99] * 1e3,
        p99_beside_the_flood_ms=beside[p99] * 1e3,
    )
    assert failed == []
    assert not judged or beside[p99] <= 2 * alone[p99]


def test_rows_beyond_the_limit_are_refused_kindly(repository: Path, tmp_path: Path) -> None:
    key = make_key(tmp_path, "partner-x", "100 rows/h")
    with serving(repository, tmp_path) as server:
        assert batch(server, key, 101) == 429
        assert [batch(server, key, 60), batch(server, key, 60), batch(server, key, 40)] == [200, 429, 200]
        body = json.dumps({"features": [[5.1, 3.5, 1.4, 0.2]] * 101}).encode()
        with Wire(server.port) as wire:
            wire.send(post("/api/v1/predict/batch", body, f"Authorization: Bearer {key}"))
            answer = wire.answer()
    said = json.loads(answer.body)
    assert said["code"] == "rate_too_small"
    assert "this request alone has 101: it can never pass" in said["detail"]
    assert "retry-after" not in answer.headers


MINE, OTHER, NEAR = (f"X-Forwarded-For: {address}" for address in ("203.0.113.7", "2001:db8::1", "2001:db8::2"))


def test_addresses_are_limited_as_a_trusted_proxy_tells_them(repository: Path, tmp_path: Path) -> None:
    key = make_key(tmp_path, "partner-x")
    settings: dict[str, Any] = {"auth__mode": "off", "proxy__trusted": "127.0.0.1", "rates__anonymous": "10/h"}
    with serving(repository, tmp_path, **settings) as server:
        assert [status(server, MINE) for _ in range(12)] == [200] * 10 + [429] * 2
        assert [status(server, OTHER) for _ in range(6)] == [200] * 6
        assert [status(server, NEAR) for _ in range(6)] == [200] * 4 + [429] * 2, "one /64 is one address"
        assert [status(server) for _ in range(12)] == [200] * 10 + [429] * 2, "a proxy that names nobody"
        assert [status(server, MINE, f"Authorization: Bearer {key}") for _ in range(3)] == [200] * 3


def test_who_guesses_is_refused_and_known_keys_pass(repository: Path, tmp_path: Path) -> None:
    key = make_key(tmp_path, "partner-x")
    wrong = f"Authorization: Bearer {key[:-8]}AAAAAAAA"
    settings: dict[str, Any] = {"auth__mode": "on", "proxy__trusted": "127.0.0.1", "rates__failures": "5/h"}
    with serving(repository, tmp_path, **settings) as server:
        assert [status(server, MINE, wrong) for _ in range(7)] == [401] * 5 + [429] * 2
        assert status(server, OTHER, wrong) == 401
        assert [status(server, MINE, f"Authorization: Bearer {key}") for _ in range(12)] == [200] * 12
        for number in range(200):  # each from a network of its own, and the right one comes from there, too
            of = f"X-Forwarded-For: 2001:db8:{number:x}::1"
            assert (status(server, of, wrong), status(server, of, f"Authorization: Bearer {key}")) == (401, 200)
        assert status(server, MINE, wrong) == 429, "who guessed is not forgotten for their sake"


def test_an_address_that_nobody_vouches_for_is_not_believed(repository: Path, tmp_path: Path) -> None:
    key = make_key(tmp_path, "partner-x", "10/h")
    with serving(repository, tmp_path) as server:
        found = [
            status(server, f"Authorization: Bearer {key}", f"X-Forwarded-For: 203.0.113.{number}")
            for number in range(12)
        ]
        assert found == [200] * 10 + [429] * 2
        assert status(server, f"Authorization: Bearer {key.swapcase()}") == 401


@pytest.mark.parametrize("proxied", [False, True], ids=["direct", "proxied"])
@pytest.mark.parametrize("lane", [True, False], ids=["lane", "ordinary"])
def test_this_machine_has_no_limit_of_addresses_and_a_proxy_on_it_has(lane: bool, proxied: bool) -> None:
    limiter = SharedLimiter(Policy(address=(Rate.parse("10/h"),)), alone(1), alone(1))
    proxy = {"trusted": "127.0.0.1"} if proxied else {}
    with running(lane=lane, gate=gate(mode="off", limiter=limiter), proxy=proxy) as server:

        def ask(*headers: str) -> int:
            with Wire(server.port) as wire:
                wire.send(post("/predict", b'{"features": [1, 2]}', *headers))
                return wire.answer().status

        answered = [200] * 10 + [429] * 2 if proxied else [200] * 12
        assert [ask() for _ in range(12)] == answered
        assert [ask(MINE) for _ in range(12)] == answered, "who may name others?"
        assert [ask(each) for each in (OTHER, NEAR) * 6] == answered, "one /64 is one address"
