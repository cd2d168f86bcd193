"""Every status of contract §4 that a body, a path or a header can bring about; each both ways.

``Client`` holds every answer against what is promised of all errors: the shape, 4 KB, no path, no traceback, ids.
"""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from tests.e2e.client import Client, check, check_problem, message, stable
from tests.e2e.models import Model
from tests.e2e.process import Serving, until
from tests.wire import Answer, Wire

SINGLE, BATCH = "/api/v1/models/iris/versions/v1/predict", "/api/v1/models/iris/versions/v1/predict/batch"
CUSTOMERS, CUSTOMERS_BATCH = "/api/v1/models/customers/predict", "/api/v1/models/customers/predict/batch"
FLOWER: list[Any] = [5.1, 3.5, 1.4, 0.2]
CUSTOMER: dict[str, Any] = {
    "age": 41,
    "plan": "gold",
    "tenure_months": 7,
    "spend": 120.5,
    "city": "Oslo",
    "newsletter": True,
    "comment": "très content",
}
HEADER = "sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)\n"
MIB = 1024 * 1024


def flower(*values: Any) -> bytes:
    return json.dumps({"features": list(values) or FLOWER}).encode()


def flower_by_name(more: dict[str, Any], *without: str) -> bytes:
    named = dict(zip(HEADER.strip().split(","), FLOWER, strict=True))
    return json.dumps({"features": {k: v for k, v in {**named, **more}.items() if k not in without}}).encode()


def customer(**changes: Any) -> dict[str, Any]:
    return {**CUSTOMER, **changes}


def refused(answer: Answer, status: int, code: str | None = None, pointer: str | None = None) -> dict[str, Any]:
    assert answer.status == status, answer
    problem = check_problem(answer)
    if code is not None:
        assert problem["code"] == code, problem
    if pointer is not None:
        assert pointer in [error.get("pointer") for error in problem["errors"]], problem
    return problem


# -- 400: what cannot be read as this request --------------------------------------------------------------------------

