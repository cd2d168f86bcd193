"""A real PostgreSQL of the tests' own, on a free port of this machine, that can be stopped and started again."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from tests.tooling import miss

WAIT_S = 60.0
_numbers = count()


class PostgresServer:
    """One server process, whose data goes with it."""

    def __init__(self, programs: Path, folder: Path, user: str | None) -> None:
        self._programs = programs
        self._folder = folder
        self._user = user
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port: int = found.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        """The empty data folder. Nothing is forced to disk: the tests do not cut the power."""
        command = ["initdb", "--pgdata", "data", "--auth", "trust", "--username", "tester", "--encoding", "UTF8"]
        subprocess.run(
            [str(self._programs / command[0]), *command[1:], "--no-sync", "--locale", "C"],
            **self._as_user(),
            check=True,
            capture_output=True,
        )

    def start(self) -> None:
        """Returns when it answers."""
        options = [
            "-c",
            "fsync=off",
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            f"unix_socket_directories={self._folder}",
        ]
        self._process = subprocess.Popen(
            [str(self._programs / "postgres"), "-D", "data", "-p", str(self.port), *options],
            **self._as_user(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                self.connect("postgres").close()
            except Exception:
                assert time.monotonic() < deadline, "PostgreSQL did not come up"
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """At once, as when its host is gone."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(WAIT_S)
            self._process = None

    def connect(self, database: str) -> Any:
        """A connection of the driver's own."""
        import psycopg

        return psycopg.connect(
            f"postgresql://tester@127.0.0.1:{self.port}/{database}", autocommit=True, connect_timeout=5
        )

    def database(self) -> str:
        """The URL of a new database."""
        name = f"test{next(_numbers)}"
        with self.connect("postgres") as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql://tester:a-password@127.0.0.1:{self.port}/{name}"

    def _as_user(self) -> dict[str, Any]:
        # PostgreSQL refuses to run as root
        return {"cwd": self._folder, **({} if self._user is None else {"user": self._user, "extra_groups": []})}


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A server that runs. Skips the test where there is none on this machine, or fails it in CI."""
    programs = _programs()
    if programs is None:
        miss("needs PostgreSQL: sudo apt-get install postgresql")
    user = "postgres" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        if user is not None:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        server = PostgresServer(programs, folder, user)
        server.make()
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _programs() -> Path | None:
    """The folder of initdb and postgres, which Debian keeps off the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    if on_path is not None and not found:
        found = [Path(on_path).resolve()]
    return found[-1].parent if found else None
