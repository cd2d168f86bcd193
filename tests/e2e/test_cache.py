"""Remembered answers end to end: by the lane and the ordinary way the bytes that a server without a cache gives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.client import Client, stable
from tests.e2e.expected import check_single
from tests.e2e.models import Model, Repository
from tests.e2e.process import Serving, serving, until

NAMES = ["iris", "diabetes", "breast-cancer", "preferences", "species", "customers", "unlucky", "margin", "pair"]


@pytest.fixture(scope="module")
def remembering_lane(repository: Repository, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("remembering")
    with serving(repository.models, folder, default_model="iris", cache__models="all") as server:
        yield server


@pytest.fixture(scope="module")
def remembering_ordinary(repository: Repository, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("remembering-ordinary")
    with serving(repository.models, folder, lane=False, default_model="iris", cache__models="all") as server:
        yield server


@pytest.fixture(params=["lane", "ordinary"])
def remembering(request: pytest.FixtureRequest) -> Serving:
    found: Serving = request.getfixturevalue(f"remembering_{request.param}")
    return found


@pytest.mark.parametrize("name", NAMES)
def test_remembered_or_not_the_bytes_are_those_of_a_server_without_a_cache(
    remembering: Serving, ordinary_server: Serving, repository: Repository, name: str
) -> None:
    model: Model = repository.find(name)
    path = f"/api/v1/models/{name}/versions/v1/predict"
    with Client(remembering.port) as client, Client(ordinary_server.port) as plain:
        for index in range(4):
            row = model.take(1, index)
            body = {"features": model.lists(row)[0]}
            wanted = plain.post(path, body)
            answers = [client.post(path, body, {"X-Request-ID": f"{name}-{index}-{i}"}) for i in range(3)]
            assert [answer.headers["x-cache"] for answer in answers][1:] == ["hit", "hit"]
            for i, answer in enumerate(answers):
                check_single(answer, model, row)
                assert stable(answer) == stable(wanted)
                assert answer.headers.keys() == wanted.headers.keys() | {"x-cache"}
                assert answer.headers["x-request-id"] == f"{name}-{index}-{i}"
    ids = [f"{name}-0-{i}" for i in range(3)]
    until(lambda: len(remembering.requests(*ids)) == 3, "three lines")
    lines = {line["request_id"]: line for line in remembering.requests(*ids)}
    assert [lines[each].get("batch_rows") for each in ids][1:] == [0, 0]
