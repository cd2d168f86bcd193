"""wrk as a value: what to send, and what came of it."""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import pinned

ORDINARY_HEADERS = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0",
    "Accept": "*/*",
    "Accept-Encoding": "gzip, deflate, br",
    "Accept-Language": "en-GB,en;q=0.5",
    "Connection": "keep-alive",
    "Cache-Control": "no-cache",
    "Referer": "https://shop.example/checkout",
}
"""With Host, Content-Length and Content-Type, which every request here has, these make ten."""

SCRIPT = """
wrk.method = "POST"
local file = io.open("{body}", "rb")
wrk.body = file:read("*a")
file:close()
{headers}
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d %d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), e.status, e.connect + e.read + e.write + e.timeout))
end
"""
RESULT = re.compile(r"^RESULT (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)$", re.MULTILINE)


class LoadError(RuntimeError):
    """wrk did not run, or requests failed: the figures would mean nothing."""


@dataclass(frozen=True, slots=True)
class Load:
    """One kind of request, sent over a number of connections that each wait for their answer."""

    url: str
    body: bytes
    connections: int
    many_headers: bool = False
    content_type: str = "application/json"
    accept: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    requests: int
    per_s: float
    p50_ms: float
    p99_ms: float


def drive(load: Load, seconds: int, core: int | None) -> Outcome:
    """Runs the load for that long. Raises LoadError where any request was not answered 2xx."""
    with tempfile.TemporaryDirectory(prefix="foretell-wrk-") as folder:
        body, script = Path(folder, "body"), Path(folder, "post.lua")
        body.write_bytes(load.body)
        headers = {"Content-Type": load.content_type, **(ORDINARY_HEADERS if load.many_headers else {})}
        if load.accept is not None:
            headers["Accept"] = load.accept
        if load.key is not None:
            headers["Authorization"] = f"Bearer {load.key}"
        lines = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items())
        script.write_text(SCRIPT.format(body=body, headers=lines))
        command = ["wrk", "-t1", f"-c{load.connections}", f"-d{seconds}s", "--latency", "--timeout", "10s"]
        command += ["-s", str(script), load.url]
        run = subprocess.run(pinned(command, core), capture_output=True, text=True, check=False, timeout=seconds + 60)
    return outcome(load, run.stdout, run.stderr)


def outcome(load: Load, stdout: str, stderr: str) -> Outcome:
    match = RESULT.search(stdout)
    if not match:
        raise LoadError(f"wrk gave no result for {load.url}: {(stderr or stdout).strip()[:400]}")
    requests, duration_us, p50_us, p99_us, refused, broken = map(int, match.groups())
    if refused or broken or not requests:
        raise LoadError(f"{load.url}: of {requests} requests {refused} were not answered 2xx, {broken} broke off")
    return Outcome(requests, requests / duration_us * 1e6, p50_us / 1000, p99_us / 1000)
