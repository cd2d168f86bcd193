"""What uvicorn's cycle keeps of a request once it has been answered."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl

from foretell.wire.ordinary import OrdinaryCycle


class Transport(asyncio.Transport):
    """Takes what is written, and nothing else happens."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        """Stays as it is."""


async def refuse() -> tuple[int, int, bytes]:
    """How much of the body is kept before and after the answer, and the answer."""
    transport = Transport()
    cycle = OrdinaryCycle(
        scope={"type": "http", "method": "POST"},  # type: ignore[typeddict-item]  # as much as an answer looks at
        transport=transport,
        flow=FlowControl(transport),
        logger=logging.getLogger("test"),
        access_logger=logging.getLogger("test"),
        access_log=False,
        default_headers=[],
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=True,
        on_response=lambda: None,
    )
    cycle.body += b"x" * 70_000
    await cycle.send({"type": "http.response.start", "status": 429, "headers": [(b"content-length", b"2")]})
    before = len(cycle.body)
    await cycle.send({"type": "http.response.body", "body": b"no"})
    return before, len(cycle.body), transport.written


def test_what_was_sent_is_not_kept_while_the_connection_of_an_answer_lingers() -> None:
    before, after, written = asyncio.run(refuse())
    assert (before, after, written[-2:]) == (70_000, 0, b"no")