UNREADABLE_JSON = {
    "nothing": (b"", "body_empty"),
    "blanks": (b" \r\n\t", "body_empty"),
    "cut short": (b'{"features": [5.1, 3.5', "malformed_json"),
    "not JSON": (b"features=5.1", "malformed_json"),
    "a list": (b"[5.1, 3.5, 1.4, 0.2]", "not_an_object"),
    "a number": (b"5", "not_an_object"),
    "null": (b"null", "not_an_object"),
    "a trailing comma": (b'{"features": [5.1, 3.5, 1.4, 0.2,]}', "malformed_json"),
    "two documents": (flower() + flower(), "malformed_json"),
    "a comment": (b'{"features": [5.1, 3.5, 1.4, 0.2]} // fine', "malformed_json"),
    "single quotes": (b"{'features': [5.1, 3.5, 1.4, 0.2]}", "malformed_json"),
    "a leading zero": (b'{"features": [05.1, 3.5, 1.4, 0.2]}', "malformed_json"),
    "a leading plus": (b'{"features": [+5.1, 3.5, 1.4, 0.2]}', "malformed_json"),
    "hexadecimal": (b'{"features": [0x5, 3.5, 1.4, 0.2]}', "malformed_json"),
    "a control character": (b'{"feat\x01ures": [5.1, 3.5, 1.4, 0.2]}', "malformed_json"),
    "a byte order mark": (b"\xef\xbb\xbf" + flower(), "malformed_json"),
    "bad UTF-8": (b'{"features": [5.1, 3.5, 1.4, "\xff"]}', "not_utf8"),
    "UTF-16": (flower().decode().encode("utf-16"), None),
    "half a surrogate pair": (b'{"features": [5.1, 3.5, 1.4, "\\ud800"]}', "malformed_json"),
    "a duplicate key": (b'{"features": [1, 2, 3, 4], "features": [5.1, 3.5, 1.4, 0.2]}', "duplicate_key"),
    "an escaped duplicate key": (
        b'{"features": [1, 2, 3, 4], "f\\u0065atures": [5.1, 3.5, 1.4, 0.2]}',
        "duplicate_key",
    ),
    "absurd nesting": (b'{"features": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested_too_deep"),
    "absurd nesting, never closed": (b"[" * 200_000, "nested_too_deep"),
    "absurd nesting of objects": (b'{"a":' * 50_000, "nested_too_deep"),
    "100,000 digits": (b'{"features": [' + b"9" * 100_000 + b", 3.5, 1.4, 0.2]}", "number_too_long"),
    "too few": (flower(5.1, 3.5, 1.4), "wrong_feature_count"),
    "too many": (flower(5.1, 3.5, 1.4, 0.2, 9), "wrong_feature_count"),
    "none": (b'{"features": []}', "wrong_feature_count"),
    "no features": (b"{}", "features_missing"),
    "another key": (b'{"feature": [5.1, 3.5, 1.4, 0.2]}', "features_missing"),
    "features that are a number": (b'{"features": 5.1}', "wrong_shape"),
    "features that are null": (b'{"features": null}', "wrong_shape"),
    "features that are text": (b'{"features": "5.1,3.5,1.4,0.2"}', "wrong_shape"),
    "both names": (
        b'{"features": [5.1, 3.5, 1.4, 0.2], "instances": [[5.1, 3.5, 1.4, 0.2]]}',
        "features_and_instances",
    ),
    "a batch": (b'{"features": [[5.1, 3.5, 1.4, 0.2]]}', "single_expected"),
    "instances": (b'{"instances": [[5.1, 3.5, 1.4, 0.2]]}', "single_expected"),
}


@pytest.mark.parametrize("name", UNREADABLE_JSON)
def test_json_that_cannot_be_read(client: Client, name: str) -> None:
    body, code = UNREADABLE_JSON[name]
    refused(client.post(SINGLE, body), 400, code)


UNREADABLE_BATCHES = {
    "no rows": (b'{"features": []}', "no_rows"),
    "one row": (b'{"features": [5.1, 3.5, 1.4, 0.2]}', "batch_expected"),
    "one row by name": (b'{"features": {"sepal length (cm)": 5.1}}', "batch_expected"),
    "no key": (b"{}", "features_missing"),
    "columns": (b'{"sepal length (cm)": [5.1], "sepal width (cm)": [3.5]}', "features_missing"),
    "ragged": (b'{"instances": [[5.1, 3.5, 1.4, 0.2], [5.1, 3.5]]}', "ragged_rows"),
    "all too short": (b'{"instances": [[5.1, 3.5], [5.1, 3.5]]}', "wrong_feature_count"),
    "a row that is none": (b'{"instances": [[5.1, 3.5, 1.4, 0.2], 5]}', "wrong_shape"),
    "text": (b'{"instances": "many"}', "wrong_shape"),
    "deeper": (b'{"instances": [[[5.1, 3.5, 1.4, 0.2]]]}', None),
}


@pytest.mark.parametrize("name", UNREADABLE_BATCHES)
def test_batches_that_cannot_be_read(client: Client, name: str) -> None:
    body, code = UNREADABLE_BATCHES[name]
    refused(client.post(BATCH, body), 400, code)


def test_more_rows_than_allowed(client: Client, iris: Model) -> None:
    rows = iris.take(1001)
    problem = refused(client.post(BATCH, {"features": iris.lists(rows)}), 400, "too_many_rows")
    assert "1000" in problem["detail"] and "1001" in problem["detail"]
    refused(client.csv(BATCH, iris.csv(rows, iris.columns)), 400, "too_many_rows")


UNREADABLE_CSV: dict[str, tuple[str | bytes, int, str | None]] = {
    "nothing": ("", 400, "body_empty"),
    "a header alone": (HEADER, 400, "no_rows"),
    "two rows": (HEADER + "5.1,3.5,1.4,0.2\n" * 2, 400, "single_expected"),
    "ragged": (HEADER + "5.1,3.5,1.4\n", 400, "ragged_rows"),
    "too few by position": ("5.1,3.5,1.4\n", 400, "wrong_feature_count"),
    "a quote that is never closed": (HEADER + '"5.1,3.5,1.4,0.2\n', 400, "malformed_csv"),
    "a quote inside": (HEADER + '5"1,3.5,1.4,0.2\n', 400, "malformed_csv"),
    "text after a quote": (HEADER + '"5.1"x,3.5,1.4,0.2\n', 400, "malformed_csv"),
    "a NUL": (HEADER + "5.1,3.5,1.4,\x000.2\n", 400, "malformed_csv"),
    "a lone carriage return": (HEADER + "5.1,3.5\r1.4,0.2\n", 400, "malformed_csv"),
    "bad UTF-8": ((HEADER + "5.1,3.5,1.4,").encode() + b"\xff\n", 400, "not_utf8"),
    "a column named twice": ("sepal length (cm)," + HEADER + "1,5.1,3.5,1.4,0.2\n", 400, "column_repeated"),
    "text for a number": (HEADER + "5.1,3.5,1.4,wide\n", 422, "wrong_type"),
    "an empty field": (HEADER + "5.1,3.5,1.4,\n", 422, "null_not_allowed"),
    "NaN": (HEADER + "5.1,3.5,1.4,NaN\n", 422, "not_finite"),
    "infinity": (HEADER + "5.1,3.5,1.4,-inf\n", 422, "not_finite"),
    "a number too large": (HEADER + "5.1,3.5,1.4,1e999\n", 422, "out_of_range"),
    "a missing column": (HEADER.replace("petal width (cm)", "petal width") + "5.1,3.5,1.4,0.2\n", 422, None),
    "an unknown column": (HEADER.replace("\n", ",colour\n") + "5.1,3.5,1.4,0.2,3\n", 422, "unknown_column"),
}


@pytest.mark.parametrize("name", UNREADABLE_CSV)
def test_csv_that_is_refused(client: Client, name: str) -> None:
    body, status, code = UNREADABLE_CSV[name]
    refused(client.csv(SINGLE, body), status, code)


def test_a_header_that_is_said_wrongly(client: Client) -> None:
    refused(client.csv(SINGLE, HEADER + "5.1,3.5,1.4,0.2\n", kind="text/csv; header=maybe"), 400, "malformed_csv")
    refused(client.csv(SINGLE, HEADER + "5.1,3.5,1.4,0.2\n", kind="text/csv; header=absent"), 400)


# -- 422: what can be read, with a wrong value -------------------------------------------------------------------------

WRONG_VALUES = {
    "text for a number": (flower(5.1, "3.5", 1.4, 0.2), "wrong_type", "/features/1"),
    "a boolean for a number": (flower(True, 3.5, 1.4, 0.2), "wrong_type", "/features/0"),
    "null": (flower(5.1, 3.5, None, 0.2), "null_not_allowed", "/features/2"),
    "NaN": (b'{"features": [5.1, 3.5, 1.4, NaN]}', "not_finite", "/features/3"),
    "infinity": (b'{"features": [5.1, -Infinity, 1.4, 0.2]}', "not_finite", "/features/1"),
    "a number too large": (b'{"features": [5.1, 3.5, 1e999, 0.2]}', "out_of_range", "/features/2"),
    "a missing column": (flower_by_name({}, "petal width (cm)"), "missing_column", "/features/petal width (cm)"),
    "an unknown column": (flower_by_name({"colour": 1}), "unknown_column", "/features/colour"),
    "a field beside": (b'{"features": [5.1, 3.5, 1.4, 0.2], "top_k": 3}', "unknown_field", "/top_k"),
    "a version that is a number": (b'{"features": [5, 3, 1, 0], "model_version": 1}', "wrong_type", "/model_version"),
}


@pytest.mark.parametrize("name", WRONG_VALUES)
def test_json_with_a_wrong_value(client: Client, name: str) -> None:
    body, code, pointer = WRONG_VALUES[name]
    problem = refused(client.post(SINGLE, body), 422, None, pointer)
    assert code in [problem["code"], *(error["code"] for error in problem["errors"])]


DECLARED: dict[str, tuple[dict[str, Any], str | None, str]] = {
    "below the minimum": ({"age": -1}, "out_of_bounds", "/age"),
    "over the maximum": ({"age": 121}, "out_of_bounds", "/age"),
    "on the exclusive minimum": ({"spend": 0}, "out_of_bounds", "/spend"),
    "no whole number": ({"tenure_months": 7.5}, "wrong_type", "/tenure_months"),
    "an integer as text": ({"tenure_months": "7"}, "wrong_type", "/tenure_months"),
    "an integer beyond 64 bits": ({"tenure_months": 2**70}, None, "/tenure_months"),
    "not among the closed categories": ({"plan": "platinum"}, "unknown_category", "/plan"),
    "a category that is a number": ({"plan": 3}, "wrong_type", "/plan"),
    "a boolean as a number": ({"newsletter": 1}, "wrong_type", "/newsletter"),
    "a boolean as text": ({"newsletter": "true"}, "wrong_type", "/newsletter"),
    "text too long": ({"comment": "x" * 201}, "text_too_long", "/comment"),
    "a number for a text": ({"comment": 12}, "wrong_type", "/comment"),
    "null where none is allowed": ({"spend": None}, "null_not_allowed", "/spend"),
    "a list for a value": ({"city": ["Oslo"]}, "wrong_type", "/city"),
    "an object for a value": ({"city": {"name": "Oslo"}}, "wrong_type", "/city"),
}


@pytest.mark.parametrize("name", DECLARED)
def test_only_what_the_author_declares_is_enforced(client: Client, name: str) -> None:
    changes, code, pointer = DECLARED[name]
    problem = refused(client.post(CUSTOMERS, customer(**changes)), 422, None, pointer)
    assert code in [None, problem["code"], *(error["code"] for error in problem["errors"])]


def test_what_was_only_seen_in_training_refuses_nothing(client: Client) -> None:
    assert client.post(CUSTOMERS, customer(city="Reykjavík", spend=1e7, tenure_months=100_000)).status == 200


def test_missing_and_unknown_columns_are_named_with_what_was_meant(client: Client) -> None:
    body = customer()
    body["tenure_month"] = body.pop("tenure_months")
    del body["spend"]
    problem = refused(client.post(CUSTOMERS, body), 422)
    found = {error["pointer"]: error for error in problem["errors"]}
    assert found["/tenure_month"]["suggestion"] == "tenure_months"
    assert found["/spend"]["code"] == "missing_column"
    assert problem["errors_total"] == len(found) == 3


def test_every_fault_of_a_batch_is_counted_and_the_first_are_shown_with_their_rows(client: Client) -> None:
    rows = [customer(age="old", newsletter=2, comment=None) for _ in range(500)]
    answer = client.post(CUSTOMERS_BATCH, {"features": rows})
    problem = refused(answer, 422)
    assert problem["errors_total"] == 1500
    assert 5 <= len(problem["errors"]) < 1500
    assert len(answer.body) > 2048, "as many as fit"
    assert problem["errors"][0]["pointer"] == "/features/0/age" and problem["errors"][0]["row"] == 0
    assert problem["errors"][4]["row"] == 1


def test_an_unreadable_row_makes_the_whole_400(client: Client) -> None:
    refused(client.post(BATCH, {"features": [["wide", 3.5, 1.4, 0.2], [5.1, 3.5]]}), 400)


def test_csv_faults_carry_row_and_column(client: Client) -> None:
    text = HEADER + "5.1,3.5,1.4,0.2\n5.1,wide,1.4,0.2\n"
    problem = refused(client.csv(BATCH, text), 422, None, "/rows/1/sepal width (cm)")
    assert problem["errors"][0]["row"] == 1


def test_the_value_is_shown_clipped_and_nothing_else_is_echoed(client: Client) -> None:
    secret = "4111-1111" * 40
    problem = refused(client.post(CUSTOMERS, customer(age=secret, city="neighbour-city")), 422, None, "/age")
    assert len(problem["errors"][0]["value"]) <= 64
    assert "neighbour-city" not in json.dumps(problem)
    long = client.post(CUSTOMERS, {**customer(), "column-" * 5000: 1})
    assert "column-" * 20 not in refused(long, 422)["errors"][0]["message"]


def test_ten_thousand_unknown_columns_fit_into_four_kilobytes(client: Client) -> None:
    body = {**customer(), **{f"unknown {i} é\u2028\u0001": i for i in range(10_000)}}
    assert refused(client.post(CUSTOMERS, body), 422)["errors_total"] == 10_000


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("top_k=0", "top_k"),
        ("top_k=-1", "top_k"),
        ("top_k=many", "top_k"),
        ("top_k=", "top_k"),
        ("top_k=1.5", "top_k"),
        ("top_k=99999999999999999999", "top_k"),
        ("top_k=1&top_k=2", "top_k"),
        ("probabilities=maybe", "probabilities"),
        ("topk=3", "topk"),
        ("%ff=%00", None),
        ("&".join(f"a{i}=1" for i in range(500)), None),
    ],
)
def test_query_parameters_that_are_refused(client: Client, query: str, parameter: str | None) -> None:
    problem = refused(client.post(f"{SINGLE}?{query}", flower()), 422, "invalid_parameter")
    assert parameter is None or problem["errors"][0]["parameter"] == parameter


