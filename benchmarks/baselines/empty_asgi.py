"""An ASGI application that reads the body and answers constant bytes: what the server alone can do."""

from __future__ import annotations

from typing import Any

BODY = b'{"prediction":0,"confidence":0.97,"model_version":"v1"}'
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})
