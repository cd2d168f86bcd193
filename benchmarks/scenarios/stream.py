"""Rows through `/predict/stream`, read while they are sent: rows a second, and what it costs the server in memory."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack

from benchmarks.bench import Bench, Case, Figures
from benchmarks.machine import memory_mib
from benchmarks.servers import HOST, Recipe, Server

ROWS, QUICK_ROWS = 1_000_000, 50_000
ROWS_A_CHUNK = 1000
PATH = "/api/v1/models/iris/versions/v1/predict/stream"


def stream(bench: Bench, stack: ExitStack) -> list[Case]:
    server = bench.start(stack, Recipe.foretell(bench.models.repository), pin=False)
    rows = QUICK_ROWS if bench.quick else ROWS
    names, row = bench.models.iris_columns, bench.models.iris_rows[0]
    line = ",".join(map(str, row))
    document = "{" + ",".join(f'"{name}":{value}' for name, value in zip(names, row, strict=True)) + "}"
    kinds = {
        "csv": ("text/csv", ",".join(names) + "\n", line + "\n"),
        "ndjson": ("application/x-ndjson", "", document + "\n"),
    }
    return [
        Case(f"stream/{name}", lambda kind=kind: measure(server, rows, *kind))  # type: ignore[misc]
        for name, kind in kinds.items()
    ]


def measure(server: Server, rows: int, media_type: str, head: str, line: str) -> Figures:
    before_mib = most_mib = memory_mib(server.pid)
    started_s = time.perf_counter()
    with socket.create_connection((HOST, server.port), timeout=60) as connection:
        sending = threading.Thread(target=send, args=(connection, rows, media_type, head, line))
        sending.start()
        received, looked_s, tail = 0, started_s, b""
        while not tail.endswith(b"\r\n0\r\n\r\n"):
            data = connection.recv(1 << 20)
            if not data or (not received and not data.startswith(b"HTTP/1.1 200 ")):
                raise RuntimeError(f"the stream broke off after {received} bytes: {(tail + data)[-400:]!r}")
            received += len(data)
            tail = (tail + data)[-512:]
            if time.perf_counter() - looked_s > 0.5:
                looked_s = time.perf_counter()
                most_mib = max(most_mib, memory_mib(server.pid))
        sending.join()
    return {"per_s": rows / (time.perf_counter() - started_s), "growth_mib": most_mib - before_mib}


def send(connection: socket.socket, rows: int, media_type: str, head: str, line: str) -> None:
    request = (
        f"POST {PATH} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: {media_type}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    connection.sendall(request.encode() + (chunk(head.encode()) if head else b""))
    many = chunk(line.encode() * ROWS_A_CHUNK)
    for _ in range(rows // ROWS_A_CHUNK):
        connection.sendall(many)
    connection.sendall(b"0\r\n\r\n")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
