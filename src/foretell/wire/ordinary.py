"""A request on its ordinary way to the application, and what the system knows of whoever sent it."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

_TCP_CLOSE = 7


class OrdinaryCycle(RequestResponseCycle):
    """uvicorn's cycle, which leaves the end of a connection with unread bytes on it to the protocol.

    ``duplex``: the answer may begin before the body has ended. ``small``: the rest of the body is not worth a
    connection. ``last``: no other request follows on this connection.
    """

    duplex = False
    small = False
    last = False

    async def send(self, message: Any) -> None:
        if self.more_body:
            if message["type"] == "http.response.start":
                # who was not told to go on with its body may go on with something else, which must not be taken for it
                rest_comes = self.small and not self.waiting_for_100_continue
                if not (rest_comes or (self.duplex and message["status"] < 400)):
                    self.last, self.keep_alive = True, False  # what is left of the body is not read
            elif self.last and not message.get("more_body", False):
                self.keep_alive = True  # or it would close, which can destroy the answer
        await super().send(message)
        if self.response_complete:
            self.body = bytearray()  # nobody reads it any more, and the connection may stay for a while


def is_reset(transport: asyncio.Transport) -> bool:
    """Whether the other side has reset the connection: what the system knows, while nobody reads."""
    number = transport.get_extra_info("socket").fileno()
    with socket.socket(fileno=os.dup(number)) as same:
        return same.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _TCP_CLOSE
