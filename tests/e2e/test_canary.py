"""A secret planted in every way in which one can come in, on a server with two workers, comes out nowhere."""

from __future__ import annotations

import json
import re
import subprocess
from base64 import b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.canary import COOKIE, MARK, descendants, files_with_secrets, look, look_at_log, look_at_processes
from tests.e2e.client import Client
from tests.e2e.process import Serving, command, environment, serving, until
from tests.report import Report
from tests.wire import Wire

SPY = '''
import os
import time

import numpy as np

MARK = b"{mark}"


def found():
    """How often this process finds the planted secret in what it was started with."""
    count = sum(MARK in value for pair in os.environb.items() for value in pair)
    count += MARK in open("/proc/self/environ", "rb").read() + open("/proc/self/cmdline", "rb").read()
    for fd in range(3, 256):
        try:
            count += MARK in os.pread(fd, 1 << 20, 0)
        except OSError:
            pass
    return count


class Spy:
    def predict(self, x: float) -> float:
        if (np.asarray(x) == 7).any():
            raise ValueError("no")
        if (np.asarray(x) == 8).any():
            time.sleep(600)
        return np.asarray(x) * 0 + found()
'''
PREDICT = "/api/v1/models/spy/predict"
KEY = f"{MARK}-key"
OWN_FORM = f"ft_k7f3m2qa_{MARK}"
BASIC = b64encode(f"me:{KEY}".encode()).decode()
CREDENTIALS: dict[str, Mapping[str, str]] = {
    "a token": {"Authorization": f"Bearer {KEY}"},
    "a key": {"Authorization": f"Bearer {OWN_FORM}"},
    "a password": {"Authorization": f"Basic {BASIC}"},
    "a key without its kind": {"Authorization": KEY},
    "a key in a header of its own": {"X-API-Key": OWN_FORM},
    "a token in a header of its own": {"X-API-Key": KEY},
    "both": {"X-API-Key": KEY, "Authorization": f"Bearer {KEY}"},
    "for a proxy": {"Proxy-Authorization": f"Basic {KEY}"},
    "cookies": {"Cookie": f"{COOKIE}; token={KEY}"},
    "where it came from": {"Referer": f"https://me:{KEY}@partner/?token={KEY}", "User-Agent": KEY},
}
EVERY = {200, 400, 401, 403, 404, 405, 406, 413, 415, 422, 500, 504}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server stands, with secrets in ``.env``, in ``foretell.toml`` and in a file of their own."""
    place = tmp_path_factory.mktemp("server") / "canary-planted"
    place.mkdir()
    version = place / "models" / "spy" / "v1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(SPY.format(mark=MARK), encoding="utf-8")
    (place / "password").write_text(f"redis://me:{MARK}-file@127.0.0.1:9/0\n", encoding="utf-8")
    (place / ".env").write_text(f"FORETELL_STATE__PEPPER={MARK}-pepper-of-32-bytes-or-more\n", encoding="utf-8")
    toml = f'[cache]\nmodels = "all"\nredis_url_file = "password"\n[rates]\nredis_url = "redis://:{MARK}@127.0.0.1:9"\n'
    (place / "foretell.toml").write_text(toml, encoding="utf-8")
    for name in ("password", ".env", "foretell.toml"):
        (place / name).chmod(0o600)
    return place


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Serving]:
    options: dict[str, Any] = {"execution__timeout_s": 2, "limits__timeout_s": 10, "limits__max_body_bytes": 65_536}
    with serving(
        folder / "models", folder, workers=2, auth__mode="on", errors__show_values=False, **options
    ) as running:
        until(lambda: len(re.findall(r'"event":"serving"|"event":"host_ready"', running.text)) >= 2, "no host came")
        yield running


@pytest.fixture(scope="module")
def keys(server: Serving) -> dict[str, str]:
    """The admin's key of the first start, and one of each kind that is refused something."""
    admin = (server.log.parent / "state" / "admin.key").read_text(encoding="utf-8").strip()
    with Client(server.port) as client:
        asked = {"name": "reader", "scopes": ["models:read"]}
        made = client.post("/api/v1/admin/keys", asked, {"Authorization": f"Bearer {admin}"})
    assert made.status == 201, made
    return {"admin": admin, "reader": made.json["key"]}


