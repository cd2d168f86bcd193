"""Callers who never say the same thing twice leave nothing behind: no table grows with what they choose (faults.md,
row 59)."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from typing import Any

import pytest

from tests.asgi import Api, Shop, ready, serving
from tests.gates import Keys, gate
from tests.report import Report

MIB = 1024 * 1024
FULL = pytest.mark.torture, pytest.mark.timeout(1800)


def scope(number: int) -> dict[str, Any]:
    """A request of which every part is its own."""
    text = f"{number:08d}"
    paths = [
        f"/{text}" + "a" * 7000,
        f"/api/v1/models/m{text}/predict",
        f"/api/v1/models/{'m' * 6000}{text}/predict",
        f"/api/v1/models/shop/versions/v{text}/predict",
        f"/api/v1/admin/keys/{text}",
        "/api/v1/predict",
        "/oauth/token",
    ]
    path = paths[number % len(paths)]
    headers = {
        "host": f"h{text}.localhost",
        "x-request-id": f"id-{text}",
        "x-forwarded-for": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
        "user-agent": text,
        "origin": f"https://o{text}.example",
        "content-type": f"application/x{text}" if number % 3 else "application/json",
        "accept": f"text/x{text}, */*;q=0.{text}",
        "traceparent": f"00-{text:0>32}-{text:0>16}-01",
        "cookie": f"c{text}={text}",
    }
    if number % 2:
        headers["authorization"] = f"Bearer eyJ{text}.{'x' * 2000}.{text}" if number % 4 == 1 else f"Bearer ft_{text}"
    return {
        "type": "http", "method": ("POST", "GET", f"M{text}")[number % 3], "path": path, "raw_path": path.encode(),
        "query_string": f"q{text}={text}".encode() if number % 5 == 0 else b"", "root_path": "", "http_version": "1.1",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()], "scheme": "http",
        "client": ("127.0.0.1", 40000), "server": ("127.0.0.1", 80),
    }  # fmt: skip


async def ask(api: Api, numbers: range) -> None:
    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            assert message["status"] < 500

    for number in numbers:
        messages = [{"type": "http.request", "body": b'{"features": [1, 0.5]}', "more_body": False}]

        async def receive(messages: list[Any] = messages) -> Any:
            return messages.pop() if messages else {"type": "http.disconnect"}

        await api.client.app({**scope(number), "state": {"services": api.services}}, receive, send)
    api.outcomes.clear()


@pytest.mark.parametrize(
    "requests", [3500, pytest.param(1_000_000, marks=[pytest.mark.torture, pytest.mark.timeout(3600)])]
)
def test_what_callers_choose_fills_no_table(requests: int, report: Report) -> None:
    def held() -> float:
        gc.collect()
        return tracemalloc.get_traced_memory()[0] / MIB

    options: dict[str, Any] = {"proxy": {"trusted": "127.0.0.1"}, "wire": {"hosts": "*.localhost"}}
    options["cors"] = {"origins": "https://shop.example"}
    with serving(ready("shop v1", Shop()), gate=gate(Keys({}), mode="on"), **options) as api:
        asyncio.run(ask(api, range(200)))
        tracemalloc.start()
        try:
            before = held()
            asyncio.run(ask(api, range(200, 200 + requests)))
            grown = held() - before
        finally:
            tracemalloc.stop()
    report(
        "Requests of which every part is another each time",
        bar="≤ 4 MiB held after them, however many",
        requests=requests,
        grown_mib=grown,
    )
    assert grown <= 4
