"""One structured line for each request, and never a feature value (contract §5)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.e2e.client import Client
from tests.e2e.models import Repository
from tests.e2e.process import Serving, serving, until
from tests.evil.headers import INJECTED
from tests.report import Report
from tests.wire import Wire

CANARY = 4.719283746
FIELDS = {
    "timestamp", "level", "event", "request_id", "method", "route", "status", "outcome", "code", "model", "version",
    "rows", "batch_rows", "duration_ms", "inference_ms", "lane", "principal",
}  # fmt: skip


@pytest.fixture(scope="module", params=[True, False], ids=["lane", "ordinary"])
def alone(
    request: pytest.FixtureRequest, repository: Repository, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Serving]:
    """A server that nobody else asks."""
    with serving(repository.models / "iris", tmp_path_factory.mktemp("alone"), lane=request.param) as server:
        yield server


def ask_everything(client: Client) -> dict[str, tuple[str, int]]:
    """One request of every kind; outcome and status by request id."""
    row: list[Any] = [CANARY, 3.5, 1.4, 0.2]
    text = f"{CANARY},3.5,1.4,0.2\n"
    expected: dict[str, tuple[str, int]] = {}

    def tagged(tag: str, outcome: str, status: int) -> dict[str, str]:
        expected[tag] = (outcome, status)
        return {"X-Request-ID": tag}

    client.post("/predict", {"features": row}, tagged("single", "success", 200))
    client.post("/predict", {"features": row, "model_version": "v1"}, tagged("named", "success", 200))
    client.post("/predict/batch", {"features": [row] * 3}, tagged("batch", "success", 200))
    client.csv("/predict", text, tagged("csv", "success", 200), "text/csv; header=absent")
    client.post("/predict?top_k=2", {"features": row}, tagged("top", "success", 200))
    client.post("/predict", {"features": [*row, CANARY]}, tagged("count", "refused", 400))
    client.post("/predict", {"features": [*row[:3], str(CANARY)]}, tagged("type", "refused", 422))
    client.post("/predict", b'{"features": [%r' % CANARY, tagged("malformed", "refused", 400))
    client.post("/api/v1/models/nope/predict", {"features": row}, tagged("model", "refused", 404))
    client.post(f"/predict/{CANARY}", {"features": row}, tagged("version", "refused", 404))
    client.request("DELETE", "/predict", None, tagged("method", "refused", 405))
    client.get("/health", tagged("health", "success", 200))
    client.get("/openapi.json", tagged("openapi", "success", 200))
    return expected


def test_one_line_for_each_request_with_all_its_fields(alone: Serving) -> None:
    with Client(alone.port) as client:
        before = len(alone.requests())
        expected = ask_everything(client)
    lines = until(lambda: found if len(found := alone.requests()[before:]) >= len(expected) else None, "every line")
    assert sorted(line["request_id"] for line in lines) == sorted(expected), "each once"
    for line in lines:
        assert set(line) == FIELDS
        assert (line["outcome"], line["status"]) == expected[line["request_id"]]
        assert datetime.fromisoformat(line["timestamp"]).tzinfo is not None
        assert line["duration_ms"] >= 0
    by_id = {line["request_id"]: line for line in lines}
    assert by_id["single"]["model"] == "iris" and by_id["single"]["version"] == "v2"
    assert by_id["named"]["version"] == "v1"
    assert by_id["batch"]["rows"] == 3
    assert by_id["single"]["rows"] == 1 and by_id["single"]["inference_ms"] >= 0
    assert by_id["single"]["lane"] is alone.lane and by_id["top"]["lane"] is False
    assert by_id["count"]["code"] == "wrong_feature_count"
    assert by_id["single"]["route"] == "/predict" and by_id["version"]["route"] == "/predict/{version}"


def test_no_feature_value_is_in_the_log(alone: Serving) -> None:
    with Client(alone.port) as client:
        before = len(alone.requests())
        expected = ask_everything(client)
    until(lambda: len(alone.requests()) - before >= len(expected), "every line")
    assert str(CANARY) not in alone.text


HEADERS = (
    "User-Agent",
    "X-Request-ID",
    "traceparent",
    "tracestate",
    "Cookie",
    "Referer",
    "X-Forwarded-For",
    "Authorization",
)


def hostile_requests() -> Iterator[bytes]:
    """What a line of a log could break at, wherever a caller can put it; by the lane and by the ordinary way."""
    body = b'{"features": [5.1, 3.5, 1.4, 0.2]}'
    lines = b"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
    for value in (*INJECTED, b"\xc2\x85next", b"\x00", b"a\rb", b"\x7f" * 300, b"u" * 1_000_000):
        for name in HEADERS:
            head = b"POST /predict HTTP/1.1\r\n" + lines % len(body)
            yield head + name.encode() + b": " + value + b"\r\n\r\n" + body
        quoted = quote(value[:2000], safe="").encode()
        for target in (b"/api/v1/models/%b/predict", b"/predict/%b", b"/%b", b"/predict?%b=1", b"/predict?top_k=%b"):
            yield b"POST " + target % quoted + b" HTTP/1.1\r\n" + lines % len(body) + b"\r\n" + body
        text = json.dumps(value[:2000].decode("latin-1")).encode()
        for made in (
            b'{"features": [%b]}',
            b'{"features": [5.1, 3.5, 1.4, 0.2], "model_version": %b}',
            b"{%b: 1}",
            b"%b",
        ):
            yield b"POST /predict HTTP/1.1\r\n" + lines % len(made % text) + b"\r\n" + made % text
        yield b"BREW%b / HTTP/1.1\r\nHost: localhost\r\n\r\n" % value[:50]


def test_nothing_that_callers_send_breaks_a_line_adds_one_or_is_long_in_it(alone: Serving, report: Report) -> None:
    before = len(alone.text.splitlines())
    sent = 0
    for data in hostile_requests():
        with Wire(alone.port) as wire:
            with suppress(BrokenPipeError, ConnectionResetError):
                wire.send(data)
            assert wire.answer().status < 500, data[:300]
            sent += 1

    def told() -> int:
        """Requests, and what never became one, which is told once a second as counts."""
        events = [json.loads(line) for line in alone.text.splitlines()[before:]]
        below = [event for event in events if event["event"] == "refused_below_http"]
        counts: list[int] = [value for event in below for value in event.values() if type(value) is int]
        return len([event for event in events if event["event"] == "request"]) + sum(counts)

    until(lambda: told() >= sent, "every line")
    events = [json.loads(line) for line in alone.text.splitlines()[before:]]
    assert {event["event"] for event in events} == {"request", "refused_below_http"}
    longest = max(len(text) for event in events for text in event.values() if isinstance(text, str))
    report(
        f"What breaks lines and terminals, wherever a caller can put it, {'lane' if alone.lane else 'ordinary way'}",
        bar="every line is JSON, as many lines as requests, no field over 256 characters",
        requests=sent,
        lines=told(),
        longest_field=longest,
    )
    assert told() == sent
    assert longest <= 256
    assert all(line.isprintable() for line in alone.text.splitlines()[before:])


def test_a_log_in_a_file_is_whole_at_the_stop(repository: Repository, place: Path) -> None:
    place.mkdir()
    log = place / "requests.jsonl"
    with serving(repository.models / "iris", place, log_to=log) as server, Client(server.port) as client:
        for index in range(200):
            client.post("/predict", {"features": [5.1, 3.5, 1.4, 0.2]}, {"X-Request-ID": f"last-{index}"})
        assert server.stop() == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    ids = [line["request_id"] for line in lines if line["event"] == "request"]
    assert sorted(i for i in ids if i.startswith("last-")) == sorted(f"last-{index}" for index in range(200))
