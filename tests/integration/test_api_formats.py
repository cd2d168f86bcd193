"""Formats at the door: what is offered, what is missing, and what an array has no room for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pytest

from foretell.codecs.arrow import ArrowCodec, ParquetCodec
from foretell.codecs.csv import CsvCodec
from foretell.codecs.json import JsonCodec, NdjsonCodec
from foretell.codecs.npy import NpyCodec
from foretell.core.signature import Output, Signature, Tensor
from foretell.core.values import Inputs, Outputs, Tensors
from tests.asgi import Api, Price, Shop, problem, ready, serving
from tests.columnar_bodies import ARROW, NDJSON, NPY, PARQUET, loaded, ndjson, npy, parquet, rows_of, stream

BATCH = "/api/v1/models/shop/predict/batch"


class Picture:
    """Takes one tensor and gives two: each row doubled, and its sum."""

    model_type = "Picture"
    parameters: ClassVar[dict[str, Any]] = {}
    given = (Tensor("twice", "float32", (-1, 2, 3)), Tensor("sum", "float32", (-1, 1)))
    signature = Signature(tensors=(Tensor("x", "float32", (-1, 2, 3)),), output=Output("tensors", tensors=given))

    def __init__(self, names: tuple[str, ...] = ("twice", "sum")) -> None:
        self._names = names

    def predict(self, inputs: Inputs) -> Outputs:
        assert isinstance(inputs, Tensors)
        x = inputs.arrays["x"]
        made = {"twice": x * 2, "sum": x.sum(axis=(1, 2))[:, None]}
        return Outputs(self.signature.output, tensors={name: made[name] for name in self._names})

    def close(self) -> None:
        """Holds nothing."""


ALL = (JsonCodec(), CsvCodec(), NdjsonCodec(), ArrowCodec(), ParquetCodec(), NpyCodec())
BARE = (*ALL[:3], ArrowCodec("no_such_library"), ParquetCodec("no_such_library"), ALL[5])


@pytest.fixture
def api() -> Iterator[Api]:
    models: dict[str, Any] = {
        "shop": Shop(),
        "price": Price(),
        "both": Picture(),
        "twice": Picture(("twice",)),
        "texts": Shop("abc", None),
    }
    with serving(*(ready(f"{name} v1", model) for name, model in models.items())) as made:
        made.services.codecs = ALL
        yield made


@pytest.fixture
def bare(api: Api) -> Api:
    """A server without pyarrow."""
    api.services.codecs = BARE
    return api


def send(api: Api, path: str, body: bytes, kind: str, accept: str = "*/*") -> Any:
    return api.client.post(path, content=body, headers={"content-type": kind, "accept": accept})


# -- pyarrow is not installed ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ARROW, PARQUET])
def test_a_body_whose_library_is_missing_is_a_415_that_says_what_to_install(bare: Api, kind: str) -> None:
    document = problem(send(bare, BATCH, b"x", kind), 415, "unsupported_media_type")
    assert document["hint"].endswith("pip install 'foretell[data]'")
    assert f"these are: application/json, text/csv, {NDJSON}, {NPY}, multipart/form-data" in document["detail"]


@pytest.mark.parametrize("kind", [ARROW, PARQUET])
def test_an_answer_whose_library_is_missing_is_a_406_that_says_what_to_install(bare: Api, kind: str) -> None:
    document = problem(send(bare, BATCH, npy([[1.0, 0.5]]), NPY, kind), 406, "not_acceptable")
    assert document["hint"].endswith("pip install 'foretell[data]'")
    assert kind not in document["detail"].partition("these are offered")[2]
    document = problem(send(bare, BATCH, npy([[1.0, 0.5]]), NPY, "image/png"), 406, "not_acceptable")
    assert "install" not in document["hint"]


def test_a_file_whose_library_is_missing_is_told_apart_too(bare: Api) -> None:
    answer = bare.client.post(BATCH, files={"file": ("rows.parquet", b"x")})
    assert "foretell[data]" in problem(answer, 415, "unsupported_media_type")["hint"]


def test_what_is_missing_is_not_described(bare: Api) -> None:
    content = bare.client.get("/openapi.json").json()["paths"][BATCH]["post"]["requestBody"]["content"]
    assert list(content) == ["application/json", "text/csv", NDJSON, NPY, "multipart/form-data"]


def test_any_answer_will_do_where_something_is_missing(bare: Api) -> None:
    answer = send(bare, BATCH, npy([[1.0, 0.5]]), NPY, f"{ARROW}, text/csv;q=0.5")
    assert answer.headers["content-type"].startswith("text/csv")


# -- what OpenAPI says -------------------------------------------------------------------------------------------------


def described(api: Api, model: str, suffix: str, part: str) -> list[str]:
    operation = api.client.get("/openapi.json").json()["paths"][f"/api/v1/models/{model}/{suffix}"]["post"]
    place = operation["requestBody"] if part == "request" else operation["responses"]["200"]
    return list(place["content"])


def test_each_model_lists_the_formats_that_carry_its_rows(api: Api) -> None:
    tables = ["application/json", "text/csv", NDJSON, ARROW, PARQUET, NPY]
    assert described(api, "shop", "predict/batch", "request") == [*tables, "multipart/form-data"]
    assert described(api, "shop", "predict/batch", "answer") == tables
    single = ["application/json", "text/csv", NPY]
    assert described(api, "shop", "predict", "request") == [*single, "multipart/form-data"]
    assert described(api, "shop", "predict", "answer") == single
    assert described(api, "both", "predict/batch", "request") == [
        "application/json",
        NDJSON,
        NPY,
        "multipart/form-data",
    ]
    assert NPY not in described(api, "both", "predict/batch", "answer")
    assert NPY in described(api, "twice", "predict/batch", "request")


def test_the_document_can_be_had_before_the_start(api: Api) -> None:
    from foretell.api.app import create_app

    app = create_app(api.services.settings, lambda _: api)  # type: ignore[arg-type, return-value]
    assert "application/json" in app.openapi()["paths"]["/predict"]["post"]["requestBody"]["content"]


# -- arrays ------------------------------------------------------------------------------------------------------------


def test_a_tensor_goes_in_and_comes_out_as_an_array(api: Api) -> None:
    array = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    path = "/api/v1/models/twice/predict"
    answer = send(api, f"{path}/batch", npy(array), NPY, NPY)
    assert answer.headers["x-model"] == "twice"
    back = loaded(answer.content)
    assert back.dtype == np.float32
    assert back.tolist() == (array * 2).tolist()
    assert loaded(send(api, path, npy(array[0]), NPY, NPY).content).tolist() == (array[0] * 2).tolist()
    by_json = api.client.post(f"{path}/batch", json={"features": array.tolist()}).json()
    assert by_json["predictions"] == send(api, f"{path}/batch", npy(array), NPY).json()["predictions"]


def test_several_tensors_are_columns_and_no_array(api: Api) -> None:
    body = npy(np.ones((2, 2, 3), np.float32))
    path = "/api/v1/models/both/predict/batch"
    problem(send(api, path, body, NPY, NPY), 406, "not_acceptable")
    for kind in (ARROW, PARQUET, NDJSON):
        rows = rows_of(send(api, path, body, NPY, kind).content, kind)
        assert rows[0]["prediction"]["sum"] == [6.0]


def test_labels_that_are_texts_are_an_array_of_texts(api: Api) -> None:
    answer = send(api, "/api/v1/models/texts/predict/batch", npy([[1.0, 0.5], [2.0, 0.5]]), NPY, NPY)
    assert loaded(answer.content).tolist() == ["b", "c"]


def test_top_k_has_no_room_in_an_array(api: Api) -> None:
    answer = send(api, f"{BATCH}?top_k=2", npy([[1.0, 0.5]]), NPY, NPY)
    document = problem(answer, 422, "invalid_parameter")
    assert document["errors"][0]["code"] == "no_room"


# -- on threads --------------------------------------------------------------------------------------------------------


def test_faults_found_on_threads_are_answered_as_any_other(api: Api) -> None:
    import pyarrow as pa

    table = pa.table({"x": [1.0, -11.0], "y": [0.5, 0.5]})
    for kind, body in ((ARROW, stream(table)), (PARQUET, parquet(table))):
        assert problem(send(api, BATCH, body, kind), 422, "out_of_bounds")["errors"][0]["pointer"] == "/rows/1/x"
        document = problem(send(api, f"{BATCH}?topk=1", body, kind), 422, "invalid_input")
        assert document["errors_total"] == 2
        document = problem(send(api, f"{BATCH}?topk=1", stream(table.slice(0, 1)), ARROW), 422, "invalid_parameter")
        assert document["errors"][0]["suggestion"] == "top_k"


def test_a_model_that_fails_on_rows_read_on_a_thread(api: Api) -> None:
    import pyarrow as pa

    problem(send(api, BATCH, stream(pa.table({"x": [-7.0], "y": [0.5]})), ARROW), 500, "model_failed")
    path = "/api/v1/models/price/predict/batch"
    problem(send(api, path, stream(pa.table({"x": [1e308], "y": [1e308]})), ARROW), 422, "out_of_range")


def test_many_rows_are_written_on_a_thread(api: Api) -> None:
    with serving(ready("shop v1", Shop()), limits={"max_batch_rows": 5000}) as large:
        large.services.codecs = ALL
        answer = send(large, BATCH, ndjson([[1.0, 0.5]] * 3000), NDJSON, NDJSON)
        assert len(answer.content.splitlines()) == 3000
