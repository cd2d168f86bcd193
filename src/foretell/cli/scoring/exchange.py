"""One request whose answer is read while its body is sent, as streams need it; most clients send first, then read."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httptools

TIMEOUT_S = 60.0
MAX_PROBLEM_BYTES = 64 * 1024
MAX_HEADERS = 200
_READ_BYTES = 256 * 1024
_LOOK_S = 0.1
"""How often a request looks whether it is still wanted."""


class Broken(Exception):
    """The connection could not be made, or ended before the answer did."""


class Untrusted(Exception):
    """The server's certificate says nothing we trust. ``of_another``: it is good, and that of another name."""

    def __init__(self, why: str, *, of_another: bool) -> None:
        super().__init__(why)
        self.of_another = of_another


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. ``headers`` have lower-case names; ``problem`` is the body, where the status is not 200."""

    status: int
    headers: Mapping[str, str]
    problem: bytes


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. ``url`` is plain ASCII; ``trust`` is what an ``https`` server's certificate is held against.

    What ``body`` raises has to say itself what is wrong: it ends the exchange, and is raised.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: Iterator[bytes] | None = None
    trust: ssl.SSLContext | None = None


class _Answer:
    """What httptools tells of the answer. A body that is no success is kept, up to a bound; others go to ``sink``."""

    def __init__(self, sink: Callable[[bytes], object]) -> None:
        self._sink = sink
        self.parser = httptools.HttpResponseParser(self)
        self.status = 0
        self.headers: dict[str, str] = {}
        self.problem = b""
        self.complete = False
        self.fault: Exception | None = None

    def on_message_begin(self) -> None:
        self.headers = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self.headers) < MAX_HEADERS:
            self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.status = self.parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        if self.status == 200:
            try:
                self._sink(body)
            except Exception as error:
                self.fault = error  # the parser would put an error of its own in its place
                raise
        elif len(self.problem) < MAX_PROBLEM_BYTES:
            self.problem += body

    def on_message_complete(self) -> None:
        self.complete = self.status >= 200


def exchange(request: Request, sink: Callable[[bytes], object], stopped: Callable[[], bool] = lambda: False) -> Reply:
    """Sends the request and gives the reply; a body of status 200 goes to ``sink``.

    Raises Broken, also once ``stopped`` says that nobody wants the answer any more; Untrusted; and what ``sink``
    and the body raise.
    """
    try:
        return asyncio.run(_wanted(_exchange(request, _Answer(sink)), stopped))
    except ssl.SSLCertVerificationError as error:
        raise Untrusted(error.verify_message, of_another=error.verify_message.startswith(_OF_ANOTHER)) from error
    except OSError as error:  # of which time limits and faults of TLS are some
        raise Broken(_why(error)) from error


_OF_ANOTHER = ("Hostname mismatch", "IP address mismatch")


def _why(error: Exception) -> str:
    """In short what kept a connection from being made, or ended it."""
    text = str(error)
    if isinstance(error, TimeoutError):
        return f"nothing came back for {TIMEOUT_S:g} s"
    if isinstance(error, ConnectionRefusedError) or "Connect call failed" in text:
        return "nothing listens there (connection refused)"
    if isinstance(error, ssl.SSLError):
        return f"it does not speak TLS as it should ({error.reason or text})"
    return text or type(error).__name__


async def _wanted(talk: Coroutine[Any, Any, Reply], stopped: Callable[[], bool]) -> Reply:
    """What ``talk`` gives, unless it is not wanted before that."""
    talking = asyncio.create_task(talk)
    while not talking.done():
        if stopped():
            talking.cancel()
            await asyncio.gather(talking, return_exceptions=True)
            raise Broken("it was stopped")
        await asyncio.wait([talking], timeout=_LOOK_S)
    return talking.result()


async def _exchange(request: Request, answer: _Answer) -> Reply:
    parts = urlsplit(request.url)
    secure = (request.trust or ssl.create_default_context()) if parts.scheme == "https" else None
    port = parts.port or (443 if secure else 80)
    async with asyncio.timeout(TIMEOUT_S):
        reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=secure)
    writer.write(_head(request))
    sending = asyncio.create_task(_send(writer, request.body))
    reading = asyncio.create_task(_read(reader, answer))
    try:
        await asyncio.wait([sending, reading], return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            sending.result()
        await reading
    finally:
        for task in (sending, reading):
            task.cancel()
        await asyncio.gather(sending, reading, return_exceptions=True)
        writer.transport.abort()  # nothing more is said on it, and nobody waits for a farewell
    return Reply(answer.status, answer.headers, answer.problem)


def _head(request: Request) -> bytes:
    parts = urlsplit(request.url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    length = "Content-Length: 0" if request.body is None else "Transfer-Encoding: chunked"
    lines = [f"{request.method} {target} HTTP/1.1", f"Host: {parts.netloc}", length]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


async def _read(reader: asyncio.StreamReader, answer: _Answer) -> None:
    while not answer.complete:
        async with asyncio.timeout(TIMEOUT_S):
            data = await reader.read(_READ_BYTES)
        if not data:
            raise Broken("the server broke its answer off")
        try:
            answer.parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise answer.fault or Broken(f"it does not speak HTTP as it should ({error})") from error


async def _send(writer: asyncio.StreamWriter, body: Iterator[bytes] | None) -> None:
    """Sends the body; where the server takes no more of it, what it has answered says why."""
    if body is None:
        return
    for piece in body:
        if piece and not await _sent(writer, b"%x\r\n%b\r\n" % (len(piece), piece)):
            return
    await _sent(writer, b"0\r\n\r\n")


async def _sent(writer: asyncio.StreamWriter, data: bytes) -> bool:
    """Whether the server took it, or may yet."""
    writer.write(data)
    try:
        await writer.drain()
    except OSError:
        return False
    return True
