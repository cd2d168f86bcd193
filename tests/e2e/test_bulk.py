"""Bulk work as it is promised: a file killed at any moment, a stream at constant memory (issue 3, 5)."""

from __future__ import annotations

import random
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.e2e.models import Repository
from tests.e2e.process import Serving, environment, serving, until
from tests.report import Report

FLOWERS = ("5.1,3.5,1.4,0.2", "6.3,3.3,6.0,2.5", "5.9,3.0,4.2,1.5", "oops,3.0,4.2,1.5", '"4.9",3.0,1.4,0.2')
HEADER = "sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)"
PATH = "/api/v1/models/iris/versions/v1/predict/stream"
MEBIBYTE = 1024 * 1024
PEAK = """
import resource, subprocess, sys
ended = subprocess.run(sys.argv[1:], check=False)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(ended.returncode)
"""
"""Runs a command and prints the memory of the largest process there was, in KiB."""


def write_flowers(path: Path, rows: int) -> None:
    """Flowers with ids; one in a hundred thousand has a word for a number."""
    chance = random.Random(7)
    with path.open("w", encoding="utf-8") as out:
        out.write(f"id,{HEADER}\n")
        for start in range(0, rows, 1000):
            lines = [f"{n},{chance.choice(FLOWERS[:3])}\n" for n in range(start, min(start + 1000, rows))]
            if start % 100_000 == 0:
                lines[0] = f"{start},{FLOWERS[3]}\n"
            out.writelines(lines)


@pytest.mark.parametrize(
    ("rows", "kills"),
    [(200_000, 1), pytest.param(5_000_000, 5, marks=[pytest.mark.torture, pytest.mark.timeout(1800)])],
)
def test_a_file_that_is_killed_at_random_gives_the_bytes_of_one_that_was_not(
    repository: Repository, tmp_path: Path, rows: int, kills: int, report: Report
) -> None:
    write_flowers(tmp_path / "rows.csv", rows)
    command = [sys.executable, "-m", "foretell", "score", str(tmp_path / "rows.csv"), str(tmp_path / "scored.csv")]
    command += ["--model", "iris", "--version", "v1", "--models", str(repository.models), "--processes", "2"]
    began_s = time.monotonic()
    peak = [sys.executable, "-c", PEAK, *command]
    whole = subprocess.run(peak, env=environment(), capture_output=True, text=True, check=False)
    took_s = time.monotonic() - began_s
    assert whole.returncode == 3, whole.stderr
    scored = tmp_path / "scored.csv"
    expected = scored.read_bytes()
    scored.unlink()
    report(
        "`foretell score` killed at random and resumed gives the same bytes",
        bar="the same, ≤ 400 MiB the largest process",
        rows=rows,
        kills=kills,
        uninterrupted_s=took_s,
        peak_mib=int(whole.stdout) / 1024,
    )
    assert int(whole.stdout) <= 400 * 1024, "KiB of the largest process"
    assert expected.count(b"\n") == rows + 1
    for _ in range(kills):
        with subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL) as process:
            threading.Event().wait(random.uniform(0.2, 0.9) * took_s)
            process.send_signal(signal.SIGKILL)
        if scored.exists():  # it was faster than the kill
            assert scored.read_bytes() == expected
            scored.unlink()
    again = subprocess.run(command, env=environment(), capture_output=True, check=False)
    assert again.returncode == 3, again.stderr
    assert scored.read_bytes() == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.csv", "scored.csv"]


def test_a_file_of_columns_that_is_killed_against_a_server_with_tls_and_keys_gives_the_same_bytes(
    repository: Repository, tmp_path: Path
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = 400_000  # four parts
    write_parquet(tmp_path / "rows.parquet", rows)
    scored, journal = tmp_path / "scored.parquet", tmp_path / "scored.parquet.scoring" / "journal"
    place = tmp_path / "server"
    with serving(repository.models / "iris", place, options=["--tls-self-signed"], auth__mode="on") as server:
        command = [sys.executable, "-m", "foretell", "score", str(tmp_path / "rows.parquet"), str(scored)]
        command += ["--model", "iris", "--version", "v1", "--processes", "1"]
        command += ["--server", f"https://127.0.0.1:{server.port}", "--ca", str(place / "state" / "self-signed.pem")]
        closed = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
        assert closed.returncode == 77, closed.stderr
        assert "--key-file" in closed.stderr
        command += ["--key-file", str(place / "state" / "admin.key")]
        whole = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
        assert whole.returncode == 0, whole.stderr
        expected = scored.read_bytes()
        scored.unlink()
        with subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL) as process:
            until(lambda: process.poll() is not None or (journal.exists() and journal.stat().st_size), "no part done")
            process.send_signal(signal.SIGKILL)
        again = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
        assert again.returncode == 0, again.stderr
        assert journal.parent.exists() is False
    assert scored.read_bytes() == expected
    found = parquet.read_table(scored, columns=["id", "prediction"])
    assert found["id"].to_pylist() == [f"{n:036}" for n in range(rows)]
    assert found["prediction"].null_count == 0
    key = (place / "state" / "admin.key").read_text().strip()
    assert key not in whole.stderr + again.stderr + server.text