def test_top_k_of_a_model_without_probabilities(client: Client) -> None:
    for name, features in (("margin", FLOWER), ("pair", [1.0, 2.0, 3.0, 4.0, 5.0])):
        for query in ("top_k=3", "probabilities=true"):
            problem = refused(client.post(f"/api/v1/models/{name}/predict?{query}", {"features": features}), 422)
            assert problem["errors"][0]["code"] == "no_probabilities"


# -- 404, 405, 406, 413, 415 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/api/v1/models/irys/predict", "unknown_model"),
        ("/api/v1/models/irys/predict/batch", "unknown_model"),
        ("/api/v1/models/iris/versions/v9/predict", "unknown_version"),
        ("/api/v1/models/iris/versions/v9/predict/batch", "unknown_version"),
        ("/api/v1/predict/v9", "unknown_version"),
        ("/predict/v9", "unknown_version"),
        ("/api/v1/predikt", "not_found"),
        ("/api/v2/predict", "not_found"),
        ("/predict/", "not_found"),
        ("/api/v1/models/iris/predict/batch/more", "not_found"),
        ("/api/v1/models/..%2f..%2fetc/predict", None),
        ("/api/v1/models/%ff%fe/predict", None),
        ("/api/v1/models//predict", None),
        ("/%00", "not_found"),
    ],
)
def test_what_is_not_here(client: Client, path: str, code: str | None) -> None:
    refused(client.post(path, flower()), 404, code)


