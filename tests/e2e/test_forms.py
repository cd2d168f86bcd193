"""Every form of a request, single and batch, JSON and CSV, against the estimators themselves (contract §3)."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.e2e.client import Client, stable
from tests.e2e.expected import check_batch, check_csv, check_single
from tests.e2e.models import Model, Repository
from tests.e2e.process import Serving

NAMED = ["iris", "diabetes", "breast-cancer", "preferences", "species", "customers", "unlucky"]
NAMES = [*NAMED, "margin", "pair"]
ROWS = 5
CSV = {"Accept": "text/csv"}


@pytest.fixture(params=NAMES)
def model(request: pytest.FixtureRequest, repository: Repository) -> Model:
    return repository.find(request.param)


@pytest.fixture(params=NAMED)
def named(request: pytest.FixtureRequest, repository: Repository) -> Model:
    return repository.find(request.param)


def base(model: Model, version: str = "v1") -> str:
    return f"/api/v1/models/{model.name}/versions/{version}"


def shuffled(model: Model, seed: int = 3) -> list[str]:
    assert model.columns is not None
    return random.Random(seed).sample(model.columns, len(model.columns))


# -- single ------------------------------------------------------------------------------------------------------------


def test_a_list_of_features(client: Client, model: Model) -> None:
    for index in range(ROWS):
        row = model.take(1, index)
        check_single(client.post(f"{base(model)}/predict", {"features": model.lists(row)[0]}), model, row)


def test_an_object_of_features_in_any_order(client: Client, named: Model) -> None:
    for index in range(ROWS):
        row = named.take(1, index)
        features = named.objects(row)[0]
        body = {"features": {name: features[name] for name in shuffled(named, index)}}
        check_single(client.post(f"{base(named)}/predict", body), named, row)


def test_columns_at_the_top_level(client: Client, named: Model) -> None:
    row = named.take(1)
    answer = client.post(f"{base(named)}/predict", named.objects(row)[0])
    if named.name == "unlucky":
        assert answer.status in (400, 422), "a column called features or model_version must be sent inside features"
    else:
        check_single(answer, named, row)


@pytest.mark.parametrize("form", ["list", "object", "top level"])
def test_model_version_beside_each_form(client: Client, iris: Model, form: str) -> None:
    row = iris.take(1, 60)
    bodies: dict[str, dict[str, Any]] = {
        "list": {"features": iris.lists(row)[0]},
        "object": {"features": iris.objects(row)[0]},
        "top level": iris.objects(row)[0],
    }
    body = bodies[form]
    newest = repository_rtol(iris, 1e-5)
    check_single(client.post("/api/v1/predict", body | {"model_version": "v1"}), iris, row, "v1")
    check_single(client.post("/api/v1/predict", {"model_version": "v2"} | body), newest, row, "v2")
    check_single(client.post("/api/v1/predict", body | {"model_version": "latest"}), newest, row, "v2")
    check_single(client.post("/api/v1/models/iris/versions/v1/predict", body | {"model_version": "v1"}), iris, row)


def repository_rtol(model: Model, rtol: float) -> Model:
    """The same model by other arithmetic."""
    return Model(model.name, model.estimator, model.rows, model.class_names, rtol)


def test_a_nullable_column_may_be_left_out(client: Client, repository: Repository) -> None:
    model = repository.model("customers")
    row = model.take(1, 0)  # age and plan are missing in the first row
    body = {name: value for name, value in model.objects(row)[0].items() if value is not None}
    assert len(body) < len(model.columns or [])
    check_single(client.post(f"{base(model)}/predict", body), model, row)
    check_single(client.post(f"{base(model)}/predict", {"features": body}), model, row)


def test_one_row_of_csv_with_a_header_in_any_order(client: Client, named: Model) -> None:
    for index in range(ROWS):
        row = named.take(1, index)
        text = named.csv(row, shuffled(named, index))
        check_single(client.csv(f"{base(named)}/predict", text), named, row)


def test_one_row_of_csv_by_position(client: Client, model: Model) -> None:
    for index in range(ROWS):
        row = model.take(1, index)
        check_single(client.csv(f"{base(model)}/predict", model.csv(row), kind="text/csv; header=absent"), model, row)


def test_csv_with_line_feeds_a_byte_order_mark_and_a_charset(client: Client, named: Model) -> None:
    row = named.take(1)
    text = named.csv(row, named.columns).replace("\r\n", "\n")
    body = b"\xef\xbb\xbf" + text.encode()
    check_single(client.csv(f"{base(named)}/predict", body, kind="Text/CSV; Charset=UTF-8; header=present"), named, row)


def test_one_answer_in_csv(client: Client, model: Model) -> None:
    row = model.take(1)
    body = {"features": model.lists(row)[0]}
    check_csv(client.post(f"{base(model)}/predict", body, CSV), model, row)


def test_a_body_without_a_content_type_is_json(client: Client, iris: Model) -> None:
    row = iris.take(1)
    body = b'{"features": %s}' % str(iris.lists(row)[0]).encode()
    check_single(client.post(f"{base(iris)}/predict", body, kind=None), iris, row)


@pytest.mark.parametrize(
    "kind", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.acme.flower+json"]
)
def test_other_ways_to_say_json(client: Client, iris: Model, kind: str) -> None:
    row = iris.take(1)
    check_single(client.post(f"{base(iris)}/predict", {"features": iris.lists(row)[0]}, kind=kind), iris, row)


@pytest.mark.parametrize(
    "accept",
    ["*/*", "application/*", "application/json", "text/html, application/json;q=0.9, */*;q=0.1", "text/csv;q=0.1, */*"],
)
def test_json_is_given_to_whoever_takes_it(client: Client, iris: Model, accept: str) -> None:
    row = iris.take(1)
    body = {"features": iris.lists(row)[0]}
    check_single(client.post(f"{base(iris)}/predict", body, {"Accept": accept}), iris, row)


def test_whole_floats_are_integers_and_integers_are_floats(client: Client, repository: Repository) -> None:
    model = repository.model("customers")
    row = model.take(1, 3)
    body = model.objects(row)[0]
    body["tenure_months"] = float(body["tenure_months"])
    body["age"] = int(body["age"])
    check_single(client.post(f"{base(model)}/predict", body), model, row)


# -- batch -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["features", "instances"])
def test_rows_as_lists(client: Client, model: Model, key: str) -> None:
    rows = model.take(20)
    check_batch(client.post(f"{base(model)}/predict/batch", {key: model.lists(rows)}), model, rows)


@pytest.mark.parametrize("key", ["features", "instances"])
def test_rows_as_objects(client: Client, named: Model, key: str) -> None:
    rows = named.take(20)
    check_batch(client.post(f"{base(named)}/predict/batch", {key: named.objects(rows)}), named, rows)


def test_rows_as_lists_and_objects_mixed(client: Client, named: Model) -> None:
    rows = named.take(6)
    mixed = [pair[index % 2] for index, pair in enumerate(zip(named.lists(rows), named.objects(rows), strict=True))]
    check_batch(client.post(f"{base(named)}/predict/batch", {"features": mixed}), named, rows)


def test_a_batch_of_csv_with_a_header_in_any_order(client: Client, named: Model) -> None:
    rows = named.take(20)
    check_batch(client.csv(f"{base(named)}/predict/batch", named.csv(rows, shuffled(named))), named, rows)


def test_a_batch_of_csv_by_position(client: Client, model: Model) -> None:
    rows = model.take(20)
    answer = client.csv(f"{base(model)}/predict/batch", model.csv(rows), kind="text/csv;header=absent")
    check_batch(answer, model, rows)


def test_csv_in_and_out(client: Client, named: Model) -> None:
    rows = named.take(20)
    check_csv(client.csv(f"{base(named)}/predict/batch", named.csv(rows, named.columns), CSV), named, rows)


def test_the_largest_batch_keeps_its_order(client: Client, model: Model) -> None:
    rows = model.take(1000)
    check_batch(client.post(f"{base(model)}/predict/batch", {"instances": model.lists(rows)}), model, rows)


def test_a_batch_of_one_row(client: Client, model: Model) -> None:
    rows = model.take(1)
    check_batch(client.post(f"{base(model)}/predict/batch", {"features": model.lists(rows)}), model, rows)


def test_a_batch_names_its_version(client: Client, iris: Model) -> None:
    rows = iris.take(3)
    body = {"features": iris.lists(rows), "model_version": "v1"}
    check_batch(client.post("/api/v1/predict/batch", body), iris, rows)


# -- what may be asked for beside --------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 3, 100])
@pytest.mark.parametrize("name", ["preferences", "iris", "species", "breast-cancer"])
def test_top_k_single_and_batch(client: Client, repository: Repository, name: str, k: int) -> None:
    model = repository.find(name)
    row, rows = model.take(1, 7), model.take(9)
    path = base(model)
    check_single(client.post(f"{path}/predict?top_k={k}", {"features": model.lists(row)[0]}), model, row, top_k=k)
    check_batch(client.post(f"{path}/predict/batch?top_k={k}", {"features": model.lists(rows)}), model, rows, top_k=k)


def test_probabilities_of_a_batch(client: Client, repository: Repository) -> None:
    for name in ("iris", "species", "customers"):
        model = repository.model(name)
        rows = model.take(9)
        answer = client.post(f"{base(model)}/predict/batch?probabilities=true", {"features": model.lists(rows)})
        check_batch(answer, model, rows, with_probabilities=True)
        both = client.post(f"{base(model)}/predict/batch?probabilities=true&top_k=2", {"instances": model.lists(rows)})
        check_batch(both, model, rows, with_probabilities=True, top_k=2)


def test_probabilities_and_top_k_in_csv(client: Client, iris: Model) -> None:
    rows = iris.take(4)
    answer = client.csv(
        f"{base(iris)}/predict/batch?probabilities=true&top_k=2", iris.csv(rows, iris.columns), {"Accept": "text/csv"}
    )
    check_csv(answer, iris, rows)
    header = answer.body.decode().splitlines()[0].split(",")
    assert {"probability_setosa", "probability_versicolor", "probability_virginica"} <= set(header)
    assert {"top_1", "top_2"} <= set(header) and "top_3" not in header


# -- names of paths ----------------------------------------------------------------------------------------------------

SINGLE_PATHS = [
    ("/predict", "v2"),
    ("/api/v1/predict", "v2"),
    ("/predict/v1", "v1"),
    ("/predict/latest", "v2"),
    ("/api/v1/predict/v1", "v1"),
    ("/api/v1/models/iris/predict", "v2"),
    ("/api/v1/models/iris/versions/v1/predict", "v1"),
    ("/api/v1/models/iris/versions/v2/predict", "v2"),
    ("/api/v1/models/iris/versions/latest/predict", "v2"),
]
BATCH_PATHS = [
    ("/predict_batch", "v2"),
    ("/api/v1/predict_batch", "v2"),
    ("/predict/batch", "v2"),
    ("/api/v1/predict/batch", "v2"),
    ("/api/v1/models/iris/predict/batch", "v2"),
    ("/api/v1/models/iris/versions/v1/predict/batch", "v1"),
    ("/api/v1/models/iris/versions/latest/predict/batch", "v2"),
]


@pytest.mark.parametrize(("path", "version"), SINGLE_PATHS)
def test_every_path_of_a_single_prediction(client: Client, iris: Model, path: str, version: str) -> None:
    row = iris.take(1, 80)
    model = iris if version == "v1" else repository_rtol(iris, 1e-5)
    check_single(client.post(path, {"features": iris.lists(row)[0]}), model, row, version)


@pytest.mark.parametrize(("path", "version"), BATCH_PATHS)
def test_every_path_of_a_batch(client: Client, iris: Model, path: str, version: str) -> None:
    rows = iris.take(5, 80)
    model = iris if version == "v1" else repository_rtol(iris, 1e-5)
    check_batch(client.post(path, {"features": iris.lists(rows)}), model, rows, version)


# -- both ways ---------------------------------------------------------------------------------------------------------


def test_the_lane_and_the_ordinary_way_answer_in_the_same_bytes(
    lane_server: Serving, ordinary_server: Serving, model: Model
) -> None:
    with Client(lane_server.port) as one, Client(ordinary_server.port) as other:
        for body in [{"features": row} for row in model.lists(model.take(8))]:
            by_lane, ordinary = (each.post(f"{base(model)}/predict", body) for each in (one, other))
            assert by_lane.status == ordinary.status == 200
            assert stable(by_lane) == stable(ordinary)
            assert by_lane.headers.keys() == ordinary.headers.keys()
