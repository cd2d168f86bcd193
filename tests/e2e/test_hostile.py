"""Hostile bodies over keep-alive connections: no 5xx, no hang, no answer over 4 KB, and the same words both ways.

`make test` sends the same 5,000 each time, half JSON and half CSV; `make torture` sends 100,000 new ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.e2e.client import Client, stable
from tests.e2e.hostile import csv_bodies, json_bodies
from tests.e2e.process import Serving
from tests.report import Report
from tests.wire import Answer

pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")
BOUND_S = 5.0
SUITE = settings(
    max_examples=2500,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
TORTURE = settings(SUITE, max_examples=50_000, derandomize=False)

FLOWER = {"sepal length (cm)": 5.1, "sepal width (cm)": 3.5, "petal length (cm)": 1.4, "petal width (cm)": 0.2}
CUSTOMER = {
    "age": 41, "plan": "gold", "tenure_months": 7, "spend": 120.5, "city": "Oslo", "newsletter": True, "comment": "ok",
}  # fmt: skip
PICTURE = {"image": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], "bias": [0.5]}
ROWS: dict[str, list[Any]] = {
    "iris/versions/v1": [FLOWER, list(FLOWER.values())],
    "iris/versions/v2": [FLOWER, list(FLOWER.values())],
    "customers": [CUSTOMER, list(CUSTOMER.values()), {**CUSTOMER, "age": None, "plan": None}],
    "pair": [[1.0, 2.0, 3.0, 4.0, 5.0]],
    "margin": [[5.1, 3.5, 1.4, 0.2]],
    "unlucky": [{"features": 1.0, "model_version": 2.0, "x/y~z": 3.0}, [1.0, 2.0, 3.0]],
    "image": [PICTURE],
}
KINDS = ["text/csv", "text/csv", "text/csv; header=present", "text/csv; header=absent", "text/csv;charset=utf-8"]
Say = Callable[..., None]
QUERIES = ["", "", "", "", "?top_k=2", "?probabilities=true", "?top_k=x"]


def documents(rows: list[Any], many: bool) -> list[Any]:
    """Valid bodies for these rows."""
    if many:
        return [{"features": rows}, {"instances": rows * 3}, {"features": rows, "model_version": "v1"}]
    top_level = [row for row in rows if isinstance(row, dict) and "features" not in row and "image" not in row]
    features = [{"features": row} for row in rows]
    return [*features, *top_level, {"features": rows[0], "model_version": "v1"}, {**features[0], "more": 1}]


@st.composite
def json_requests(draw: st.DrawFn) -> tuple[str, bytes, str]:
    model = draw(st.sampled_from(list(ROWS)))
    many = draw(st.booleans())
    path = f"/api/v1/models/{model}/predict{'/batch' if many else ''}{draw(st.sampled_from(QUERIES))}"
    return path, draw(json_bodies(documents(ROWS[model], many))), "application/json"


@st.composite
def csv_requests(draw: st.DrawFn) -> tuple[str, bytes, str]:
    model = draw(st.sampled_from([name for name in ROWS if name != "image"]))
    many = draw(st.booleans())
    path = f"/api/v1/models/{model}/predict{'/batch' if many else ''}{draw(st.sampled_from(QUERIES))}"
    tables = [table(row, header, 3 if many else 1) for row in ROWS[model] for header in (True, False)]
    return path, draw(csv_bodies(tables)), draw(st.sampled_from(KINDS))


def table(row: Any, header: bool, count: int) -> list[list[bytes]]:
    cells = list(row.values()) if isinstance(row, dict) else row
    record = [b"" if cell is None else str(cell).encode() for cell in cells]
    first = [[name.encode() for name in row]] if header and isinstance(row, dict) else []
    return [*first, *([record] * count)]


class Both:
    """Asks the server with the lane and the one without, and holds the answers against each other."""

    def __init__(self, lane: Client, ordinary: Client) -> None:
        self._clients = (lane, ordinary)
        self.sent = 0
        self.accepted = 0

    def ask(self, path: str, body: bytes, kind: str) -> None:
        answers = [self._one(client, path, body, kind) for client in self._clients]
        by_lane, ordinary = answers
        assert by_lane.status == ordinary.status
        assert stable(by_lane) == stable(ordinary)
        self.sent += 1
        self.accepted += by_lane.status == 200

    @staticmethod
    def _one(client: Client, path: str, body: bytes, kind: str) -> Answer:
        began = time.monotonic()
        answer = client.post(path, body, kind=kind)
        assert time.monotonic() - began < BOUND_S
        assert answer.status in (200, 400, 404, 422), answer
        return answer


@pytest.fixture
def both(lane_server: Serving, ordinary_server: Serving) -> Iterator[Both]:
    with Client(lane_server.port) as lane, Client(ordinary_server.port) as ordinary:
        yield Both(lane, ordinary)


def send(requests: st.SearchStrategy[tuple[str, bytes, str]], both: Both, how: settings, say: Say) -> None:
    @how
    @given(request=requests)
    def each(request: tuple[str, bytes, str]) -> None:
        both.ask(*request)

    each()
    say(bar="no 5xx, no hang, ≤ 4 KB, the same both ways", bodies=both.sent, accepted=both.accepted)
    assert both.sent >= how.max_examples
    assert 0.02 < both.accepted / both.sent < 0.8, "some are valid, most are not: else this shows little"


@pytest.mark.timeout(300)
def test_hostile_json(both: Both, report: Report) -> None:
    send(json_requests(), both, SUITE, partial(report, "Hostile JSON bodies"))


@pytest.mark.timeout(300)
def test_hostile_csv(both: Both, report: Report) -> None:
    send(csv_requests(), both, SUITE, partial(report, "Hostile CSV bodies"))


@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_hostile_json_at_length(both: Both, report: Report) -> None:
    send(json_requests(), both, TORTURE, partial(report, "Hostile JSON bodies"))


@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_hostile_csv_at_length(both: Both, report: Report) -> None:
    send(csv_requests(), both, TORTURE, partial(report, "Hostile CSV bodies"))