def test_unknown_names_list_those_that_exist(client: Client) -> None:
    problem = refused(client.post("/api/v1/models/irys/predict", flower()), 404)
    text = problem["detail"] + problem.get("hint", "")
    assert "iris" in text and "customers" in text
    assert "did you mean" in text.lower()
    problem = refused(client.post("/api/v1/models/iris/versions/v3/predict", flower()), 404)
    assert "v1" in problem["detail"] and "v2" in problem["detail"]
    body = {"features": FLOWER, "model_version": "v7"}
    assert "v1" in refused(client.post("/api/v1/predict", body), 404, "unknown_version")["detail"]
    refused(client.get("/api/v1/models/irys"), 404, "unknown_model")
    refused(client.get("/api/v1/models/iris/versions/v9"), 404, "unknown_version")


def test_a_version_in_the_path_and_another_in_the_body(client: Client) -> None:
    refused(client.post(SINGLE, {"features": FLOWER, "model_version": "v2"}), 400)
    refused(client.post("/predict/v1", {"features": FLOWER, "model_version": "v2"}), 400)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/api/v1/predict", "POST"),
        ("PUT", "/predict", "POST"),
        ("DELETE", SINGLE, "POST"),
        ("PATCH", BATCH, "POST"),
        ("OPTIONS", "/api/v1/predict", "POST"),
        ("POST", "/api/v1/models", "GET, HEAD"),
        ("POST", "/health", "GET, HEAD"),
        ("POST", "/", "GET, HEAD"),
        ("TRACE", "/api/v1/models/iris", "GET, HEAD"),
    ],
)
def test_a_method_that_is_not_served_lists_those_that_are(client: Client, method: str, path: str, allowed: str) -> None:
    answer = client.request(method, path, b"" if method != "GET" else None)
    refused(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize("accept", ["image/png", "application/xml", "text/html", "application/json;q=0", "text/plain"])
def test_an_answer_that_cannot_be_given(client: Client, accept: str) -> None:
    problem = refused(client.post(SINGLE, flower(), {"Accept": accept}), 406, "not_acceptable")
    assert "application/json" in problem["detail"] and "text/csv" in problem["detail"]


def test_what_curl_sends_by_default_gets_the_header_to_add(client: Client) -> None:
    problem = refused(client.post(SINGLE, flower(), kind="application/x-www-form-urlencoded"), 415)
    assert "-h 'content-type: application/json'" in (problem["detail"] + problem.get("hint", "")).lower()


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/xml",
        "multipart/mixed; boundary=x",
        "application/vnd.apache.parquet",
        "application/x-ndjson",
        "nonsense",
        "text/csv; charset=latin-1",
    ],
)
def test_a_content_type_that_is_not_read(client: Client, kind: str) -> None:
    problem = refused(client.post(SINGLE, flower(), kind=kind), 415, "unsupported_media_type")
    if "charset" not in kind:
        text = problem["detail"] + problem.get("hint", "")
        assert "application/json" in text


