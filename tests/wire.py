"""A raw HTTP/1.1 client for tests: bytes out, parsed answers in, and the connection's end as the server made it."""

from __future__ import annotations

import json
import socket
import ssl
from dataclasses import dataclass
from typing import Any, Self

from tests.canary import look, request_headers

WAIT_S = 20.0
PLANTED = [f"{name}: {value}" for name, value in request_headers().items()]


@dataclass(frozen=True)
class Answer:
    """One response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """One connection."""

    def __init__(self, port: int, wait_s: float = WAIT_S, tls: ssl.SSLContext | None = None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=wait_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *parts: bytes) -> None:
        """Sends all parts in one write."""
        self.socket.sendall(b"".join(parts))

    def answer(self, *, to_head: bool = False) -> Answer:
        """The next response; that to a HEAD has no body. Raises EOFError where the server closed before its end."""
        head = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        status = int(head[0].split(" ")[1])
        if to_head:
            body = b""
        elif headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self._until(b"\r\n"), 16):
                body += self._exactly(size + 2)[:-2]
            self._exactly(2)
        else:
            body = self._exactly(int(headers.get("content-length", 0)))
        look(repr(headers), "the headers of an answer")
        look(body, "the body of an answer")
        return Answer(status, headers, body)

    def closed(self) -> bool:
        """Whether the server closes the connection without another byte; waits for it."""
        return not self._buffer and self._receive() == b""

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            self._more()
        found, self._buffer = self._buffer.split(mark, 1)
        return found

    def _exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._more()
        found, self._buffer = self._buffer[:count], self._buffer[count:]
        return found

    def _more(self) -> None:
        data = self._receive()
        if not data:
            raise EOFError(f"closed after {self._buffer[:200]!r}")
        self._buffer += data

    def _receive(self) -> bytes:
        try:
            return self.socket.recv(65536)
        except ConnectionResetError:
            return b""


def post(path: str, body: bytes, *headers: str, host: str = "localhost") -> bytes:
    """The bytes of a plain JSON POST."""
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, *PLANTED, *headers, "", ""]).encode("latin-1") + body


def get(path: str, *headers: str) -> bytes:
    """The bytes of a plain GET."""
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *PLANTED, *headers, "", ""]).encode("latin-1")
