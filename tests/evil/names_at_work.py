"""Gives names that are paths to everything that takes a name, and watches every file that Python opens meanwhile.

``python -m tests.evil.names_at_work FOLDER EVERY`` works in ``FOLDER``, tells it from all the rest of the disk, gives
each verb every ``EVERY``-th name and those that begin with a slash, and prints as JSON how many were given, what was wrongly taken, and what was touched
elsewhere. A process of its own, for a hook like this one stays as long as its process.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from typer.testing import CliRunner

from foretell.cli.main import cli
from foretell.core.identity import name_fault
from foretell.core.manifest import Artifact
from foretell.errors import ForetellError
from foretell.security.gate import Gate
from foretell.security.keys.opening import serve_keys
from foretell.security.openness import stranger
from foretell.security.unlimited import Unlimited
from foretell.sources.integrity import measured, verified
from tests.asgi import Api, Shop, ready, serving
from tests.evil.paths import names

FILES = frozenset(
    {
        *("open", "os.listdir", "os.scandir", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link"),
        *("os.symlink", "os.chmod", "os.chown", "os.truncate", "os.utime", "os.chdir", "glob.glob", "shutil.rmtree"),
        "sqlite3.connect",
    }
)
ROUTES = [
    ("POST", "/api/v1/models/{}/predict"),
    ("POST", "/api/v1/models/{}/predict/batch"),
    ("POST", "/api/v1/models/{}/predict/stream"),
    ("GET", "/api/v1/models/{}"),
    ("GET", "/api/v1/models/shop/versions/{}"),
    ("POST", "/api/v1/models/shop/versions/{}/predict"),
    ("POST", "/predict/{}"),
    ("GET", "/docs/assets/{}"),
    ("GET", "/api/v1/admin/keys/{}"),
    ("DELETE", "/api/v1/admin/keys/{}"),
    ("POST", "/api/v1/admin/keys/{}/rotate"),
    ("GET", "/api/v1/admin/usage?model={}"),
    ("GET", "/health/{}"),
    ("GET", "/{}"),
]
COMMANDS = [
    ["keys", "create", "--scope", "predict", "--", "{}"],
    ["keys", "show", "--", "{}"],
    ["keys", "rotate", "--", "{}"],
    ["keys", "revoke", "--", "{}"],
    ["keys", "create", "fine", "--scope", "predict", "--model", "{}"],
    ["usage", "--model", "{}"],
    ["add", "--example", "rows.csv", "--", "{}", "model.onnx"],
]


class Watch:
    """What was touched outside a folder, of all that Python was made to touch while ``watching``."""

    def __init__(self, folder: Path) -> None:
        self._inside = str(folder) + os.sep
        self._python = tuple({f"{sys.prefix}/", f"{sys.base_prefix}/", f"{Path(__file__).parents[2]}/"})
        self.watching = False
        self.seen = 0
        self.outside: list[str] = []
        sys.addaudithook(self._hear)

    def prove(self) -> None:
        """It hears of what it is there for."""
        self.watching = True
        (Path("..") / "iris").read_bytes()
        (Path("/etc") / "passwd").read_bytes()
        self.watching = False
        assert len(self.outside) == 2, self.outside
        self.outside.clear()

    def _hear(self, event: str, given: tuple[Any, ...]) -> None:
        if not self.watching or event not in FILES or not given or isinstance(given[0], int):
            return
        self.seen += 1
        path = os.fsdecode(given[0]) if given[0] is not None else "."
        where = os.path.normpath(path if os.path.isabs(path) else self._inside + path)  # noqa: PTH117
        if (where + os.sep).startswith(self._inside) or (event == "open" and where.startswith(self._python)):
            return
        if where.startswith(("/dev/", f"/proc/{os.getpid()}/", "/proc/self/mountinfo")):
            return
        self.outside.append(f"{event} {path!r}")


def spelled(name: str) -> Iterator[str]:
    """The name, and what it comes to where somebody decodes it once more."""
    yield from dict.fromkeys((name, unquote(name), unquote(unquote(name))))


class Work:
    """Gives names away and counts."""

    def __init__(self, every: int) -> None:
        self.names = [name for index, name in enumerate(names()) if index % every == 0 or name.startswith("/")]
        self.given = 0
        self.taken: list[str] = []

    def ask(self, api: Api) -> None:
        """Over HTTP: the path as it is on the wire, and decoded."""
        loop = asyncio.new_event_loop()
        for index, name in enumerate(self.names):
            for method, template in [*ROUTES[index % 3 :: 3], *ROUTES[:1]]:
                path, _, query = template.partition("?")
                decoded = unquote(path.format(name))
                status = loop.run_until_complete(_status(api, method, decoded, query.format(quote(name))))
                self.given += 1
                if not (status in (400, 404, 405, 422) or (status == 200 and (query or name == "latest"))):
                    self.taken.append(f"{method} {template} {name!r}: {status}")
        loop.close()

    def type(self) -> None:
        """On the command line."""
        for index, name in enumerate(self.names):
            for word in list(spelled(name))[-1:]:
                self._one(COMMANDS[index % len(COMMANDS)], word)

    def _one(self, command: list[str], word: str) -> None:
        if name_fault(word) is None or "\0" in word:
            return  # a name after all; and the system hands no NUL to a process
        result = CliRunner().invoke(cli, [part.format(word) if part == "{}" else part for part in command])
        self.given += 1
        if result.exception is not None and not isinstance(result.exception, ForetellError | SystemExit):
            self.taken.append(f"{command} {word!r}: {result.exception!r}")
        elif result.exit_code == 0 and "usage" not in command:
            self.taken.append(f"{command} {word!r}")

    def state(self, folder: Path) -> None:
        """In a manifest."""
        for name in self.names:
            for word in spelled(name):
                for way in (verified(folder, [Artifact(word, "0" * 64, 1)]), measured(folder, word)):
                    self.given += 1
                    with suppress(ForetellError), way:
                        self.taken.append(f"a manifest with {word!r}")


async def _status(api: Api, method: str, path: str, query: str) -> int:
    statuses: list[int] = []
    messages = [{"type": "http.request", "body": b'{"features": [1, 0.5]}', "more_body": False}]

    async def receive() -> Any:
        return messages.pop() if messages else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope = {
        "type": "http", "method": method, "path": path, "raw_path": b"/", "query_string": query.encode(),
        "root_path": "", "http_version": "1.1", "scheme": "http", "client": ("127.0.0.1", 40000),
        "server": ("127.0.0.1", 80), "state": {"services": api.services},
        "headers": [(name.encode(), value.encode()) for name, value in api.client.headers.items()],
    }  # fmt: skip
    await api.client.app(scope, receive, send)
    return statuses[0]


def main(folder: Path, every: int) -> None:
    root = folder / "deep" / "inside"
    version = root / "models" / "shop" / "v1"
    version.mkdir(parents=True)
    for outside in ("etc/passwd", "proc/self/environ", "iris"):
        for above in (folder, folder / "deep", root):
            (above / outside).parent.mkdir(parents=True, exist_ok=True)
            (above / outside).write_text("root:", encoding="ascii")
    (root / "rows.csv").write_text("x,y\n1,2\n", encoding="ascii")
    (root / "model.onnx").write_bytes(b"no model")
    os.chdir(root)
    os.environ |= {"FORETELL_STATE": str(root / "state"), "FORETELL_MODELS": str(root / "models")}
    work, watch = Work(every), Watch(root)
    watch.prove()
    with serve_keys(root / "served") as keys:
        gate = Gate(
            {"key": keys.keyring},
            Unlimited(),
            lambda loopback: stranger("on", loopback=loopback, closed=True),
            time.time,
        )
        with serving(ready("shop v1", Shop()), gate=gate) as api:
            assert keys.admin_file is not None
            api.services.keys = keys
            api.client.headers |= {"authorization": f"Bearer {keys.admin_file.read_text(encoding='ascii').strip()}"}
            watch.watching = True
            work.ask(api)
    watch.watching = False
    for command in COMMANDS:  # what they import is no part of it
        CliRunner().invoke(cli, [part.replace("{}", "fine") for part in command])
    watch.watching = True
    work.type()
    work.state(version)
    watch.watching = False
    told = {"given": work.given, "opened": watch.seen, "outside": watch.outside, "taken": work.taken}
    print(json.dumps(told))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), int(sys.argv[2]))