def test_compressed_bodies_are_not_read(client: Client) -> None:
    for encoding in ("gzip", "br", "gzip, identity"):
        refused(client.post(SINGLE, gzip.compress(flower()), {"Content-Encoding": encoding}), 415)
    assert client.post(SINGLE, flower(), {"Content-Encoding": "identity"}).status == 200


# -- 413, without reading what is too much -----------------------------------------------------------------------------


def test_a_body_over_the_limit_with_its_length_said(server: Serving) -> None:
    with Client(server.port) as client:
        answer = client.exchange(message("POST", SINGLE, None, {"Content-Length": str(8 * MIB + 1)}))
        assert refused(answer, 413, "body_too_large")
        assert str(8 * MIB) in answer.json["detail"]


def test_a_body_over_the_limit_in_chunks(server: Serving) -> None:
    with Wire(server.port) as wire:
        wire.send(message("POST", SINGLE, None, {"Transfer-Encoding": "chunked", "Content-Type": "application/json"}))
        chunk = b"%x\r\n%b\r\n" % (MIB, b" " * MIB)
        try:
            for _ in range(12):
                wire.send(chunk)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the server stopped reading, as it should
        answer = wire.answer()
        check(answer)
        refused(answer, 413, "body_too_large")
        assert answer.headers.get("connection") == "close"


