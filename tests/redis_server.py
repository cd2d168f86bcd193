"""A real Redis of the tests' own, on a free port of this machine, that can be killed, stopped and started again."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.tooling import miss

WAIT_S = 20.0
BATCH = 100


class RedisServer:
    """One server process; nothing of it is kept on disk."""

    def __init__(self, program: str, folder: str, *options: str) -> None:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port: int = found.getsockname()[1]
        self._command = [
            *(program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", folder),
            *("--save", "", "--appendonly", "no", "--daemonize", "no", "--loglevel", "warning", *options),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self, **options: Any) -> Any:
        """A client of the library's own, which waits."""
        import redis

        return redis.Redis(host="127.0.0.1", port=self.port, protocol=2, **options)

    def start(self) -> None:
        """Starts it empty, and returns when it answers."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_S) as connection:
                    connection.sendall(b"PING\r\n")
                    if connection.recv(64):
                        return
            except OSError:
                assert time.monotonic() < deadline, "redis-server did not come up"
                time.sleep(0.01)

    def kill(self) -> None:
        """As when the machine is gone."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait(WAIT_S)
            self._process = None

    def hang(self) -> None:
        """It keeps its connections, and answers nothing."""
        self._signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Ends ``hang``."""
        self._signal(signal.SIGCONT)

    def poison(self, chance: random.Random) -> int:
        """Spoils every value there is, each in one of many ways, and leaves it its time. How many they were."""
        spoiled = 0
        with self.client() as client:
            names = list(client.scan_iter("foretell:*", count=1000))
            for start in range(0, len(names), BATCH):
                batch = names[start : start + BATCH]
                pipeline = client.pipeline(transaction=False)
                for name in batch:
                    pipeline.get(name)
                found = dict(zip(batch, pipeline.execute(raise_on_error=False), strict=True))
                values = {name: value for name, value in found.items() if isinstance(value, bytes)}
                for name, value in values.items():
                    _spoil(pipeline, name, value, chance.choice(list(values.values())), chance)
                pipeline.execute()
                spoiled += len(values)
        return spoiled

    def _signal(self, number: int) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)


def _spoil(pipeline: Any, name: bytes, value: bytes, other: bytes, chance: random.Random) -> None:
    """Puts something in the place of a value; ``other`` is what stands under another key."""
    way = chance.randrange(6)
    if way == 0:
        pipeline.delete(name)
        pipeline.lpush(name, b"no text at all")
        pipeline.expire(name, 5)
        return
    flipped = bytearray(value or b"x")
    flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
    huge = b"x" * 10**6 if chance.random() < 0.05 else b""
    spoiled = [bytes(flipped), value[:-3], other, chance.randbytes(200), huge][way - 1]
    pipeline.set(name, spoiled, keepttl=True)


@contextmanager
def redis_server(*options: str) -> Iterator[RedisServer]:
    """A server that runs. Skips the test where there is none on this machine, or fails it in CI."""
    program = shutil.which("redis-server")
    if program is None:
        miss("needs redis-server: sudo apt-get install redis-server")
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(program, folder, *options)
        server.start()
        try:
            yield server
        finally:
            server.kill()
