"""A real `foretell serve`, or another ASGI server around our application, as a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.canary import look_at_log, look_at_processes, server_environment
from tests.wire import Wire, get

START_S = 60.0
STOP_S = 40.0
POLL_S = 0.01
KEEP_ALIVE_S = 60


def until(condition: Callable[[], Any], why: str, within_s: float = 30.0) -> Any:
    """Waits for the condition to give something true, and gives it; fails saying ``why`` after ``within_s``."""
    deadline = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{why}: not within {within_s:g} s"
        time.sleep(POLL_S)
    return found


def free_port() -> int:
    """A port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Serving:
    """A server that runs. ``log`` is what it wrote, standard output and error together."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    lane: bool
    models: Path | None = None
    _events: list[dict[str, Any]] = field(default_factory=list, repr=False)
    _read: tuple[int, int] = field(default=(0, 0), repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def events(self) -> list[dict[str, Any]]:
        """Every whole line of the log that is JSON. What was read before is not read again: logs get long."""
        if not self.log.exists():
            return []
        with self.log.open("rb") as file:
            inode, done = self._read
            now = os.fstat(file.fileno())
            if now.st_ino != inode or now.st_size < done:
                self._events, done = [], 0
            file.seek(done)
            lines = file.read()
        whole = lines[: lines.rfind(b"\n") + 1]
        self._read = now.st_ino, done + len(whole)
        texts = whole.decode("utf-8", errors="replace").splitlines()
        self._events += [json.loads(line) for line in texts if line.startswith("{") and line.endswith("}")]
        return self._events[:]

    def requests(self, *ids: str) -> list[dict[str, Any]]:
        """The request lines of these ids, in the order of the log; of all requests where no id is given."""
        return [
            event for event in self.events() if event["event"] == "request" and (not ids or event["request_id"] in ids)
        ]

    def ready(self) -> bool:
        """Whether the readiness probe says so."""
        return probe(self.port, "/health/ready") == 200

    def tell(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Asks the server to stop and waits for it; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        """Waits for the server to end by itself; its exit code."""
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_S)
            raise AssertionError(f"it did not stop:\n{self.text[-4000:]}") from None


def children(server: Serving) -> list[int]:
    """The process ids of the workers."""
    found = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()
    return [int(pid) for pid in found.split()]


def probe(port: int, path: str) -> int | None:
    """The status of a GET, None where nobody answers."""
    try:
        with Wire(port, wait_s=10) as wire:
            wire.send(get(path, "Connection: close"))
            return wire.answer().status
    except (OSError, EOFError):
        return None


def environment(**more: str) -> dict[str, str]:
    """This process's environment without settings of Foretell's own, and with few native threads."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("FORETELL_") and name not in ("MODEL_PATH", "HOST", "PORT")
    }
    return {**kept, "PYTHONUNBUFFERED": "1", "FORETELL_LOG__FORMAT": "json", **server_environment(), **more}


def setting_variables(settings: Mapping[str, Any]) -> dict[str, str]:
    """Settings by dotted key as environment variables."""
    return {
        "FORETELL_" + key.upper().replace(".", "__"): str(value).lower() if isinstance(value, bool) else str(value)
        for key, value in settings.items()
    }


def command() -> list[str]:
    """How the command line is called, in this very environment."""
    return [sys.executable, "-m", "foretell"]


@contextmanager
def serving(
    models: Path | None,
    folder: Path,
    *,
    options: Sequence[str] = (),
    lane: bool = True,
    log_to: Path | None = None,
    **settings: Any,
) -> Iterator[Serving]:
    """`foretell serve MODELS` on a free port, ready. ``settings`` by key, ``__`` for the dot.

    Its log and its state are in ``folder``, the latter in ``state``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "output.log"
    # the default of five seconds is little on a busy machine; whoever tests idle connections says how long they may be
    dotted = {"keep_alive_s": KEEP_ALIVE_S} | {key.replace("__", "."): value for key, value in settings.items()}
    if log_to is not None:
        dotted["log.path"] = log = log_to
    arguments = [*command(), "serve", *([] if models is None else [str(models)]), "--port", "0", *options]
    if not lane:
        arguments.append("--no-lane")
    env = environment(**{"FORETELL_STATE": str(folder / "state"), **setting_variables(dotted)})
    with started(arguments, env, folder / "output.log", folder) as process:
        server = Serving(process, 0, log, lane, models)
        server.port = until(lambda: _port_of(server), f"`{' '.join(arguments)}` did not start", START_S)
        yield server
        look_at_processes(process.pid)
        assert process.poll() is None or process.returncode == 0, f"it ended by itself:\n{server.text[-4000:]}"


@contextmanager
def started(
    arguments: Sequence[str], env: Mapping[str, str], log: Path, folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that writes to ``log`` and is ended with the block, by its pid."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            list(arguments), cwd=folder, env=dict(env), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_S)
        look_at_log(log.read_bytes(), f"what {' '.join(arguments[:4])} wrote")


def _port_of(server: Serving) -> int | None:
    assert server.process.poll() is None, f"exit code {server.process.returncode}:\n{server.text[-4000:]}"
    found = re.search(r'"event":"serving".*?"url":"https?://[^/"]+:(\d+)"', server.text)
    return int(found[1]) if found else None
