"""Same input, same version, same answer (contract §5): alone, in a batch, in CSV, in any crowd, in any runtime."""

from __future__ import annotations

import asyncio
import json
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest

from foretell.bootstrap import local_source, open_loader
from foretell.core.values import Outputs
from foretell.settings import Log, Settings
from tests.e2e.client import Client
from tests.e2e.expected import near
from tests.e2e.models import FLOAT32, Model, Repository
from tests.e2e.process import Serving, until
from tests.wire import Wire, post
from tests.zoo import inputs_of

VERSIONS = [
    ("iris", "v1"),
    ("iris", "v2"),
    ("diabetes", "v1"),
    ("breast-cancer", "v1"),
    ("preferences", "v1"),
    ("species", "v1"),
    ("margin", "v1"),
    ("pair", "v1"),
    ("customers", "v1"),
]
SIZES = range(1, 65)
CROWDS = (1, 2, 3, 4, 5, 8, 13, 21, 34, 55, 64)


@pytest.fixture(params=VERSIONS, ids=" ".join)
def case(request: pytest.FixtureRequest, repository: Repository) -> tuple[Model, str]:
    name, version = request.param
    model = repository.find(name)
    if version == "v2":
        model = Model(model.name, model.estimator, model.rows, model.class_names, FLOAT32)
    return model, version


def numbers(outputs: Outputs, index: int = 0) -> list[Any]:
    """Everything an answer says about one row."""
    listed = outputs.listed
    return [
        listed.predictions[index],
        None if listed.class_names is None else listed.class_names[index],
        None if listed.probabilities is None else listed.probabilities[index],
    ]


def same(got: list[Any], wanted: list[Any], model: Model) -> None:
    for one, other in zip(got, wanted, strict=True):
        assert type(one) is type(other)
        assert one == (near(other, model) if isinstance(other, float | list) else other)


def of_document(document: dict[str, Any]) -> list[Any]:
    return [document["prediction"], document.get("class_name"), document.get("probability")]


def test_a_call_of_every_size_gives_what_each_row_gets_alone(repository: Repository, case: tuple[Model, str]) -> None:
    model, version = case
    settings = Settings(models=repository.models, log=Log(level="error"))

    async def compare() -> None:
        found = next(each for each in local_source(settings).scan() if str(each.ref) == f"{model.name} {version}")
        servable = await open_loader(settings).load(found)
        rows = model.take(max(SIZES))
        inputs = inputs_of(rows, servable.signature)
        alone = [numbers(servable.model.predict(inputs.part(i, i + 1))) for i in range(max(SIZES))]
        estimator = model.predictions(rows)
        for got, wanted in zip(alone, estimator, strict=True):
            assert got[0] == (near(wanted, model) if isinstance(wanted, float | list) else wanted)
        for size in SIZES:
            outputs = servable.model.predict(inputs.part(0, size))
            for index in range(size):
                same(numbers(outputs, index), alone[index], model)
        servable.retire()
        await servable.closed()

    asyncio.run(compare())


def test_single_batch_and_csv_agree(server: Serving, case: tuple[Model, str]) -> None:
    model, version = case
    path = f"/api/v1/models/{model.name}/versions/{version}/predict"
    rows = model.take(40)
    lists = model.lists(rows)
    with Client(server.port) as client:
        alone = [of_document(client.post(path, {"features": row}).json) for row in lists]
        batch = client.post(f"{path}/batch", {"features": lists}).json
        by_csv = client.csv(f"{path}/batch", model.csv(rows), kind="text/csv; header=absent").json
        one_csv = [
            of_document(client.csv(path, model.csv(model.take(1, i)), kind="text/csv; header=absent").json)
            for i in range(5)
        ]
    for answer in (batch, by_csv):
        for index, wanted in enumerate(alone):
            got = [answer["predictions"][index], answer.get("class_names", [None] * 40)[index]]
            same(got, wanted[:2], model)
            if wanted[2] is not None:
                assert answer["confidences"][index] == near(max(wanted[2]), model)
    for got, wanted in zip(one_csv, alone, strict=False):
        same(got, wanted, model)
    probabilities = model.probabilities(rows)
    if probabilities is not None:
        assert np.asarray([each[2] for each in alone]) == near(probabilities, model)


def test_a_crowd_of_any_size_gets_what_each_gets_alone(server: Serving, case: tuple[Model, str]) -> None:
    model, version = case
    path = f"/api/v1/models/{model.name}/versions/{version}/predict"
    bodies = [json.dumps({"features": row}).encode() for row in model.lists(model.take(max(SIZES)))]
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(server.port)) for _ in SIZES]

        def ask(size: int, tag: str) -> list[list[Any]]:
            for index, wire in enumerate(wires[:size]):
                wire.send(post(path, bodies[index], f"X-Request-ID: {tag}-{size}-{index}"))
            answers = [wire.answer() for wire in wires[:size]]
            assert {answer.status for answer in answers} == {200}
            return [of_document(answer.json) for answer in answers]

        alone = []
        for index, wire in enumerate(wires):
            wire.send(post(path, bodies[index]))
            alone.append(of_document(wire.answer().json))
        tag = f"crowd-{model.name}-{version}"
        for size in CROWDS:
            for got, wanted in zip(ask(size, tag), alone, strict=False):
                same(got, wanted, model)
    last = [f"{tag}-64-{index}" for index in range(64)]
    lines = until(lambda: found if len(found := server.requests(*last)) == 64 else None, "64 lines in the log")
    assert max(line["batch_rows"] for line in lines) > 1, "nobody shared a call: the test does not show what it is for"


def test_the_same_model_in_another_runtime(client: Client, iris: Model) -> None:
    rows = iris.lists(iris.take(120))
    path = "/api/v1/models/iris/versions/%s/predict/batch?probabilities=true"
    first, second = (client.post(path % version, {"features": rows}).json for version in ("v1", "v2"))
    assert first["predictions"] == second["predictions"]
    assert first["class_names"] == second["class_names"]
    assert np.asarray(first["probabilities"]) == pytest.approx(np.asarray(second["probabilities"]), rel=1e-5, abs=1e-7)
