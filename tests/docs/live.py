"""What a reader does with a page: a shell, a server started from it, a notebook. Everything in real processes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SHOWN_PORT = 8000
START_S = 60.0
CELLS = """
import ast, contextlib, io, json, sys, traceback
names = {"__name__": "__main__"}
for line in sys.stdin:
    tree, printed, error = ast.parse(json.loads(line)), io.StringIO(), None
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        show = ast.parse("(lambda value: value is None or print(value))(0)").body[0]
        show.value.args[0] = tree.body[-1].value
        tree.body[-1] = ast.copy_location(show, tree.body[-1])
    with contextlib.redirect_stdout(printed):
        try:
            exec(compile(ast.fix_missing_locations(tree), "cell", "exec"), names)
        except Exception:
            error = traceback.format_exc()
    print(json.dumps({"printed": printed.getvalue(), "error": error}), flush=True)
"""


@dataclass(frozen=True, slots=True)
class Live:
    """A server that was started as a page says, on a port of its own."""

    port: int
    log: Path


def environment() -> dict[str, str]:
    """The environment of a reader: nothing set for Foretell, the project's commands on the path."""
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith("FORETELL_") and k not in ("HOST", "PORT", "MODEL_PATH")
    }
    return {**kept, "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")]), "COLUMNS": "120"}


def shell(code: str, folder: Path, port: int) -> str:
    """What a shell prints for ``code``, with the port that pages show in place of the real one."""
    real = code.replace(f":{SHOWN_PORT}", f":{port}")
    command = ["bash", "-euo", "pipefail", "-c", real]
    run = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert run.returncode == 0 or "foretell" in code, f"{real}\n{run.stdout}{run.stderr}"
    return as_shown(run.stdout, folder, port)


def as_shown(printed: str, folder: Path, port: int) -> str:
    """What was printed, with the folder and the port of the page instead of those of this run."""
    printed = printed.replace(f"{folder}/", "")
    # before a server runs there is no port to hide, and ":0" may be the beginning of a digest
    return printed.replace(f":{port}", f":{SHOWN_PORT}") if port else printed


@contextmanager
def serving(arguments: Sequence[str], folder: Path) -> Iterator[Live]:
    """``foretell serve ARGUMENTS`` on a free port, until its readiness is green; stopped at the end."""
    port = free_port()
    log = folder / f"serve-{port}.log"
    command = [sys.executable, "-m", "foretell", "serve", *arguments, "--port", str(port)]
    with log.open("wb") as sink:
        process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=sink, stderr=sink)
        try:
            wait_until_ready(process, port, log)
            yield Live(port, log)
        finally:
            process.terminate()
            process.wait(timeout=30)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            threading.Event().wait(0.05)
    raise AssertionError(f"the server did not become ready:\n{log.read_text()}")


@contextmanager
def notebook(folder: Path) -> Iterator[Notebook]:
    """A Python that runs cells one after the other, in a process of its own."""
    command = [sys.executable, "-c", CELLS]
    process = subprocess.Popen(
        command, cwd=folder, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        yield Notebook(process, folder)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=30)


@dataclass(frozen=True, slots=True)
class Notebook:
    process: subprocess.Popen[str]
    folder: Path

    def run(self, code: str, port: int) -> str:
        """What the cell prints; a last line that is an expression shows its value."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(code.replace(f":{SHOWN_PORT}", f":{port}")) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert answer["error"] is None, f"{code}\n{answer['error']}"
        return as_shown(answer["printed"], self.folder, port)
