"""What is refused, in which order and with which words (contract §4)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from foretell.api.middleware.context import ContextMiddleware
from foretell.errors import QueueFull
from foretell.execution.base import AT_ONCE, Prospect
from tests.asgi import Api, Price, Shop, failed, problem, ready, serving

JSON = {"content-type": "application/json"}
PREDICTS = ["/predict", "/api/v1/predict/batch", "/api/v1/models/shop/predict", "/predict/latest"]


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    entries = [ready("shop v1", Shop()), failed("shop v2"), ready("price v1", Price()), failed("broken v1")]
    with serving(*entries, default_model="shop", limits={"max_body_bytes": 2048}) as running:
        yield running


def test_a_path_that_is_not_there_is_a_404_with_the_nearest_one(api: Api) -> None:
    document = problem(api.client.get("/api/v1/modles/shop"), 404, "not_found")
    assert "Did you mean /api/v1/models/{model}?" in document["detail"]
    assert "hint" in problem(api.client.get("/wp-admin.php"), 404, "not_found")


@pytest.mark.parametrize("path", ["/predict/", "/health/", "/api/v1/", "/%2e%2e/etc/passwd"])
def test_a_path_that_is_nearly_there_is_no_redirect(api: Api, path: str) -> None:
    problem(api.client.request("GET", path, follow_redirects=False), 404, "not_found")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "HEAD", "BREW"])
@pytest.mark.parametrize("path", PREDICTS)
def test_another_method_than_post_is_a_405_that_says_what_is_allowed(api: Api, path: str, method: str) -> None:
    answer = api.client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.headers["x-request-id"]


def test_a_reading_path_answers_get_and_head_alone(api: Api) -> None:
    assert api.client.post("/health").headers["allow"] == "GET, HEAD"
    head, get = api.client.head("/api/v1/models"), api.client.get("/api/v1/models")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"]


@pytest.mark.parametrize("path", ["/api/v1/models/shp/predict", "/api/v1/models/shp", "/api/v1/models/shp/versions/v1"])
def test_an_unknown_model_is_a_404_that_lists_the_known_ones(api: Api, path: str) -> None:
    answer = api.client.post(path) if path.endswith("predict") else api.client.get(path)
    document = problem(answer, 404, "unknown_model")
    assert "shop" in document["detail"] and "price" in document["detail"]
    assert document["errors"][0]["suggestion"] == "shop"


@pytest.mark.parametrize("path", ["/api/v1/models/shop/versions/v3/predict", "/predict/v3"])
def test_an_unknown_version_is_a_404_that_lists_the_known_ones(api: Api, path: str) -> None:
    assert "v1" in problem(api.client.post(path), 404, "unknown_version")["detail"]


def test_a_version_that_is_not_ready_is_a_503_with_a_time_to_come_back(api: Api) -> None:
    answer = api.client.post("/api/v1/models/shop/versions/v2/predict", json={"features": [1, 1]})
    problem(answer, 503, "not_ready")
    assert int(answer.headers["retry-after"]) >= 1
    problem(api.client.post("/api/v1/models/broken/predict", json={"features": [1]}), 503, "not_ready")


BIG = b'{"features": [' + b"1, " * 1000 + b"1]}"
ORDER: list[tuple[int, dict[str, Any]]] = [
    (404, {"path": "/api/v1/models/nope/predict", "method": "GET"}),
    (405, {"method": "PUT"}),
    (413, {"content": BIG}),
    (415, {"content-type": "text/plain"}),
    (406, {"accept": "image/png"}),
    (400, {"x-request-timeout": "soon"}),
    (422, {"query": "?top_k=0"}),
]


@pytest.mark.parametrize("first", range(len(ORDER)))
def test_of_several_faults_the_earlier_in_the_contract_wins(api: Api, first: int) -> None:
    asked: dict[str, Any] = {"method": "POST", "path": "/api/v1/models/shop/predict", "query": "", "content": b"{"}
    headers: dict[str, str] = {}
    for _, fault in reversed(ORDER[first:]):
        asked |= {key: value for key, value in fault.items() if key in asked}
        headers |= {key: value for key, value in fault.items() if key not in asked}
    if first == len(ORDER) - 1:
        asked["content"] = b'{"features": [1, 1]}'
    answer = api.client.request(
        asked["method"], asked["path"] + asked["query"], content=asked["content"], headers=headers
    )
    assert answer.status_code == ORDER[first][0], answer.text


def test_what_no_version_is_ready_for_is_told_after_what_is_wrong_with_the_request(api: Api) -> None:
    path = "/api/v1/models/broken/predict"
    problem(api.client.post(path, content=b"{"), 400, "malformed_json")
    problem(api.client.post(f"{path}?top_k=0", content=b'{"features": [1]}'), 422, "invalid_parameter")
    problem(
        api.client.post(path, content=b"a=1", headers={"content-type": "text/plain"}), 415, "unsupported_media_type"
    )


def test_a_form_gets_a_415_that_shows_the_header_to_add(api: Api) -> None:
    answer = api.client.post("/predict", data={"features": "1"})
    assert "application/json" in problem(answer, 415, "unsupported_media_type")["hint"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate, gzip", "br"])
def test_a_compressed_body_is_a_415(api: Api, encoding: str) -> None:
    headers = {**JSON, "content-encoding": encoding}
    problem(api.client.post("/predict", content=b"\x1f\x8b", headers=headers), 415, "unsupported_media_type")


def test_an_answer_in_no_format_of_ours_is_a_406_that_lists_them(api: Api) -> None:
    answer = api.client.post("/predict", json={"features": [1, 1]}, headers={"accept": "application/xml"})
    assert "text/csv" in problem(answer, 406, "not_acceptable")["detail"]


def test_a_body_over_the_bound_is_refused_before_it_is_read_and_the_connection_closed(api: Api) -> None:
    answer = api.client.post("/predict", content=BIG, headers=JSON)
    assert "2048" in problem(answer, 413, "body_too_large")["detail"]
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("seconds", ["soon", "0", "-1", "nan", "inf", "1e999", "", "1, 2", "0x10", "1_0", "٣"])
def test_a_timeout_that_is_no_number_of_seconds_is_a_400(api: Api, seconds: str) -> None:
    headers = {"x-request-timeout": seconds.encode()}
    answer = api.client.post("/predict", json={"features": [1, 1]}, headers=headers)  # type: ignore[arg-type]
    assert problem(answer, 400, "invalid_timeout")["errors"][0]["parameter"] == "X-Request-Timeout"


def test_a_deadline_that_passes_is_a_504(api: Api) -> None:
    headers = {"x-request-timeout": "0.000000001"}
    problem(api.client.post("/predict", json={"features": [1, 1]}, headers=headers), 504, "deadline_exceeded")
    headers = {"x-request-timeout": "1e3"}
    assert api.client.post("/predict", json={"features": [1, 1]}, headers=headers).status_code == 200


def test_all_faults_of_a_large_batch_are_counted_and_as_many_shown_as_fit() -> None:
    with serving(ready("shop v1", Shop())) as api:
        rows = [["x" * 300, {"deep": ["é"] * 50}] for _ in range(900)]
        document = problem(api.client.post("/predict/batch", json={"features": rows}), 422, "wrong_type")
    assert document["errors_total"] == 1800
    assert 5 <= len(document["errors"]) < 50
    assert {"pointer", "message", "row", "value"} <= set(document["errors"][0])


def test_offending_values_are_hidden_where_the_setting_says_so() -> None:
    with serving(ready("shop v1", Shop()), errors={"show_values": False}) as api:
        answer = api.client.post("/predict", json={"features": ["top-secret", 1]})
    problem(answer, 422, "wrong_type")
    assert "secret" not in answer.text


@pytest.mark.parametrize("given", ["abc-123", "0" * 128, "a/b:c=d@e+f~g"])
def test_a_sane_request_id_comes_back_on_every_answer(api: Api, given: str) -> None:
    for method, path in (("POST", "/predict"), ("GET", "/nope"), ("PUT", "/health"), ("GET", "/health")):
        assert api.client.request(method, path, headers={"x-request-id": given}).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "<script>", 'a"b'])
def test_any_other_request_id_is_replaced_by_ours(api: Api, given: str) -> None:
    answer = api.client.get("/nope", headers={"x-request-id": given})
    assert answer.headers.get_list("x-request-id") == [answer.json()["request_id"]]
    assert len(answer.json()["request_id"]) == 26


def test_with_several_models_and_no_default_the_caller_is_asked_to_name_one() -> None:
    with serving(ready("shop v1", Shop()), ready("price v1", Price())) as api:
        for answer in (api.client.post("/predict", json={"features": [1, 1]}), api.client.get("/api/v1/model/info")):
            document = problem(answer, 400, "default_model_ambiguous")
            assert "shop" in document["detail"] and "price" in document["detail"]
        problem(api.client.post("/predict", headers={"accept": "image/png"}), 406, "not_acceptable")


def test_without_any_model_predictions_and_model_info_are_503() -> None:
    with serving() as api:
        problem(api.client.post("/predict", json={"features": [1]}), 503, "not_ready")
        problem(api.client.get("/api/v1/model/info"), 503, "not_ready")


def test_a_draining_server_takes_no_new_work(api: Api) -> None:
    api.services.service.draining = True
    try:
        answer = api.client.post("/predict", json={"features": [1, 1]})
        problem(answer, 503, "draining")
        assert answer.headers["retry-after"]
        assert api.client.get("/health/ready").status_code == 503
        assert api.client.get("/health").json()["status"] == "unhealthy"
        assert api.client.get("/health/live").status_code == 200
    finally:
        api.services.service.draining = False


class Full:
    """An executor that has no room."""

    mode = "threaded"
    waiting_rows = 4096

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def prospect(self, rows: int) -> Prospect:
        return AT_ONCE

    def submit(self, call: Any) -> None:
        raise QueueFull("4096 rows are waiting.", retry_after_s=7)

    async def close(self) -> None: ...


def test_a_full_queue_is_a_503_that_says_when_to_come_back() -> None:
    with serving(ready("shop v1", Shop(), executor=Full)) as api:
        answer = api.client.post("/predict", json={"features": [1, 1]})
        problem(answer, 503, "queue_full")
        assert answer.headers["retry-after"] == "7"


class Clumsy(Full):
    """An executor with a fault of ours in it."""

    @property
    def mode(self) -> str:  # type: ignore[override]
        raise ZeroDivisionError("/srv/secret/path")


def test_what_nobody_expected_is_a_500_that_tells_nothing_of_the_inside() -> None:
    with serving(ready("shop v1", Shop(), executor=Clumsy)) as api:
        answer = api.client.post("/predict", json={"features": [1, 1]}, headers={"x-request-id": "find-me"})
        assert problem(answer, 500, "internal_error")["request_id"] == "find-me"
        assert "secret" not in answer.text and "ZeroDivision" not in answer.text
        [outcome] = api.outcomes
        assert (outcome.status, outcome.outcome, outcome.code) == (500, "failed", "internal_error")


class Never(Full):
    """An executor that never answers, and remembers its calls."""

    calls: list[Any]

    def __init__(self, *_: Any, **__: Any) -> None:
        self.calls = []

    def submit(self, call: Any) -> None:
        self.calls.append(call)


def scope_of(api: Api, path: str = "/predict", headers: list[tuple[bytes, bytes]] | None = None) -> dict[str, Any]:
    return {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "root_path": "",
        "headers": headers or [],
        "state": {"services": api.services},
    }


async def messages(*sent: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    for message in sent:
        yield message


def test_a_caller_who_leaves_while_waiting_has_its_call_abandoned() -> None:
    entry = ready("shop v1", Shop(), executor=Never)
    assert entry.servable is not None
    with serving(entry) as api:
        body = {"type": "http.request", "body": b'{"features": [1, 1]}', "more_body": False}
        received = messages(body, {"type": "http.disconnect"})
        answers: list[Any] = []

        async def send(message: Any) -> None:
            answers.append(message)

        asyncio.run(asyncio.wait_for(api.client.app(scope_of(api), received.__anext__, send), 10))
        assert entry.servable.executor.calls[0].abandoned  # type: ignore[attr-defined]
        assert (answers, entry.servable.leases) == ([], 0)
        [outcome] = api.outcomes
        assert (outcome.status, outcome.outcome, outcome.code) == (499, "disconnected", "client_disconnected")


def test_a_caller_who_leaves_in_the_middle_of_its_body_is_no_error() -> None:
    with serving(ready("shop v1", Shop())) as api:
        part = {"type": "http.request", "body": b'{"feat', "more_body": True}
        received = messages(part, {"type": "http.disconnect"})

        async def send(message: Any) -> None:
            raise AssertionError(message)

        asyncio.run(api.client.app(scope_of(api), received.__anext__, send))  # type: ignore[arg-type]
        assert [outcome.status for outcome in api.outcomes] == [499]


def chunked(*chunks: bytes) -> tuple[list[Any], int]:
    """What is answered to a body without a length, and how many of its chunks were read."""
    parts = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    parts.append({"type": "http.request", "body": b"", "more_body": False})
    heads: list[Any] = []
    left = list(reversed(parts))

    async def receive() -> Any:
        return left.pop()

    async def send(message: Any) -> None:
        heads.append(message)

    with serving(ready("shop v1", Shop()), limits={"max_body_bytes": 2048}) as api:
        asyncio.run(api.client.app(scope_of(api), receive, send))  # type: ignore[arg-type]
    return heads, len(parts) - len(left)


def test_a_body_without_a_length_is_counted_while_it_comes() -> None:
    heads, read = chunked(*[b" " * 100] * 1000)
    assert heads[0]["status"] == 413
    assert (b"connection", b"close") in heads[0]["headers"]
    assert read == 21  # of a thousand: the first that goes over the 2048 bytes allowed
    heads, _ = chunked(b'{"features"', b": [1, ", b"", b"0.8]}")
    assert (heads[0]["status"], b'"prediction":1' in heads[1]["body"]) == (200, True)
    body = b'{"features": [1, 0.8]' + b" " * 2026 + b"}"
    assert chunked(body[:2047], body[2047:2048])[0][0]["status"] == 200
    assert chunked(body[:2047], b"  }")[0][0]["status"] == 413
    assert chunked(b" " * 2049)[0][0]["status"] == 413


def test_a_body_that_does_not_arrive_in_time_is_a_504() -> None:
    with serving(ready("shop v1", Shop()), limits={"timeout_s": 0.01}) as api:
        parts = [{"type": "http.request", "body": b'{"feat', "more_body": True}]
        statuses: list[int] = []

        async def receive() -> Any:
            if parts:
                return parts.pop()
            return await asyncio.Event().wait()

        async def send(message: Any) -> None:
            statuses.append(message.get("status", 0))

        asyncio.run(asyncio.wait_for(api.client.app(scope_of(api), receive, send), 10))
        assert statuses[0] == 504


def test_a_fallback_of_the_lane_keeps_its_id_and_its_arrival() -> None:
    class Arrival:
        admission = None
        whole = True
        request_id = "from-the-lane"
        started_s = 0.0

    with serving(ready("shop v1", Shop())) as api:
        body = {"type": "http.request", "body": b'{"features": [1, 1]}', "more_body": False}
        scope = {**scope_of(api), "foretell": Arrival()}
        heads: list[Any] = []

        async def send(message: Any) -> None:
            heads.append(message)

        async def one() -> None:
            # arrived at 0 on the clock: the server's own limit has long passed
            await api.client.app(scope, messages(body).__anext__, send)

        asyncio.run(one())
        assert (b"x-request-id", b"from-the-lane") in heads[0]["headers"]
        assert heads[0]["status"] == 504
        assert api.outcomes[0].duration_ms > 1000


def test_an_application_that_was_never_started_says_so() -> None:
    with serving() as api:
        scope = {**scope_of(api), "state": {}}
        heads: list[Any] = []

        async def send(message: Any) -> None:
            heads.append(message)

        asyncio.run(api.client.app(scope, messages().__anext__, send))  # type: ignore[arg-type]
    assert heads[0]["status"] == 503
    assert b"lifespan" in heads[1]["body"]


def test_a_failure_after_the_answer_began_breaks_the_connection() -> None:
    async def half(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise OSError("disk")

    with serving() as api:
        heads: list[Any] = []

        async def send(message: Any) -> None:
            heads.append(message)

        middleware = ContextMiddleware(half)
        with pytest.raises(OSError, match="disk"):
            asyncio.run(middleware(scope_of(api), messages().__anext__, send))
        assert [head["status"] for head in heads] == [200]
        assert api.outcomes[0].code == "internal_error"
