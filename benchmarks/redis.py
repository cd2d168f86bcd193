"""A redis-server for the length of a run."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.servers import HOST, free_port

START_S = 10.0


class RedisMissingError(RuntimeError):
    """There is no redis-server here; the message holds the line that installs it."""


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Starts one that keeps nothing, and gives its URL. Raises RedisMissingError."""
    tool = shutil.which("redis-server")
    if tool is None:
        raise RedisMissingError("redis-server is not installed: sudo apt-get install redis-server")
    port = free_port()
    command = [tool, "--port", str(port), "--bind", HOST, "--save", "", "--appendonly", "no", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _await(process, port)
        yield f"redis://{HOST}:{port}/0"
    finally:
        process.terminate()
        process.wait()


def _await(process: subprocess.Popen[bytes], port: int) -> None:
    until_s = time.monotonic() + START_S
    while True:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
            return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > until_s:
                raise RedisMissingError("redis-server did not start.") from error
            time.sleep(0.02)