def memory_bytes(pid: int) -> int:
    fields = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * resource.getpagesize()


@pytest.mark.parametrize("rows", [50_000, pytest.param(1_000_000, marks=pytest.mark.torture)])
def test_a_stream_of_any_length_costs_the_server_little_memory(server: Serving, rows: int, report: Report) -> None:
    line = (FLOWERS[0] + "\n").encode()
    before = most = memory_bytes(server.process.pid)
    received = 0
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        sender = threading.Thread(target=send, args=(connection, line, rows))
        sender.start()
        tail = b""
        while not tail.endswith(b"\r\n0\r\n\r\n"):
            data = connection.recv(MEBIBYTE)
            assert data, tail
            received += data.count(line[:-1])
            tail = (tail + data)[-64:]
            most = max(most, memory_bytes(server.process.pid))
        sender.join()
    report(
        f"A stream of CSV, {'lane' if server.lane else 'ordinary way'}",
        bar="≤ 100 MiB more",
        rows=rows,
        server_grew_by_mib=(most - before) / MEBIBYTE,
    )
    assert most - before <= 100 * MEBIBYTE
    assert received >= rows * 0.99  # a row that was cut between two reads is not seen here
    until(lambda: any(event.get("rows") == rows for event in server.requests()), "the request line of the stream")


def send(connection: socket.socket, line: bytes, rows: int) -> None:
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\nTransfer-Encoding: chunked\r\n\r\n"
    connection.sendall(head.encode() + chunk(HEADER.encode() + b"\n"))
    for start in range(0, rows, 1000):
        connection.sendall(chunk(line * min(1000, rows - start)))
    connection.sendall(b"0\r\n\r\n")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@pytest.mark.parametrize("rows", [200_000, pytest.param(1_000_000, marks=pytest.mark.torture)])
def test_a_parquet_file_of_any_size_costs_the_server_little_memory(server: Serving, tmp_path: Path, rows: int) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    file = tmp_path / "rows.parquet"
    write_parquet(file, rows)
    kind = "application/vnd.apache.parquet"
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {file.stat().st_size}\r\n"
    )
    before = most = memory_bytes(server.process.pid)
    answer = tmp_path / "answer"
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection, answer.open("wb") as out:
        connection.sendall(f"{head}Connection: close\r\n\r\n".encode())
        sender = threading.Thread(target=connection.sendall, args=(file.read_bytes(),))
        sender.start()
        while data := connection.recv(MEBIBYTE):
            out.write(data)
            most = max(most, memory_bytes(server.process.pid))
        sender.join()
    assert most - before <= 100 * MEBIBYTE
    (tmp_path / "scored.parquet").write_bytes(dechunked(answer.read_bytes().partition(b"\r\n\r\n")[2]))
    scored = parquet.read_table(tmp_path / "scored.parquet", columns=["id", "prediction"])
    assert scored["id"].to_pylist() == [f"{n:036}" for n in range(rows)]
    assert scored["prediction"].null_count == 0


def write_parquet(path: Path, rows: int) -> None:
    """One row group, as pyarrow writes a file unless told otherwise; ids that fit into no dictionary."""
    import pyarrow as pa
    from pyarrow import parquet

    values = [float(cell) for cell in FLOWERS[0].split(",")]
    flowers = {name: [value] * rows for name, value in zip(HEADER.split(","), values, strict=True)}
    parquet.write_table(pa.table({"id": [f"{n:036}" for n in range(rows)], **flowers}), path)


def dechunked(body: bytes) -> bytes:
    found: list[bytes] = []
    at = 0
    while True:
        end = body.index(b"\r\n", at)
        size = int(body[at:end], 16)
        if not size:
            return b"".join(found)
        found.append(body[end + 2 : end + 2 + size])
        at = end + 4 + size
