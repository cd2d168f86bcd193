"""A caller that means harm: raw bytes out of any loopback address, and every byte that comes back until the end.

The corpora beside this file say what it sends. Nothing here knows Foretell: another server can be held against them.
"""

from __future__ import annotations

import re
import selectors
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

_HEAD = re.compile(rb"HTTP/1\.[01] ([0-9]{3}) [^\r\n]*\r\n((?:[^\r\n]*\r\n)*?)\r\n")
DRIP_S = 0.005
"""How often a crowd sends; each time some of it do."""
ADDRESSES = tuple(f"127.0.0.{last}" for last in range(2, 40))


@dataclass(frozen=True)
class Talk:
    """What came back over one connection: the statuses of whole answers, and how it ended."""

    statuses: tuple[int, ...]
    ended: bool
    rest: bytes = b""
    heads: tuple[bytes, ...] = ()


def connect(port: int, source: str = "127.0.0.1", *, receive_bytes: int | None = None) -> socket.socket:
    """A connection from one of this machine's own addresses, with a receive buffer as small as asked."""
    made = socket.socket()
    if receive_bytes is not None:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    made.settimeout(20)
    try:
        made.bind((source, 0))
        made.connect(("127.0.0.1", port))
    except OSError:
        made.close()
        raise
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def reset(made: socket.socket) -> None:
    """Ends a connection with a RST."""
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    made.close()


def talk(
    port: int, *pieces: bytes, wait_s: float = 3.0, source: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> Talk:
    """Sends the pieces, each in a write of its own, and reads until the end, or for ``wait_s`` after the last byte."""
    with connect(port, source) if tls is None else tls.wrap_socket(connect(port), server_hostname="localhost") as made:
        for piece in pieces:
            with suppress(BrokenPipeError, ConnectionResetError):
                made.sendall(piece)
        made.settimeout(wait_s)
        came, ended = b"", False
        while not ended:
            try:
                data = made.recv(65536)
            except TimeoutError:
                break
            except ConnectionResetError:
                data = b""
            came, ended = came + data, not data
    return read(came, ended)


def read(came: bytes, ended: bool) -> Talk:
    """The answers in what came."""
    statuses: list[int] = []
    heads: list[bytes] = []
    while found := _HEAD.match(came):
        status, lines = int(found[1]), found[2].lower()
        length = re.search(rb"(?:^|\r\n)content-length: ([0-9]+)", lines)
        body = 0 if length is None else int(length[1])
        if len(came) < found.end() + body:
            break
        if status >= 200:
            statuses.append(status)
            heads.append(found[2])
        came = came[found.end() + body :]
    return Talk(tuple(statuses), ended, came, tuple(heads))


class Crowd:
    """Many connections at once, watched together: when each was closed by the other side, and what came over it."""

    def __init__(self, sockets: Iterable[socket.socket]) -> None:
        self.sockets = list(sockets)
        self.ended_s: dict[socket.socket, float] = {}
        self.came: dict[socket.socket, bytes] = dict.fromkeys(self.sockets, b"")
        self._selector = selectors.DefaultSelector()
        for made in self.sockets:
            made.setblocking(False)
            self._selector.register(made, selectors.EVENT_READ)

    @classmethod
    def of(cls, count: int, port: int, first: bytes = b"", sources: Sequence[str] = ADDRESSES) -> Self:
        """``count`` connections, dealt out over the addresses, each of which says ``first``."""
        made = [connect(port, sources[index % len(sources)]) for index in range(count)]
        for each in made:
            each.sendall(first)
        return cls(made)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        for made in self.sockets:
            made.close()

    @property
    def open(self) -> list[socket.socket]:
        """Those that the other side has not closed."""
        return [made for made in self.sockets if made not in self.ended_s]

    def watch(self, seconds: float, *, drip: bytes = b"", every_s: float = 1.0, reading: bool = True) -> None:
        """Waits until all are closed, for ``seconds`` at most; meanwhile each sends ``drip`` every ``every_s``, spread
        over that time as those of many machines would be."""
        until_s, next_s, turn, turns = time.monotonic() + seconds, time.monotonic(), 0, max(1, round(every_s / DRIP_S))
        while self.open and time.monotonic() < until_s:
            if drip and time.monotonic() >= next_s:
                next_s, turn = next_s + every_s / turns, turn + 1
                for made in self.sockets[turn % turns :: turns]:
                    if made not in self.ended_s:
                        self._send(made, drip)
            if not reading:
                time.sleep(0.05)
                continue
            for key, _ in self._selector.select(min(0.05, max(0.0, next_s - time.monotonic())) if drip else 0.05):
                self._receive(key.fileobj)  # type: ignore[arg-type]  # sockets are what was registered

    def _send(self, made: socket.socket, data: bytes) -> None:
        with suppress(BlockingIOError):
            try:
                made.send(data)
            except (BrokenPipeError, ConnectionResetError):
                self._end(made)

    def _receive(self, made: socket.socket) -> None:
        try:
            data = made.recv(65536)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        self.came[made] += data
        if not data:
            self._end(made)

    def _end(self, made: socket.socket) -> None:
        if made not in self.ended_s:
            self.ended_s[made] = time.monotonic()
            self._selector.unregister(made)


def timed(ask: Callable[[], int], seconds: float) -> list[tuple[float, int]]:
    """Asks again and again for ``seconds``: how long each took, and what ``ask`` gave (a status)."""
    taken: list[tuple[float, int]] = []
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        began_s = time.perf_counter()
        status = ask()
        taken.append((time.perf_counter() - began_s, status))
    return taken


def p99_ms(taken: Sequence[tuple[float, int]]) -> float:
    """The 99th percentile of how long they took, in milliseconds."""
    return sorted(seconds for seconds, _ in taken)[min(len(taken) - 1, int(len(taken) * 0.99))] * 1e3