def test_a_body_just_within_the_limit_is_read(client: Client) -> None:
    body = flower()
    assert client.post(SINGLE, body + b" " * (8 * MIB - len(body))).status == 200


def test_a_chunked_body_is_a_body(client: Client, iris: Model) -> None:
    body = flower()
    framed = b"".join(b"%x\r\n%c\r\n" % (1, byte) for byte in body) + b"0\r\n\r\n"
    answer = client.request(
        "POST", SINGLE, framed, {"Transfer-Encoding": "chunked", "Content-Type": "application/json"}
    )
    assert answer.status == 200
    assert stable(answer) == stable(client.post(SINGLE, body))


def test_expect_100_continue(server: Serving) -> None:
    body = flower()
    with Wire(server.port) as wire:
        head = {"Expect": "100-continue", "Content-Length": str(len(body)), "Content-Type": "application/json"}
        wire.send(message("POST", SINGLE, None, head))
        assert wire.answer().status == 100
        wire.send(body)
        assert wire.answer().status == 200


# -- 500: the model fails on valid input -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "what"),
    [([-2.0, 0.0], "NaN"), ([-1.0, 1.0], "minus infinity"), ([1.0, 7.0], "an index out of range")],
    ids=["NaN", "infinity", "failure"],
)
@pytest.mark.parametrize("many", [False, True], ids=["single", "batch"])
def test_a_model_that_fails_says_so_without_its_internals(
    server: Serving, client: Client, row: list[float], what: str, many: bool
) -> None:
    path = "/api/v1/models/fragile/predict" + ("/batch" if many else "")
    good = [1.0, 2.0]
    answer = client.post(path, {"features": [good, row, good] if many else row})
    problem = refused(answer, 500)
    assert problem["code"] in ("model_failed", "model_gave_no_number")
    assert "Gather" not in json.dumps(problem) and "onnx" not in json.dumps(problem).lower()
    until(
        lambda: [
            e for e in server.events() if e.get("request_id") == problem["request_id"] and e["event"] != "request"
        ],
        "there is nothing to look up in the log",
    )
    assert client.post(path, {"features": [good] if many else good}).status == 200, "the next request is not harmed"


