"""A caller that holds every answer against what contract §4 and §5 promise of all of them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Self

from tests.canary import request_headers
from tests.wire import Answer, Wire

PROBLEM_BYTES = 4096
PROBLEM = "application/problem+json"
CHANGING = frozenset({"prediction_id", "timestamp", "inference_time_ms", "total_time_ms", "request_id"})
_LEAKS = re.compile(r"Traceback|site-packages|\.py\b|/usr/|/tmp/|/home/|/work/|0x[0-9a-f]{8}|<class ")
_MEMBERS = {"type", "title", "status", "detail", "code", "request_id", "errors", "errors_total", "hint"}
_ID = re.compile(r"[!-~]{1,128}")


class Client:
    """One keep-alive connection to a server, opened anew where the server closed it."""

    def __init__(self, port: int, wait_s: float = 30.0) -> None:
        self._port = port
        self._wait_s = wait_s
        self._wire: Wire | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._wire is not None:
            self._wire.socket.close()
            self._wire = None

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Sends one request and holds the answer against the promises."""
        return self.exchange(message(method, path, body, headers), head=method == "HEAD")

    def exchange(self, request: bytes, *, head: bool = False) -> Answer:
        """Sends these bytes, which are one request, and holds the answer against the promises."""
        if self._wire is None:
            self._wire = Wire(self._port, self._wait_s)
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before it was read; the answer is on its way
            self._wire.send(request)
        answer = self._wire.answer(to_head=head)
        if answer.headers.get("connection") == "close":
            self.close()
        check(answer, head=head)
        return answer

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.request("GET", path, None, headers)

    def post(
        self, path: str, body: Any, headers: Mapping[str, str] | None = None, kind: str | None = "application/json"
    ) -> Answer:
        """POST of a body, as JSON where it is not bytes."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.request("POST", path, data, {**({} if kind is None else {"Content-Type": kind}), **(headers or {})})

    def csv(
        self, path: str, text: str | bytes, headers: Mapping[str, str] | None = None, kind: str = "text/csv"
    ) -> Answer:
        return self.post(path, text.encode() if isinstance(text, str) else text, headers, kind)


def message(method: str, path: str, body: bytes | None, headers: Mapping[str, str] | None) -> bytes:
    """The bytes of a request; its length is said unless a header says how it is framed."""
    given = {**request_headers(), **(headers or {})}
    lower = {name.lower() for name in given}
    lines = [f"{method} {path} HTTP/1.1"]
    if "host" not in lower:
        lines.append("Host: localhost")
    if body is not None and not lower & {"content-length", "transfer-encoding"}:
        lines.append(f"Content-Length: {len(body)}")
    lines += [f"{name}: {value}" for name, value in given.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def check(answer: Answer, *, head: bool = False) -> None:
    """What holds for every answer there is."""
    request_id = answer.headers.get("x-request-id", "")
    assert _ID.fullmatch(request_id), answer
    if answer.status >= 400 and not head and not (answer.status == 503 and b'"status":"' in answer.body):
        check_problem(answer)
    if answer.status == 503:
        assert int(answer.headers["retry-after"]) >= 1, answer
    if answer.status == 405:
        assert answer.headers["allow"], answer


def check_problem(answer: Answer) -> dict[str, Any]:
    """Holds an error answer against RFC 9457 and contract §4; the problem."""
    assert answer.headers["content-type"] == PROBLEM, answer
    assert len(answer.body) <= PROBLEM_BYTES, len(answer.body)
    text = answer.body.decode("utf-8")
    problem: dict[str, Any] = json.loads(text)
    assert problem["status"] == answer.status
    assert problem["type"] == "https://foretell.dev/errors/" + problem["code"].replace("_", "-")
    assert re.fullmatch(r"[a-z0-9_]+", problem["code"])
    assert problem["title"] and problem["detail"]
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem.keys() <= {
        "type",
        "title",
        "status",
        "detail",
        "code",
        "request_id",
        "errors",
        "errors_total",
        "hint",
    }
    assert not _LEAKS.search(text), f"a path, a traceback or an object of the server: {text}"
    for error in problem.get("errors", []):
        assert error["message"] and ("pointer" in error) != ("parameter" in error), error
        assert len(error.get("value", "")) <= 64, error
    if "errors" in problem:
        assert problem["errors_total"] >= max(1, len(problem["errors"])), problem
    return problem


def stable(answer: Answer) -> Any:
    """What of an answer must be the same when the same is asked again."""
    if answer.headers.get("content-type", "").partition(";")[0] in ("application/json", PROBLEM):
        return {name: value for name, value in answer.json.items() if name not in CHANGING}
    return answer.body
