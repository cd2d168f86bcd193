"""Usage over the admin API, and ``foretell usage``."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from foretell.api.admin import router
from foretell.cli import main as entry
from foretell.errors import KeyFault
from foretell.security.gate import Gate
from foretell.security.keys.opening import Keys, serve_keys
from foretell.security.openness import stranger
from foretell.security.unlimited import Unlimited
from foretell.security.usage.ledger import Ledger, Line, day_of
from tests.asgi import Api, Shop, problem, ready, serving
from tests.usage import batch

USAGE = "/api/v1/admin/usage"
TODAY = int(time.time() / 86_400)


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[Keys]:
    with serve_keys(tmp_path / "state") as opened:
        ledger = Ledger(opened.store.database)
        ledger.add(
            batch({Line(TODAY, "key:partner-x", "acme", "iris"): [3, 30], Line(TODAY, "key:y", "y", "iris"): [1, 1]})
        )
        ledger.add(
            batch({Line(TODAY - 1, "key:partner-x", "acme", "=1+1"): [2, 2], Line(20_000, "key:y", "y", ""): [9, 0]})
        )
        yield opened


@pytest.fixture
def api(keys: Keys) -> Iterator[Api]:
    gate = Gate(
        {"key": keys.keyring}, Unlimited(), lambda loopback: stranger("auto", loopback=loopback, closed=keys.closed),
        lambda: 0.0,
    )  # fmt: skip
    with serving(ready("shop v1", Shop()), gate=gate) as served:
        served.services.keys = keys
        assert keys.admin_file is not None
        served.client.headers["authorization"] = f"Bearer {keys.admin_file.read_text().strip()}"
        yield served


def requests_of(api: Api, query: str = "") -> list[int]:
    answer = api.client.get(USAGE + query)
    assert answer.status_code == 200, answer.text
    return [line["requests"] for line in answer.json()["usage"]]


def test_the_last_thirty_days_are_shown_unless_others_are_asked_for(api: Api) -> None:
    assert requests_of(api) == [2, 3, 1]
    assert requests_of(api, f"?since={day_of(time.time())}") == [3, 1]
    assert requests_of(api, "?since=2020-01-01&key=y") == [9, 1]
    assert requests_of(api, "?since=2020-01-01&until=2024-12-31") == [9]
    assert requests_of(api, "?model=iris&key=key:partner-x") == [3]
    assert api.client.get(USAGE + "?model=iris&key=y").json() == {
        "usage": [
            {
                "day": day_of(time.time()), "principal": "key:y", "tenant": "y", "model": "iris", "requests": 1,
                "rows": 1,
            }
        ]
    }  # fmt: skip


def test_csv_is_for_spreadsheets(api: Api) -> None:
    answer = api.client.get(USAGE, headers={"accept": "text/csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    lines = list(csv.DictReader(answer.text.splitlines()))
    assert [line["model"] for line in lines] == ["'=1+1", "iris", "iris"]
    assert [line["rows"] for line in lines] == ["2", "30", "1"]


def test_what_cannot_be_asked_is_told(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    problem(api.client.get(USAGE + "?since=soon"), 400, "invalid_parameter")
    problem(api.client.get(USAGE + "?until=2026-99-99"), 400, "invalid_parameter")
    problem(api.client.get(USAGE + "?keys=x"), 400, "invalid_parameter")
    monkeypatch.setattr(router, "MAX_USAGE", 2)
    problem(api.client.get(USAGE), 400, "too_many_entries")


def test_only_the_admin_sees_it(api: Api) -> None:
    del api.client.headers["authorization"]
    problem(api.client.get(USAGE), 401, "unauthenticated")


# -- the command line --


@pytest.fixture
def state(keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FORETELL_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(line: str) -> str:
    result = CliRunner().invoke(entry.cli, line.split())
    if result.exception is not None:
        raise result.exception
    return result.stdout


def test_people_see_sums(state: Path) -> None:
    shown = [text.split() for text in said("usage").splitlines()]
    assert shown[0] == ["who", "tenant", "model", "from", "to", "requests", "rows"]
    assert shown[2][:3] + shown[2][-2:] == ["key:partner-x", "acme", "iris", "3", "30"]
    assert len(shown) == 4
    assert "Nothing was used in these days." in said("usage --key nobody")


def test_programs_get_every_line(state: Path) -> None:
    documents: list[Any] = [json.loads(text) for text in said("usage --since 2020-01-01 --json").splitlines()]
    assert [document["requests"] for document in documents] == [9, 2, 3, 1]
    lines = said("usage --since 2020-01-01 --until 2024-12-31 --csv").splitlines()
    assert lines == ["day,principal,tenant,model,requests,rows", "2024-10-04,key:y,y,,9,0"]


def test_wrong_options_are_told(state: Path) -> None:
    with pytest.raises(KeyFault, match="--csv and --json exclude each other"):
        said("usage --csv --json")
    with pytest.raises(KeyFault, match="--until 'soon' must be a date"):
        said("usage --until soon")