# -- which goes first --------------------------------------------------------------------------------------------------

PRECEDENCE = [
    ("404 before 405", "DELETE", "/api/v1/models/irys/predict", {}, b"", 404),
    ("404 before 413", "POST", "/api/v1/models/irys/predict", {"Content-Length": str(9 * MIB)}, None, 404),
    ("404 before 415", "POST", "/api/v1/models/irys/predict", {"Content-Type": "text/plain"}, b"x", 404),
    ("405 before 413", "PUT", SINGLE, {"Content-Length": str(9 * MIB)}, None, 405),
    ("405 before 415", "PUT", SINGLE, {"Content-Type": "text/plain"}, b"x", 405),
    ("413 before 415", "POST", SINGLE, {"Content-Length": str(9 * MIB), "Content-Type": "text/plain"}, None, 413),
    ("413 before 406", "POST", SINGLE, {"Content-Length": str(9 * MIB), "Accept": "image/png"}, None, 413),
    ("415 before 406", "POST", SINGLE, {"Content-Type": "text/plain", "Accept": "image/png"}, b"x", 415),
    ("406 before 400", "POST", SINGLE, {"Accept": "image/png"}, b"{", 406),
    ("400 before 422", "POST", f"{SINGLE}?top_k=0", {}, b"{", 400),
    ("400 before 422, the header", "POST", f"{SINGLE}?top_k=0", {"X-Request-Timeout": "soon"}, flower(), 400),
    ("422 before 504", "POST", SINGLE, {"X-Request-Timeout": "0.000001"}, flower("a", 1, 2, 3), 422),
    ("422 before 500", "POST", "/api/v1/models/fragile/predict?top_k=1", {}, b'{"features": [-2, 0]}', 422),
]


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status"), [case[1:] for case in PRECEDENCE], ids=[c[0] for c in PRECEDENCE]
)
def test_where_several_statuses_fit_the_earlier_wins(
    client: Client, method: str, path: str, headers: dict[str, str], body: bytes | None, status: int
) -> None:
    refused(client.request(method, path, body, headers), status)


@pytest.mark.parametrize("seconds", ["0", "-1", "soon", "", "nan", "inf", "1e999", "1,5"])
def test_a_time_limit_that_cannot_be_read(client: Client, seconds: str) -> None:
    problem = refused(client.post(SINGLE, flower(), {"X-Request-Timeout": seconds}), 400)
    assert problem["errors"][0]["parameter"] == "X-Request-Timeout"


def test_a_generous_time_limit(client: Client) -> None:
    for seconds in ("5", "2.5", "1e3"):
        assert client.post(SINGLE, flower(), {"X-Request-Timeout": seconds}).status == 200


# -- on every answer ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["mine-1", "a" * 128, "01J0:abc/def=."])
def test_a_sane_request_id_comes_back(client: Client, given: str) -> None:
    for method, path, body in (
        ("POST", SINGLE, flower()),
        ("POST", SINGLE, b"{"),
        ("POST", "/nowhere", b""),
        ("GET", "/health", None),
        ("GET", "/api/v1/predict", None),
    ):
        assert client.request(method, path, body, {"X-Request-ID": given}).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a" * 5000, "with blank", 'quote"d', "b\xe4d", "{}\\"])
def test_another_request_id_is_replaced(client: Client, given: str) -> None:
    answer = client.request("POST", SINGLE, flower(), {"X-Request-ID": given})
    assert answer.status == 200
    assert answer.headers["x-request-id"] != given


def test_the_lane_and_the_ordinary_way_refuse_in_the_same_words(lane_server: Serving, ordinary_server: Serving) -> None:
    bodies = [body for body, *_ in (*UNREADABLE_JSON.values(), *WRONG_VALUES.values())]
    with Client(lane_server.port) as one, Client(ordinary_server.port) as other:
        for body in bodies:
            by_lane, ordinary = one.post(SINGLE, body), other.post(SINGLE, body)
            assert (by_lane.status, stable(by_lane)) == (ordinary.status, stable(ordinary))
