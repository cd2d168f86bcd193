"""A real nginx in front: who is believed to call, and whether the two ever disagree on where a request ends."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from foretell.core.access.principal import Principal
from foretell.security.unlimited import Unlimited
from tests.evil import smuggling
from tests.evil.client import connect, talk
from tests.gates import gate
from tests.serving import Running, running, until
from tests.tooling import find_tool
from tests.wire import Wire, get, post

ROW = b'{"features": [1, 2]}'
CONFIGURATION = """
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 512; }}
http {{
    log_format ids '$request_id $upstream_status';
    access_log {folder}/access.log ids;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_header_timeout 2;
    client_body_timeout 2;
    keepalive_timeout 2;
    upstream foretell {{ server 127.0.0.1:{upstream}; keepalive 8; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://foretell;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Request-ID $request_id;
        }}
        location /upgraded {{
            proxy_pass http://foretell/api/v1/predict;
            proxy_http_version 1.1;
            proxy_set_header Connection "Upgrade";
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header X-Request-ID $request_id;
        }}
    }}
}}
"""


class Addresses(Unlimited):
    """Charges nobody, and keeps who was to be charged."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def spend(self, principal: Principal, address: str, model: str | None, requests: int, rows: int) -> bool:
        self.seen.append(address)
        return super().spend(principal, address, model, requests, rows)


class Nginx:
    """nginx before a server; ``forwarded`` are the ids of the requests it handed on."""

    def __init__(self, folder: Path, upstream: int) -> None:
        from tests.e2e.process import free_port

        self.folder, self.port = folder, free_port()
        user = "user root;" if os.geteuid() == 0 else ""
        text = CONFIGURATION.format(folder=folder, upstream=upstream, port=self.port, user=user)
        (folder / "nginx.conf").write_text(text, encoding="utf-8")
        command = [find_tool("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf")]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        until(self._listens)

    def _listens(self) -> bool:
        assert self._process.poll() is None, (self.folder / "error.log").read_text(encoding="utf-8")
        try:
            connect(self.port).close()
        except OSError:
            return False
        return True

    @property
    def forwarded(self) -> list[str]:
        lines = (self.folder / "access.log").read_text(encoding="utf-8").split("\n")
        return [line.partition(" ")[0] for line in lines if line and not line.endswith(" -")]

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)


@pytest.fixture(params=[True, False], ids=["lane", "ordinary"])
def limiter_and_server(request: pytest.FixtureRequest) -> Iterator[tuple[Addresses, Running]]:
    limiter = Addresses()
    wall = gate(mode="off", limiter=limiter)
    proxy, wire = {"trusted": "127.0.0.1"}, {"max_connections_per_address": 1}
    with running(lane=request.param, gate=wall, proxy=proxy, wire=wire, keep_alive_s=65) as server:
        yield limiter, server


@pytest.fixture
def nginx(limiter_and_server: tuple[Addresses, Running], tmp_path: Path) -> Iterator[Nginx]:
    started = Nginx(tmp_path, limiter_and_server[1].port)
    yield started
    started.stop()


def test_callers_behind_nginx_are_told_apart_and_cannot_name_themselves(
    limiter_and_server: tuple[Addresses, Running], nginx: Nginx
) -> None:
    limiter, server = limiter_and_server
    for source in ("127.0.0.7", "127.0.0.8"):
        lines = ["X-Forwarded-For: 6.6.6.6", "Forwarded: for=6.6.6.6", "X-Real-IP: 6.6.6.6", "Connection: close"]
        got = talk(nginx.port, post("/predict", ROW, *lines, host="api.example.com"), source=source)
        assert got.statuses == (200,)
    assert sorted(set(limiter.seen)) == ["127.0.0.7", "127.0.0.8"]
    direct = post("/predict", ROW, "X-Forwarded-For: 6.6.6.6", "Connection: close")
    assert talk(server.port, direct, source="127.0.0.9").statuses == (200,)
    assert set(limiter.seen) == {"127.0.0.7", "127.0.0.8", ""}, "who calls directly is on this machine"


def test_nginx_and_the_server_agree_on_every_request(
    limiter_and_server: tuple[Addresses, Running], nginx: Nginx
) -> None:
    _, server = limiter_and_server
    for case in smuggling.cases():
        got = talk(nginx.port, case.data, wait_s=0.05)
        assert not {500, 502, 503, 504} & {*got.statuses}, (case.name, got)
    for upgrade in smuggling.UPGRADES:
        head = b"POST /upgraded HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: " + upgrade
        got = talk(
            nginx.port, head + b"\r\nContent-Length: %d\r\n\r\n" % len(smuggling.HIDDEN) + smuggling.HIDDEN, wait_s=0.3
        )
        assert got.statuses[:1] == (400,), got
    for _ in range(20):  # connections that were kept still begin where a request does
        with Wire(nginx.port) as wire:
            wire.send(get("/health/live", "Connection: close"))
            assert wire.answer().status == 200
    time.sleep(0.2)
    ids = server.observer.ids
    assert len(ids) == len(set(ids)), "one request was taken for two"
    assert set(ids) <= set(nginx.forwarded), "a request that nginx never sent"
    assert len(ids) > 20