def ask(server: Serving, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> int:
    """The status of a request on a connection of its own, whose answer ``Client`` and ``Wire`` look at."""
    with Client(server.port) as client:
        return client.request(method, path, body, {"Content-Type": "application/json", **headers}).status


def rows(x: Any) -> bytes:
    return json.dumps({"features": [x]}).encode()


def test_a_secret_in_every_channel_comes_out_nowhere(server: Serving, keys: Mapping[str, str], report: Report) -> None:
    admin = {"Authorization": f"Bearer {keys['admin']}"}
    statuses = [ask(server, "POST", PREDICT, rows(1), headers) for headers in CREDENTIALS.values()]
    assert set(statuses) == {401}
    for path in ("/api/v1/models", "/health/ready", "/openapi.json", "/docs", "/nothing", "/api/v1/security"):
        query = f"?api_key={KEY}&access_token={KEY}&{KEY}=1"
        statuses += [ask(server, "GET", path + query, None, headers) for headers in (*CREDENTIALS.values(), admin)]
    planted = {**CREDENTIALS["cookies"], **CREDENTIALS["where it came from"], **admin}
    cases: list[tuple[str, str, bytes | None, Mapping[str, str]]] = [
        ("POST", PREDICT, rows(1), {}),
        ("POST", PREDICT, rows(KEY), {}),
        ("POST", PREDICT, json.dumps({"features": {"x": KEY}}).encode(), {}),
        ("POST", f"{PREDICT}/batch", json.dumps({"instances": [[1], [KEY], [{"x": KEY}]]}).encode(), {}),
        ("POST", PREDICT, b'{"features": ["' + KEY.encode(), {}),
        ("POST", PREDICT, KEY.encode(), {}),
        ("POST", PREDICT, b"x\n" + KEY.encode(), {"Content-Type": "text/csv"}),
        ("POST", PREDICT, rows(1), {"Content-Type": "application/x-secret"}),
        ("POST", PREDICT, rows(1), {"Accept": "application/x-secret"}),
        ("POST", PREDICT, rows(KEY * 5000), {}),
        ("POST", PREDICT, rows(1), {"X-Padding": KEY * 5000}),
        ("POST", PREDICT, rows(7), {}),
        ("POST", PREDICT, rows(8), {"X-Request-Timeout": "1"}),
        ("DELETE", PREDICT, None, {}),
        ("GET", "/nothing", None, {}),
        ("POST", "/api/v1/admin/keys", json.dumps({"name": "x", "password": KEY}).encode(), {}),
        ("POST", "/api/v1/admin/keys", json.dumps({"name": "x", "rates": [KEY]}).encode(), {}),
        ("POST", "/api/v1/admin/keys", json.dumps({"name": "x", "scopes": [KEY], "expires": KEY}).encode(), {}),
        ("GET", "/api/v1/admin/keys", None, {}),
        ("GET", "/api/v1/admin/audit", None, {}),
        ("GET", "/api/v1/security", None, {}),
    ]
    statuses += [ask(server, method, path, body, {**planted, **more}) for method, path, body, more in cases]
    statuses.append(ask(server, "POST", PREDICT, rows(1), {"X-API-Key": keys["reader"], "Cookie": COOKIE}))
    assert set(statuses) >= EVERY, sorted(EVERY - set(statuses))
    with Wire(server.port) as wire:  # what never becomes a request
        wire.send(f"GET / HTTP/1.1\r\nAuthorization : Bearer {KEY}\r\n\r\n".encode())
        assert wire.answer().status == 400
    look_at_log(server.log.read_bytes(), "the log")
    report(
        "A secret planted in every input channel appears in no answer, log, process or file",
        requests=len(statuses) + 1,
        statuses=len(set(statuses)),
        bar="0 found",
    )


def test_a_hosted_model_was_given_no_secret(server: Serving, keys: Mapping[str, str]) -> None:
    with Client(server.port) as client:
        answer = client.post(PREDICT, {"features": [1]}, {"Authorization": f"Bearer {keys['admin']}"})
    assert (answer.status, answer.json["prediction"]) == (200, 0.0), answer


def test_no_process_shows_a_secret_or_leaves_a_core_dump(server: Serving) -> None:
    look_at_processes(server.process.pid)
    processes = [server.process.pid, *descendants(server.process.pid)]
    assert len(processes) >= 4  # the parent, two workers, the host
    for pid in processes:
        limits = Path(f"/proc/{pid}/limits").read_text(encoding="utf-8")
        assert re.search(r"Max core file size +0 +0 ", limits), (pid, limits)


def test_the_state_holds_no_secret(server: Serving, keys: Mapping[str, str]) -> None:
    state = server.log.parent / "state"
    assert keys["admin"]
    assert list(files_with_secrets(state)) == []
    reader = keys["reader"].encode()
    assert [path.name for path in state.iterdir() if path.is_file() and reader in path.read_bytes()] == []


URLS = {
    "a database that is not there": ("STATE__URL", f"postgresql://me:{KEY}@127.0.0.1:9/foretell?connect_timeout=2"),
    "no address of a database": ("STATE__URL", f"mysql://me:{KEY}@127.0.0.1/x"),
    "a database whose address is damaged": ("STATE__URL", f"postgresql://me:{KEY}@[::1/x"),
    "no address of a Redis": ("CACHE__REDIS_URL", f"http://me:{KEY}@127.0.0.1"),
    "a port that is none": ("CACHE__REDIS_URL", f"redis://me:{KEY}@127.0.0.1:{KEY}"),
    "a Redis to count in that is none": ("RATES__REDIS_URL", f"{KEY}://127.0.0.1"),
    "a pepper that is too short": ("STATE__PEPPER", MARK),
    "a secret for a file": ("CACHE__SECRET_FILE", KEY),
}


@pytest.mark.parametrize("name", URLS)
def test_no_start_that_fails_shows_a_secret(tmp_path: Path, name: str) -> None:
    setting, value = URLS[name]
    given = {f"FORETELL_{setting}": value, "FORETELL_STATE": str(tmp_path / "state")}
    environ = environment(**given, FORETELL_DEBUG="1")  # with the traceback
    if setting.startswith("CACHE__SECRET"):
        del environ["FORETELL_CACHE__SECRET"]
    models = tmp_path / "canary-planted" / "spy" / "v1"
    models.mkdir(parents=True)
    (models / "model.py").write_text(SPY.format(mark=MARK), encoding="utf-8")
    arguments = [*command(), "serve", str(models), "--port", "0"]
    ran = subprocess.run(arguments, env=environ, cwd=tmp_path, capture_output=True, timeout=60, check=False)
    assert ran.returncode != 0, ran
    assert ran.stderr
    look(ran.stdout + ran.stderr, f"what `foretell serve` said of {name}")
