"""One request whose answer is read while its body is sent, as streams need it; most clients send first, then read."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urlsplit

import httptools

TIMEOUT_S = 60.0
MAX_PROBLEM_BYTES = 64 * 1024
_READ_BYTES = 256 * 1024


class Broken(Exception):
    """The connection could not be made, or ended before the answer did."""


class _Answer:
    """What httptools tells of the answer. A body that is no success is kept, up to a bound; others go to ``sink``."""

    def __init__(self, sink: Callable[[bytes], object]) -> None:
        self._sink = sink
        self.parser = httptools.HttpResponseParser(self)
        self.status = 0
        self.problem = b""
        self.complete = False

    def on_headers_complete(self) -> None:
        self.status = self.parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        if self.status == 200:
            self._sink(body)
        elif len(self.problem) < MAX_PROBLEM_BYTES:
            self.problem += body

    def on_message_complete(self) -> None:
        self.complete = self.status != 100


def exchange(
    method: str, url: str, headers: Mapping[str, str], body: Iterator[bytes] | None, sink: Callable[[bytes], object]
) -> tuple[int, bytes]:
    """Sends the request and gives the answer's status; a body of status 200 goes to ``sink``, another is given.

    Raises Broken.
    """
    try:
        return asyncio.run(_exchange(method, url, headers, body, sink))
    except (OSError, TimeoutError, httptools.HttpParserError) as error:
        raise Broken(str(error) or type(error).__name__) from error


async def _exchange(
    method: str, url: str, headers: Mapping[str, str], body: Iterator[bytes] | None, sink: Callable[[bytes], object]
) -> tuple[int, bytes]:
    parts = urlsplit(url)
    secure = ssl.create_default_context() if parts.scheme == "https" else None
    port = parts.port or (443 if secure else 80)
    async with asyncio.timeout(TIMEOUT_S):
        reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=secure)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    length = "Content-Length: 0" if body is None else "Transfer-Encoding: chunked"
    lines = [f"{method} {target} HTTP/1.1", f"Host: {parts.netloc}", length]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
    sending = asyncio.create_task(_send(writer, body or iter(())))
    answer = _Answer(sink)
    try:
        while not answer.complete:
            async with asyncio.timeout(TIMEOUT_S):
                data = await reader.read(_READ_BYTES)
            if not data:
                raise Broken("the server broke its answer off")
            answer.parser.feed_data(data)
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.close()
    return answer.status, answer.problem


async def _send(writer: asyncio.StreamWriter, body: Iterator[bytes]) -> None:
    """Sends the body; where the server takes no more of it, what it has answered says why."""
    chunked = False
    for piece in body:
        chunked = True
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        await writer.drain()
    if chunked:
        writer.write(b"0\r\n\r\n")
        await writer.drain()
