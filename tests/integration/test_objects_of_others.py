"""What belongs to one caller, asked for by every other kind of caller: nothing of it shows, and nothing happens to it
(faults.md, row 67)."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from foretell.security.gate import Gate
from foretell.security.keys.opening import serve_keys
from foretell.security.openness import stranger
from foretell.security.unlimited import Unlimited
from tests.asgi import Api, Shop, ready, serving
from tests.report import Report

ADMIN = "/api/v1/admin"
THEIRS = {"model": "atlas", "tenant": "tenant-of-alpha", "name": "alpha-partner"}
NOBODYS = {"model": "nilas", "tenant": "tenant-of-nobody", "name": "nobody-at-all"}
KIND = {"content-type": "application/x-ndjson"}
FAR = ("203.0.113.7", 40000)
ROLES: dict[str, dict[str, Any] | None] = {
    "stranger": None,
    "may predict": {"scopes": ["predict"], "models": ["borealis"]},
    "may look": {"scopes": ["predict", "models:read"], "models": ["borealis"]},
    "may write": {"scopes": ["predict", "jobs", "models:read", "models:write", "metrics"], "models": ["borealis"]},
    "of the same tenant": {"scopes": ["predict", "models:read"], "models": ["borealis"], "tenant": THEIRS["tenant"]},
}
OBJECTS = [
    ("GET", "/api/v1/models/{model}"),
    ("GET", "/api/v1/models/{model}/versions/v1"),
    ("POST", "/api/v1/models/{model}/predict"),
    ("POST", "/api/v1/models/{model}/predict/batch"),
    ("POST", "/api/v1/models/{model}/predict/stream"),
    ("POST", "/api/v1/models/{model}/versions/v1/predict"),
    ("POST", "/api/v1/models/{model}/versions/v1/predict/batch"),
    ("POST", "/api/v1/models/{model}/versions/v1/predict/stream"),
    ("GET", ADMIN + "/keys/{name}"),
    ("GET", ADMIN + "/keys/{id}"),
    ("DELETE", ADMIN + "/keys/{name}"),
    ("DELETE", ADMIN + "/keys/{id}"),
    ("POST", ADMIN + "/keys/{id}/rotate"),
    ("POST", ADMIN + "/keys/{name}/rotate"),
    ("GET", ADMIN + "/usage?key=key:{name}"),
    ("GET", ADMIN + "/usage?model={model}"),
]
LISTS = [
    ADMIN + "/keys",
    ADMIN + "/audit",
    ADMIN + "/usage",
    "/api/v1/models",
    "/api/v1/security",
    "/openapi.json",
    "/",
]


class World(NamedTuple):
    """The application, the admin's key, one for each role, and the id of the key that is not theirs."""

    api: Api
    admin: str
    keys: dict[str, str]
    id: str

    def ask(self, method: str, path: str, key: str | None) -> Any:
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        row = {"features": [[1, 0.5]]} if path.endswith("batch") else {"features": [1, 0.5]}
        if path.endswith("stream"):
            return self.api.client.request(method, path, content=b'{"x": 1}\n', headers=headers | KIND)
        return self.api.client.request(method, path, headers=headers, json=row if method == "POST" else None)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with serve_keys(tmp_path / "state") as keys:
        gate = Gate(
            {"key": keys.keyring},
            Unlimited(),
            lambda loopback: stranger("on", loopback=loopback, closed=keys.closed),
            time.time,
        )
        with serving(
            ready(f"{THEIRS['model']} v1", Shop()), ready("borealis v1", Shop()), gate=gate, caller=FAR
        ) as api:
            assert keys.admin_file is not None
            api.services.keys = keys
            admin = keys.admin_file.read_text(encoding="ascii").strip()
            grants: dict[str, dict[str, Any]] = {
                THEIRS["name"]: {"scopes": ["predict"], "models": [THEIRS["model"]], "tenant": THEIRS["tenant"]}
            }
            grants |= {role.replace(" ", "-"): grant for role, grant in ROLES.items() if grant is not None}
            made: dict[str, Any] = {}
            for name, grant in grants.items():
                answer = api.client.post(
                    f"{ADMIN}/keys", json={"name": name, **grant}, headers={"authorization": f"Bearer {admin}"}
                )
                assert answer.status_code == 201, answer.text
                made[name] = answer.json()
            yield World(
                api, admin, {name: document["key"] for name, document in made.items()}, made[THEIRS["name"]]["id"]
            )


def said(answer: Any) -> str:
    """All of an answer but what differs from request to request."""
    headers = {name: value for name, value in answer.headers.items() if name not in ("x-request-id", "date")}
    text: str = answer.text.replace(answer.headers["x-request-id"], "")
    return f"{answer.status_code} {headers} {text}"


def test_what_is_anothers_does_not_show_and_stays_as_it_is(world: World, report: Report) -> None:
    theirs, nobodys = {**THEIRS, "id": world.id}, {**NOBODYS, "id": "zzzzzzzz"}
    leaks: list[str] = []
    asked = 0
    before = said(world.ask("GET", f"{ADMIN}/keys", world.admin))
    for role, (method, path) in itertools.product(ROLES, OBJECTS):
        key = world.keys.get(role.replace(" ", "-"))
        told = said(world.ask(method, path.format_map(theirs), key))
        other = said(world.ask(method, path.format_map(nobodys), key))
        asked += 1
        for name in THEIRS:  # what the caller itself has named may come back
            other = other.replace(nobodys[name], theirs[name])
        if not told.startswith(("401", "403", "404")) or told.replace(world.id, "") != other.replace("zzzzzzzz", ""):
            leaks.append(f"{role}: {method} {path}: {told} {other}")
    for role, path in itertools.product(ROLES, LISTS):
        told = said(world.ask("GET", path, world.keys.get(role.replace(" ", "-"))))
        asked += 1
        if any(each in told for each in (world.id, *THEIRS.values())):
            leaks.append(f"{role}: {path}: {told[:300]}")
    report(
        "What belongs to one caller, asked for by others: keys, models, usage, lists",
        bar="0 leaks: as if it were not there",
        roles=len(ROLES),
        asked=asked,
        leaks=len(leaks),
    )
    assert not leaks
    assert said(world.ask("GET", f"{ADMIN}/keys", world.admin)) == before, "nothing happened to it"


def test_whoever_may_sees_what_there_is_so_that_the_rest_shows_something(world: World) -> None:
    theirs = {**THEIRS, "id": world.id}
    for method, path in OBJECTS:
        if "{model}" in path and "/models/" in path:
            scopes = world.keys[THEIRS["name"]] if method == "POST" else world.admin
            assert world.ask(method, path.format_map(theirs), scopes).status_code == 200, path
    assert THEIRS["tenant"] in world.ask("GET", f"{ADMIN}/keys/{world.id}", world.admin).text
    assert THEIRS["name"] in world.ask("GET", f"{ADMIN}/keys", world.admin).text
    assert world.ask("DELETE", f"{ADMIN}/keys/{world.id}", world.admin).status_code == 200
