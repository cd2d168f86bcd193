"""Keys on real servers: a first start, several workers, and changes that reach all of them."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from foretell.security.keys.following import POLL_S
from tests.e2e.process import Serving, command, environment, serving, until
from tests.limited import iris
from tests.report import Report
from tests.wire import Wire, get, post

SINGLE = json.dumps({"features": [5.1, 3.5, 1.4, 0.2]}).encode()
MANY = 16


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return iris(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(repository, tmp_path_factory.mktemp("server"), workers=2) as running:
        yield running


def state_of(server: Serving) -> Path:
    return server.log.parent / "state"


def foretell(server: Serving, *arguments: str) -> str:
    """What the command line prints, beside the server."""
    run = subprocess.run(
        [*command(), *arguments],
        env=environment(FORETELL_STATE=str(state_of(server))),
        cwd=server.log.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout.strip()


def predict(server: Serving, key: str | None) -> int:
    """The status of a prediction on a connection of its own."""
    with Wire(server.port) as wire:
        credential = [] if key is None else [f"Authorization: Bearer {key}"]
        wire.send(post("/api/v1/predict", SINGLE, *credential))
        return wire.answer().status


def statuses(server: Serving, key: str | None) -> set[int]:
    """Those of so many connections that each worker has several."""
    return {predict(server, key) for _ in range(MANY)}


def test_a_key_opens_every_worker_and_its_end_reaches_every_one(server: Serving, report: Report) -> None:
    assert statuses(server, None) == {200}, "this machine is served without a key until there is one"
    key = foretell(server, "keys", "create", "partner-x", "--scope", "predict", "--model", "iris")
    assert statuses(server, key) == {200}, "it is known the moment after it was made"
    until(lambda: statuses(server, None) == {401}, "the first key did not close every worker", 10)

    with Wire(server.port) as kept:  # a connection whose key was looked up before
        kept.send(post("/api/v1/predict", SINGLE, f"Authorization: Bearer {key}"))
        assert kept.answer().status == 200
        foretell(server, "keys", "revoke", "partner-x")
        revoked_s = time.monotonic()
        until(lambda: statuses(server, key) == {401}, "the revocation did not reach every worker", 10)
        report(
            "A revocation reaches every worker",
            bar="2 s",
            workers=2,
            looked_every_s=POLL_S,
            refused_everywhere_after_s=time.monotonic() - revoked_s,
        )
        assert 2 * POLL_S < 2, "two looks have to fit into two seconds"
        kept.send(post("/api/v1/predict", SINGLE, f"Authorization: Bearer {key}"))
        assert kept.answer().status == 401
    assert statuses(server, None) == {401}, "the end of the last key opens nothing"


def test_the_first_start_makes_one_admins_key_and_never_shows_it(server: Serving) -> None:
    path = state_of(server) / "admin.key"
    assert path.stat().st_mode & 0o777 == 0o600
    key = path.read_text().strip()
    said = {event["event"]: event for event in server.events()}
    assert said["admin_key_made"]["path"] == said["serving"]["admin_key"] == str(path)
    with Wire(server.port) as wire:
        wire.send(get("/api/v1/admin/keys", f"X-API-Key: {key}"))
        listed = wire.answer()
        wire.send(get("/api/v1/admin/keys"))
        assert wire.answer().status == 401
    assert [entry["name"] for entry in listed.json["keys"]].count("admin") == 1
    assert key not in server.text and key.split("_")[2] not in server.text


def test_a_restart_remembers_keys_and_that_it_is_closed(repository: Path, tmp_path: Path) -> None:
    with serving(repository, tmp_path) as server:
        key = foretell(server, "keys", "create", "partner-x")
        # until then whoever carries a key is let in like all others
        until(lambda: predict(server, None) == 401, "the first key did not close the server", 10)
        assert predict(server, key) == 200
        admin = (state_of(server) / "admin.key").read_text()
    with serving(repository, tmp_path) as server:
        assert (predict(server, None), predict(server, key)) == (401, 200)
        assert (state_of(server) / "admin.key").read_text() == admin
        (used,) = json.loads(foretell(server, "keys", "show", "partner-x", "--json"))["keys"]
        assert used["last_used"] is not None, "written down at the stop"


def test_a_state_that_cannot_be_used_stops_the_start_with_words(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / "foretell.db").write_bytes(b"this is no database" * 1000)
    run = subprocess.run(
        [*command(), "serve", str(repository), "--port", "0"],
        env=environment(FORETELL_STATE=str(tmp_path / "state")),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.returncode == 74, run.stderr
    assert "foretell.db is damaged" in run.stderr and "restore it from a backup" in run.stderr
    assert (tmp_path / "state" / "foretell.db").read_bytes().startswith(b"this is no database")
