"""A server under measurement: started on its core, waited for, stopped with everything that it started."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import ROOT, pinned

START_S = 60.0
HOST = "127.0.0.1"
FORETELL = (sys.executable, "-c", "import sys; from foretell.cli.main import main; sys.exit(main())")
"""What the `foretell` command is, wherever this Python keeps its scripts."""
QUIET = ("--no-access-log", "--log-level", "warning")


class NotStartedError(RuntimeError):
    """The server gave up or did not answer in time; the message ends with what it printed."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to start a server on a port: a command in which ``{port}`` stands for it, and what its environment adds."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    probe: str
    start_s: float = START_S

    @staticmethod
    def empty() -> Recipe:
        command = uvicorn("benchmarks.baselines.empty_asgi:app", "--loop", "uvloop", "--http", "httptools", *QUIET)
        return Recipe("empty ASGI application", command, {}, "/")

    @staticmethod
    def tutorial(model: Path) -> Recipe:
        command = uvicorn("benchmarks.baselines.tutorial_app:app", *QUIET)
        return Recipe(f"tutorial app, {model.stem}", command, {"TUTORIAL_MODEL": str(model)}, "/openapi.json")

    @staticmethod
    def foretell(
        repository: Path, workers: int = 1, default: str = "iris", settings: Mapping[str, str] | None = None
    ) -> Recipe:
        """`foretell serve` with everything on: validation, ids, one JSON log line per request, the lane.

        ``settings`` are more of them, by their environment variables.
        """
        command = [*FORETELL, "serve", str(repository), "--port", "{port}"]
        command += ["--default-model", default, "--workers", str(workers)]
        # more connections come from this one address than from callers who are not measuring
        wire = {"FORETELL_WIRE__MAX_CONNECTIONS_PER_ADDRESS": "0"}
        environment = {"FORETELL_LOG__FORMAT": "json", **wire, **(settings or {})}
        return Recipe(f"foretell, {workers} workers", command, environment, "/health/ready")

    @staticmethod
    def ordinary(repository: Path) -> Recipe:
        """The same application under plain uvicorn, which knows no lane."""
        environment = {"FORETELL_MODELS": str(repository), "FORETELL_DEFAULT_MODEL": "iris"}
        command = uvicorn("foretell.asgi:app", *QUIET)
        return Recipe(
            "foretell, ordinary way", command, {"FORETELL_LOG__FORMAT": "json", **environment}, "/health/ready"
        )


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers."""

    pid: int
    port: int
    output: Path

    def url(self, path: str) -> str:
        return f"http://{HOST}:{self.port}{path}"


def uvicorn(application: str, *options: str) -> list[str]:
    return [sys.executable, "-m", "uvicorn", application, "--app-dir", str(ROOT), "--port", "{port}", *options]


@contextmanager
def running(recipe: Recipe, core: int | None, folder: Path) -> Iterator[Server]:
    """Starts the server, waits until its probe is answered 200, and stops it at the end."""
    port = free_port()
    output = folder / f"server-{port}.log"
    with output.open("wb") as sink:
        process = launch(recipe, port, core, folder, sink.fileno())
        try:
            wait_until_ready(process, port, recipe, output)
            yield Server(process.pid, port, output)
        finally:
            stop(process)


def launch(recipe: Recipe, port: int, core: int | None, folder: Path, sink: int) -> subprocess.Popen[bytes]:
    """Starts it in the folder of the run, where no foretell.toml and no .env lies, with a state of its own."""
    command = pinned([part.replace("{port}", str(port)) for part in recipe.command], core)
    environment = {**clean_environment(), "XDG_STATE_HOME": str(folder / f"state-{port}"), **recipe.environment}
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=sink, stderr=sink, start_new_session=True)


def clean_environment() -> dict[str, str]:
    """The caller's environment without settings of Foretell and without coverage, which would be measured too."""
    dropped = ("FORETELL_", "COVERAGE_", "COV_CORE_")
    fallbacks = ("MODEL_PATH", "HOST", "PORT")
    return {k: v for k, v in os.environ.items() if not k.startswith(dropped) and k not in fallbacks}


def stop(process: subprocess.Popen[bytes]) -> None:
    """Asks politely, then ends the whole session that was started for the server: some leave processes behind."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])


def wait_until_ready(process: subprocess.Popen[bytes], port: int, recipe: Recipe, output: Path) -> None:
    request = f"GET {recipe.probe} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode()
    deadline_s = time.monotonic() + recipe.start_s
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            break
        if (status := ask(port, request)) == 200:
            return
        time.sleep(0.02 if status is None else 0.1)
    raise NotStartedError(f"{recipe.name} did not become ready: {output.read_text(errors='replace')[-800:].strip()}")


def ask(port: int, request: bytes) -> int | None:
    """The status that one request on a new connection gets; None where nobody answers."""
    try:
        with socket.create_connection((HOST, port), timeout=5) as connection:
            connection.sendall(request)
            line = connection.makefile("rb").readline().split()
    except OSError:
        return None
    return int(line[1]) if len(line) > 1 else None
