"""Real servers for the end-to-end tests: one with the lane and one without, over one repository trained once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.client import Client
from tests.e2e.models import Model, Repository
from tests.e2e.process import Serving, serving


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Every model the tests serve. Under xdist the first worker that asks trains them for all."""
    base = tmp_path_factory.getbasetemp()
    built = Repository((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "repository")
    built.build()
    return built


@pytest.fixture(scope="session")
def lane_server(repository: Repository, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(repository.models, tmp_path_factory.mktemp("lane"), default_model="iris") as server:
        yield server


@pytest.fixture(scope="session")
def ordinary_server(repository: Repository, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("ordinary")
    with serving(repository.models, folder, lane=False, default_model="iris") as server:
        yield server


@pytest.fixture(params=["lane", "ordinary"])
def server(request: pytest.FixtureRequest) -> Serving:
    """Each case runs with the lane and without it."""
    found: Serving = request.getfixturevalue(f"{request.param}_server")
    return found


@pytest.fixture
def client(server: Serving) -> Iterator[Client]:
    with Client(server.port) as connected:
        yield connected


@pytest.fixture
def iris(repository: Repository) -> Model:
    return repository.model("iris")


@pytest.fixture(scope="session")
def soon_up(repository: Repository, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Iris in ONNX alone, for servers where it is all the same what they serve: they need no scikit-learn."""
    folder = tmp_path_factory.mktemp("soon-up") / "iris"
    shutil.copytree(repository.models / "iris" / "v2", folder / "v2")
    return folder


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder for a server of the test's own."""
    return tmp_path / "server"
