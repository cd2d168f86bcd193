"""Rows in NDJSON, Arrow, Parquet and NPY, and forms with files of them, over a real socket (contract §3, Formats)."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import requests

from foretell.core.signature import Signature
from tests.columnar_bodies import ARROW, NDJSON, NPY, PARQUET, loaded, ndjson, npy, parquet, rows_of, stream, table_of
from tests.e2e.client import Client, check_problem
from tests.e2e.expected import check_batch, check_single, near
from tests.e2e.models import FLOAT32, Model, Repository
from tests.e2e.process import Serving

CASES = [
    ("iris", "v1"), ("iris", "v2"), ("diabetes", "v1"), ("breast-cancer", "v1"), ("preferences", "v1"),
    ("species", "v1"), ("margin", "v1"), ("pair", "v1"), ("customers", "v1"), ("unlucky", "v1"),
]  # fmt: skip
BATCH = "/api/v1/models/iris/versions/v1/predict/batch"
SINGLE = "/api/v1/models/iris/versions/v1/predict"
ROWS = 40
TABLES = [ARROW, PARQUET, NDJSON]


@pytest.fixture(params=CASES, ids=" ".join)
def case(request: pytest.FixtureRequest, repository: Repository) -> tuple[Model, str]:
    name, version = request.param
    model = repository.find(name)
    if version == "v2":
        model = Model(model.name, model.estimator, model.rows, model.class_names, FLOAT32)
    return model, version


def signature_of(client: Client, model: Model, version: str) -> Signature:
    document = client.get(f"/api/v1/models/{model.name}/versions/{version}").json["signature"]
    return Signature.from_document(document)


def as_json(values: list[list[Any]], signature: Signature) -> list[list[Any]]:
    """Rows whose whole numbers are whole, as a table with types has them."""
    whole = {index for index, column in enumerate(signature.columns) if column.type == "integer"}
    return [[int(v) if i in whole and v is not None else v for i, v in enumerate(row)] for row in values]


def bodies(rows: list[list[Any]], signature: Signature) -> list[tuple[str, bytes]]:
    """The same rows in every format that can carry them."""
    table = table_of(signature, as_json(rows, signature))
    backwards = table.select(list(reversed(signature.names)))
    made = [
        (NDJSON, ndjson(rows)),
        (NDJSON, ndjson(rows, signature.names) if signature.named else ndjson(rows)),
        (ARROW, stream(table)),
        (ARROW, stream(backwards, 7, compression="zstd")),
        (PARQUET, parquet(backwards)),
        (PARQUET, parquet(table, row_group_size=11, compression="gzip", data_page_version="2.0")),
    ]
    if signature.layout == "matrix":
        values = np.array([[np.nan if value is None else value for value in row] for row in rows], dtype=np.float64)
        made += [(NPY, npy(values)), (NPY, npy(np.asfortranarray(values)))]
    return made


def test_the_same_rows_get_the_same_answers_in_every_format(client: Client, case: tuple[Model, str]) -> None:
    model, version = case
    signature = signature_of(client, model, version)
    rows = model.take(ROWS)
    path = f"/api/v1/models/{model.name}/versions/{version}/predict/batch"
    by_json = client.post(path, {"features": model.lists(rows)}).json
    for kind, body in bodies(model.lists(rows), signature):
        answer = client.post(path, body, kind=kind)
        check_batch(answer, model, rows, version)
        assert answer.json["predictions"] == by_json["predictions"], kind
        assert answer.json.get("confidences") == by_json.get("confidences"), kind


@pytest.mark.parametrize("kind", TABLES)
def test_answers_have_a_row_for_each_row(client: Client, case: tuple[Model, str], kind: str) -> None:
    model, version = case
    rows = model.take(ROWS)
    probable = model.probabilities(rows)
    path = f"/api/v1/models/{model.name}/versions/{version}/predict/batch"
    query = "" if probable is None else "?probabilities=true"
    answer = client.post(path + query, {"features": model.lists(rows)}, {"Accept": kind})
    assert answer.status == 200, answer
    assert answer.headers["content-type"] == kind
    assert (answer.headers["x-model"], answer.headers["x-model-version"]) == (model.name, version)
    assert len(answer.headers["x-prediction-id"]) == 26
    records = rows_of(answer.body, kind)
    wanted = model.predictions(rows)
    names = model.names_of(wanted)
    assert len(records) == ROWS
    for index, record in enumerate(records):
        if isinstance(wanted[index], list):
            got: Any = [value for name, value in record.items() if name.startswith("prediction")]
        else:
            got = record["prediction"]
            assert type(got) is type(wanted[index]), "the model's own type"
        assert got == (near(wanted[index], model) if isinstance(wanted[index], float | list) else wanted[index])
        assert record.get("class_name") == (names[index] if names else None)
        if probable is not None:
            assert record["confidence"] == near(probable[index].max(), model)
            columns = [value for name, value in record.items() if name.startswith("probability_")]
            assert columns == near(probable[index].tolist(), model)


def test_an_answer_in_npy_is_the_array_of_predictions(client: Client, case: tuple[Model, str]) -> None:
    model, version = case
    rows = model.take(ROWS)
    path = f"/api/v1/models/{model.name}/versions/{version}/predict/batch"
    answer = client.post(path, {"features": model.lists(rows)}, {"Accept": NPY})
    assert answer.headers["content-type"] == NPY
    wanted = model.predictions(rows)
    got = loaded(answer.body)
    if isinstance(wanted[0], float | list):
        assert got == near(np.asarray(wanted), model)
    else:
        assert got.tolist() == wanted
    probable = model.probabilities(rows)
    if probable is not None:
        answer = client.post(f"{path}?probabilities=true", {"features": model.lists(rows)}, {"Accept": NPY})
        assert loaded(answer.body) == near(probable, model)


def test_one_row_in_npy(client: Client, iris: Model) -> None:
    for index in range(5):
        row = iris.take(1, index)
        values = iris.lists(row)
        for body in (npy(values[0]), npy(values)):
            check_single(client.post(SINGLE, body, kind=NPY), iris, row)
        answer = client.post(SINGLE, npy(values[0]), {"Accept": NPY}, kind=NPY)
        assert loaded(answer.body).shape == ()
        assert loaded(answer.body).item() == iris.predictions(row)[0]
        answer = client.post(f"{SINGLE}?probabilities=true", npy(values[0]), {"Accept": NPY}, kind=NPY)
        assert loaded(answer.body) == near(iris.probabilities(row)[0], iris)


def test_single_precision_is_read_as_the_numbers_it_holds(client: Client, iris: Model) -> None:
    values = np.asarray(iris.lists(iris.take(ROWS)), dtype=np.float32)
    by_json = client.post(BATCH, {"features": values.astype(float).tolist()}).json
    assert client.post(BATCH, npy(values), kind=NPY).json["confidences"] == by_json["confidences"]


def test_a_thousand_rows_that_are_read_on_a_thread(client: Client, repository: Repository) -> None:
    model = repository.find("breast-cancer")
    signature = signature_of(client, model, "v1")
    rows = model.take(1000)
    for kind, body in bodies(model.lists(rows), signature):
        check_batch(client.post("/api/v1/models/breast-cancer/predict/batch", body, kind=kind), model, rows)


def test_a_thousand_and_one_rows(client: Client, iris: Model) -> None:
    rows = iris.lists(iris.take(1001))
    for kind, body in bodies(rows, signature_of(client, iris, "v1")):
        problem = check_problem(client.post(BATCH, body, kind=kind))
        assert (problem["status"], problem["code"]) == (400, "too_many_rows"), kind


# -- faults ------------------------------------------------------------------------------------------------------------


def test_faults_read_the_same_in_every_format(client: Client, repository: Repository) -> None:
    model = repository.find("customers")
    rows = model.lists(model.take(6))
    names = list(model.columns or ())
    rows[1][names.index("age")] = 121.0
    rows[3][names.index("spend")] = 0.0
    rows[4][names.index("plan")] = "golf"
    rows[5][names.index("newsletter")] = None
    path = "/api/v1/models/customers/predict/batch"
    by_json = check_problem(client.post(path, {"features": [dict(zip(names, row, strict=True)) for row in rows]}))
    assert [fault["row"] for fault in by_json["errors"]] == [1, 3, 4, 5]
    for kind, body in bodies(rows, signature_of(client, model, "v1")):
        problem = check_problem(client.post(path, body, kind=kind))
        assert (problem["status"], problem["code"], problem["errors_total"]) == (422, by_json["code"], 4), kind
        for fault, wanted in zip(problem["errors"], by_json["errors"], strict=True):
            assert {**fault, "pointer": ""} == {**wanted, "pointer": ""}, kind
            assert fault["pointer"].startswith(f"/rows/{wanted['row']}/"), kind


def test_columns_that_are_unknown_or_missing(client: Client, iris: Model) -> None:
    signature = signature_of(client, iris, "v1")
    table = table_of(signature, iris.lists(iris.take(3)))
    renamed = table.rename_columns(["sepal lenght (cm)", *signature.names[1:]])
    for kind, body in ((ARROW, stream(renamed)), (PARQUET, parquet(renamed))):
        problem = check_problem(client.post(BATCH, body, kind=kind))
        codes = {fault["code"]: fault for fault in problem["errors"]}
        assert codes.keys() == {"unknown_column", "missing_column"}, kind
        assert codes["unknown_column"]["suggestion"] == "sepal length (cm)"
        assert problem["errors_total"] == 2


def test_ten_thousand_faults_fit_into_one_answer(client: Client, iris: Model) -> None:
    signature = signature_of(client, iris, "v1")
    table = table_of(signature, [[float("nan")] * 4] * 1000)
    for kind, body in ((ARROW, stream(table)), (PARQUET, parquet(table)), (NPY, npy(np.full((1000, 4), np.nan)))):
        problem = check_problem(client.post(BATCH, body, kind=kind))
        assert (problem["code"], problem["errors_total"]) == ("not_finite", 4000), kind


def test_what_a_single_path_does_not_read_and_write(client: Client) -> None:
    for kind in TABLES:
        problem = check_problem(client.post(SINGLE, b"x", kind=kind))
        assert problem["status"] == 415
        assert "for batches" in problem["detail"]
        assert "application/json, text/csv, application/x-npy, multipart/form-data" in problem["detail"]
        problem = check_problem(client.post(SINGLE, {"features": [5.1, 3.5, 1.4, 0.2]}, {"Accept": kind}))
        assert problem["status"] == 406
        assert "application/json, text/csv, application/x-npy" in problem["detail"]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (f"{ARROW};q=0.5, {PARQUET}", PARQUET),
        (f"text/html, {NPY};q=0.1", NPY),
        (f"application/*;q=0.1, {NDJSON}", NDJSON),
        (f"{ARROW};q=0, application/*;q=0.5", "application/json"),
        (f"*/*;q=0.1, {ARROW.upper()};q=0.2", ARROW),
    ],
)
def test_accept_chooses_by_quality(client: Client, iris: Model, accept: str, kind: str) -> None:
    answer = client.post(BATCH, {"features": iris.lists(iris.take(2))}, {"Accept": accept})
    assert (answer.status, answer.headers["content-type"]) == (200, kind)


def test_top_k_has_columns_in_tables(client: Client, iris: Model) -> None:
    rows = iris.take(3)
    for kind in TABLES:
        answer = client.post(f"{BATCH}?top_k=2", {"features": iris.lists(rows)}, {"Accept": kind})
        record = rows_of(answer.body, kind)[0]
        assert list(record)[-4:] == ["top_1", "top_1_probability", "top_2", "top_2_probability"]


def test_top_k_has_no_room_in_one_array(client: Client, iris: Model) -> None:
    answer = client.post(f"{BATCH}?top_k=2", {"features": iris.lists(iris.take(3))}, {"Accept": NPY})
    problem = check_problem(answer)
    assert (problem["status"], problem["code"]) == (422, "invalid_parameter")
    assert "probabilities=true" in problem["detail"]


def test_a_tensor_model_in_formats_of_tables(client: Client) -> None:
    rows = [{"image": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], "bias": [0.5]}] * 2
    path = "/api/v1/models/image/predict/batch"
    by_json = client.post(path, {"features": rows}).json
    lines = b"\n".join(client_line(row) for row in rows)
    assert client.post(path, lines, kind=NDJSON).json["predictions"] == by_json["predictions"]
    answer = client.post(path, {"features": rows}, {"Accept": NPY})
    assert loaded(answer.body).tolist() == by_json["predictions"]
    problem = check_problem(client.post(path, npy(np.ones((2, 2, 3))), kind=NPY))
    assert "several tensors" in problem["detail"]


def client_line(row: dict[str, Any]) -> bytes:
    import orjson

    return orjson.dumps(row)


# -- forms -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rows.ndjson", "rows.csv", "rows.arrows", "rows.parquet", "rows.npy", "rows.json"])
def test_a_form_carries_a_file_of_any_format(server: Serving, client: Client, iris: Model, name: str) -> None:
    rows = iris.take(ROWS)
    lists, signature = iris.lists(rows), signature_of(client, iris, "v1")
    table = table_of(signature, lists)
    made: dict[str, Callable[[], bytes]] = {
        "ndjson": lambda: ndjson(lists),
        "csv": lambda: iris.csv(rows, iris.columns).encode(),
        "arrows": lambda: stream(table),
        "parquet": lambda: parquet(table),
        "npy": lambda: npy(lists),
        "json": lambda: client_line({"features": lists}),
    }
    body = made[name.rpartition(".")[2]]()
    answer = requests.post(f"{server.url}{BATCH}", files={"file": (name, body)}, timeout=30)
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"] == iris.predictions(rows)


def test_a_form_that_is_none(server: Serving) -> None:
    url = f"{server.url}{BATCH}"
    two = {"a": ("a.csv", b"x"), "b": ("b.csv", b"y")}
    for files, status, code in (
        (two, 400, "malformed_multipart"),
        ({"a": ("a.xlsx", b"x")}, 415, "unsupported_media_type"),
        ({"a": ("a.csv", b"")}, 400, "body_empty"),
    ):
        answer = requests.post(url, files=files, timeout=30)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    answer = requests.post(url, files=two, headers={"Accept": "image/png"}, timeout=30)
    assert answer.status_code == 406, "406 goes before 400"
    answer = requests.post(f"{server.url}{SINGLE}", files={"a": ("a.parquet", b"x")}, timeout=30)
    assert answer.status_code == 415
    answer = requests.post(url, files={"a": ("a.csv", b"x" * 9_000_000)}, timeout=30)
    assert answer.status_code == 413


# -- hostile bodies ----------------------------------------------------------------------------------------------------


def test_bent_bodies_get_an_answer_of_the_400_class(client: Client, repository: Repository) -> None:
    model = repository.find("customers")
    made = bodies(model.lists(model.take(3)), signature_of(client, model, "v1"))
    made.append((NPY, npy(np.ones((3, 7)))))
    chance = random.Random(11)
    accepted = 0
    for number in range(600):
        kind, body = made[number % len(made)]
        for _ in range(chance.randint(1, 4)):
            at, size = chance.randrange(len(body)), chance.choice([1, 1, 4, 8])
            piece = chance.choice([b"\xff" * size, bytes(size), chance.randbytes(size)])
            body = body[:at] + piece + body[at + chance.choice([size, size, 0]) :]
        answer = client.post("/api/v1/models/customers/predict/batch", body, kind=kind)
        assert answer.status in (200, 400, 413, 422), answer
        accepted += answer.status == 200
    assert accepted < 400
    assert client.get("/health").status == 200
