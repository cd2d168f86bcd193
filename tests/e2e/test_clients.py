"""Clients as they are take the lane, and it is counted and shown (issue 2, 12)."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import Client
from tests.e2e.process import Serving, free_port, probe, started, until
from tests.tooling import find_tool

PATH = "/api/v1/models/iris/versions/v1/predict"
BODY = {"features": [5.1, 3.5, 1.4, 0.2]}
TIMES = 5

NODE = """
const [url, times] = [process.argv[2], Number(process.argv[3])];
const body = JSON.stringify({features: [5.1, 3.5, 1.4, 0.2]});
for (let i = 0; i < times; i++) {
  const answer = await fetch(url, {method: "POST", headers: {"content-type": "application/json"}, body});
  console.log(JSON.stringify(await answer.json()));
}
"""
NGINX = """\
daemon off;
master_process off;
error_log {folder}/error.log warn;
pid {folder}/nginx.pid;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream foretell {{ server 127.0.0.1:{upstream}; keepalive 8; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://foretell;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }}
  }}
}}
"""


def served(server: Serving) -> tuple[int, int]:
    """Answers of iris v1 by the lane and by the ordinary way, as the server shows them."""
    with Client(server.port) as client:
        shown = client.get("/api/v1/models/iris/versions/v1").json["execution"]["served"]
    return shown["lane"], shown["ordinary"]


def right(document: Any) -> None:
    assert (document["status"], document["prediction"], document["class_name"]) == ("success", 0, "setosa")


def by_curl(url: str, folder: Path) -> list[Any]:
    curl = find_tool("curl")
    data = ["-H", "Content-Type: application/json", "-d", json.dumps(BODY)]
    return [
        json.loads(subprocess.run([curl, "-sS", url, *data], check=True, capture_output=True, timeout=30).stdout)
        for _ in range(TIMES)
    ]


def by_requests(url: str, folder: Path) -> list[Any]:
    import requests

    with requests.Session() as session:
        return [session.post(url, json=BODY, timeout=30).json() for _ in range(TIMES)]


def by_httpx2(url: str, folder: Path) -> list[Any]:
    import httpx2

    with httpx2.Client() as client:
        return [client.post(url, json=BODY, timeout=30).json() for _ in range(TIMES)]


def by_aiohttp(url: str, folder: Path) -> list[Any]:
    import aiohttp

    async def ask() -> list[Any]:
        async with aiohttp.ClientSession() as session:
            found = []
            for _ in range(TIMES):
                async with session.post(url, json=BODY) as answer:
                    found.append(await answer.json())
            return found

    return asyncio.run(ask())


def by_node(url: str, folder: Path) -> list[Any]:
    script = folder / "ask.mjs"
    script.write_text(NODE)
    command = [find_tool("node"), str(script), url, str(TIMES)]
    run = subprocess.run(command, check=True, capture_output=True, timeout=60)
    return [json.loads(line) for line in run.stdout.splitlines()]


CLIENTS = {"curl": by_curl, "requests": by_requests, "httpx2": by_httpx2, "aiohttp": by_aiohttp, "node": by_node}


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_as_it_is_takes_the_lane(lane_server: Serving, tmp_path: Path, name: str) -> None:
    lane, ordinary = served(lane_server)
    for document in CLIENTS[name](lane_server.url + PATH, tmp_path):
        right(document)
    assert served(lane_server) == (lane + TIMES, ordinary)


@pytest.mark.parametrize("name", ["requests", "node"])
def test_without_the_lane_the_ordinary_way_is_counted(ordinary_server: Serving, tmp_path: Path, name: str) -> None:
    lane, ordinary = served(ordinary_server)
    for document in CLIENTS[name](ordinary_server.url + PATH, tmp_path):
        right(document)
    assert served(ordinary_server) == (lane, ordinary + TIMES)


@pytest.fixture
def nginx(lane_server: Serving, tmp_path: Path) -> Iterator[int]:
    """nginx in front of the server with the lane; its port."""
    program, port = find_tool("nginx"), free_port()
    config = tmp_path / "nginx.conf"
    config.write_text(NGINX.format(folder=tmp_path, upstream=lane_server.port, port=port))
    command = [program, "-p", str(tmp_path), "-c", str(config), "-e", str(tmp_path / "error.log")]
    with started(command, {"PATH": "/usr/sbin:/usr/bin:/bin"}, tmp_path / "nginx.log", tmp_path) as process:
        until(lambda: probe(port, "/health/live") == 200, f"nginx did not start, {process.poll()}")
        yield port


def test_what_comes_through_nginx_takes_the_lane(lane_server: Serving, nginx: int, tmp_path: Path) -> None:
    lane, ordinary = served(lane_server)
    for document in by_requests(f"http://127.0.0.1:{nginx}{PATH}", tmp_path):
        right(document)
    assert served(lane_server) == (lane + TIMES, ordinary)


def test_a_fault_through_nginx_stays_our_answer(nginx: int) -> None:
    with Client(nginx) as client:
        answer = client.post(PATH, {"features": [1]})
        assert (answer.status, answer.json["code"]) == (400, "wrong_feature_count")


def test_the_share_of_the_lane_is_in_the_log(lane_server: Serving) -> None:
    with Client(lane_server.port) as client:
        client.post(PATH, BODY, {"X-Request-ID": "share-lane"})
        client.post(f"{PATH}?top_k=1", BODY, {"X-Request-ID": "share-ordinary"})
    until(lambda: len(lane_server.requests("share-lane", "share-ordinary")) == 2, "two lines")
    ways = {line["request_id"]: line["lane"] for line in lane_server.requests("share-lane", "share-ordinary")}
    assert ways == {"share-lane": True, "share-ordinary": False}
