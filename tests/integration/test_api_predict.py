"""Predictions over the native API: every form of request and answer (contract §3)."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.asgi import Api, Price, Shop, problem, ready, serving

SINGLES = ["/api/v1/predict", "/predict", "/api/v1/models/shop/predict", "/api/v1/models/shop/versions/v2/predict"]
SINGLES += ["/api/v1/models/shop/versions/latest/predict", "/predict/v2", "/api/v1/predict/v2", "/predict/latest"]
BATCHES = ["/api/v1/predict/batch", "/predict_batch", "/api/v1/predict_batch", "/predict/batch"]
BATCHES += ["/api/v1/models/shop/predict/batch", "/api/v1/models/shop/versions/v2/predict/batch"]


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    versions = [ready("shop v1", Shop(probabilities=False)), ready("shop v2", Shop())]
    with serving(*versions, ready("price v1", Price()), default_model="shop") as running:
        yield running


@pytest.mark.parametrize("path", SINGLES)
def test_a_single_prediction_answers_at_every_path_of_the_contract(api: Api, path: str) -> None:
    answer = api.predict(path)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", answer.pop("timestamp"))
    assert len(answer.pop("prediction_id")) == 26
    assert answer.pop("inference_time_ms") > 0
    assert answer == {
        "status": "success",
        "prediction": 1,
        "class_name": "game",
        "confidence": 0.8,
        "probability": pytest.approx([0.1, 0.8, 0.1]),
        "model": "shop",
        "model_version": "v2",
    }


@pytest.mark.parametrize("path", BATCHES)
def test_a_batch_answers_at_every_path_of_the_contract_in_the_order_of_the_request(api: Api, path: str) -> None:
    answer = api.predict(path, [[2, 0.7], [0, 0.9], [1, 0.5]])
    assert len(answer.pop("prediction_id")) == 26
    assert answer.pop("total_time_ms") > 0
    assert answer == {
        "predictions": [2, 0, 1],
        "confidences": [0.7, 0.9, 0.5],
        "class_names": ["tea", "book", "game"],
        "model": "shop",
        "model_version": "v2",
        "batch_size": 3,
    }


def test_instances_are_another_word_for_features(api: Api) -> None:
    answer = api.client.post("/predict/batch", json={"instances": [{"x": 2, "y": 0.5}, {"y": 0.5, "x": 0}]})
    assert answer.json()["predictions"] == [2, 0]


@pytest.mark.parametrize("body", [{"features": {"y": 0.8, "x": 1}}, {"x": 1, "y": 0.8}, {"features": [1, 0.8]}])
def test_a_row_may_be_a_list_an_object_or_the_body_itself(api: Api, body: object) -> None:
    assert api.client.post("/predict", json=body).json()["prediction"] == 1


def test_the_body_may_name_the_version(api: Api) -> None:
    answer = api.client.post("/predict", json={"features": [1, 0.8], "model_version": "v1"}).json()
    assert answer["model_version"] == "v1"
    assert "probability" not in answer and "confidence" not in answer


def test_a_version_in_the_path_and_another_in_the_body_is_a_400(api: Api) -> None:
    body = {"features": [1, 0.8], "model_version": "v1"}
    problem(api.client.post("/api/v1/models/shop/versions/v2/predict", json=body), 400, "version_conflict")


def test_an_unknown_version_in_the_body_is_a_404(api: Api) -> None:
    answer = api.client.post("/predict", json={"features": [1, 0.8], "model_version": "v9"})
    assert "v2" in problem(answer, 404, "unknown_version")["detail"]


def test_a_body_without_a_content_type_is_read_as_json(api: Api) -> None:
    assert api.client.post("/predict", content=b'{"features": [1, 0.8]}').json()["prediction"] == 1


def test_a_csv_row_is_the_same_request_whatever_the_order_of_its_columns(api: Api) -> None:
    headers = {"content-type": "text/csv"}
    assert api.client.post("/predict", content=b"y,x\n0.8,1\n", headers=headers).json()["confidence"] == 0.8
    headers = {"content-type": "text/csv; header=absent"}
    answer = api.client.post("/predict/batch", content=b"2,0.8\r\n1,0.7\r\n", headers=headers).json()
    assert answer["predictions"] == [2, 1]


def test_an_answer_in_csv_names_its_model_in_headers(api: Api) -> None:
    headers = {"accept": "text/csv"}
    answer = api.client.post("/predict/batch", json={"features": [[2, 0.5], [1, 0.75]]}, headers=headers)
    assert answer.headers["content-type"].startswith("text/csv")
    assert (answer.headers["x-model"], answer.headers["x-model-version"]) == ("shop", "v2")
    assert len(answer.headers["x-prediction-id"]) == 26
    assert answer.text == "prediction,class_name,confidence\r\n2,tea,0.5\r\n1,game,0.75\r\n"


def test_csv_carries_a_column_per_class_where_probabilities_are_asked_for(api: Api) -> None:
    path = "/predict?probabilities=true&top_k=1"
    answer = api.client.post(path, json={"features": [2, 0.5]}, headers={"accept": "text/csv"})
    assert answer.text.splitlines() == [
        "prediction,class_name,confidence,top_1,top_1_probability,probability_book,probability_game,probability_tea",
        "2,tea,0.5,tea,0.5,0.25,0.25,0.5",
    ]


def test_top_k_lists_the_best_classes_first_and_all_of_them_at_most(api: Api) -> None:
    assert api.predict("/predict?top_k=2", [2, 0.5])["top"] == [
        {"prediction": 2, "class_name": "tea", "probability": 0.5},
        {"prediction": 0, "class_name": "book", "probability": 0.25},
    ]
    assert [len(top) for top in api.predict("/predict/batch?top_k=99", [[2, 0.5], [1, 0.5]])["top"]] == [3, 3]


def test_a_batch_carries_probabilities_where_they_are_asked_for(api: Api) -> None:
    answer = api.predict("/predict/batch?probabilities=true", [[2, 0.5]])
    assert answer["probabilities"] == [[0.25, 0.25, 0.5]]
    assert "probabilities" not in api.predict("/predict/batch?probabilities=false", [[2, 0.5]])


@pytest.mark.parametrize("query", ["top_k=0", "top_k=-1", "top_k=two", "top_k=1.5", "top_k=", "top_k=1&top_k=2"])
def test_a_top_k_that_is_no_count_is_a_422(api: Api, query: str) -> None:
    document = problem(api.client.post(f"/predict?{query}", json={"features": [1, 1]}), 422, "invalid_parameter")
    assert document["errors"][0]["parameter"] == "top_k"


def test_an_unknown_query_parameter_is_refused_with_a_suggestion(api: Api) -> None:
    document = problem(api.client.post("/predict?topk=3", json={"features": [1, 1]}), 422, "invalid_parameter")
    assert document["errors"][0]["suggestion"] == "top_k"
    assert "Did you mean top_k?" in document["detail"]


@pytest.mark.parametrize("query", ["top_k=2", "probabilities=true"])
def test_what_needs_probabilities_is_refused_where_the_model_gives_none(api: Api, query: str) -> None:
    answer = api.client.post(f"/api/v1/models/price/predict?{query}", json={"features": [1, 1]})
    assert "price v1 gives no probabilities" in problem(answer, 422, "invalid_parameter")["detail"]
    body = {"features": [1, 1], "model_version": "v1"}
    problem(api.client.post(f"/predict?{query}", json=body), 422, "invalid_parameter")


def test_options_are_held_against_the_version_that_the_body_names() -> None:
    with serving(ready("shop v1", Shop()), ready("shop v2", Shop(probabilities=False))) as api:
        body = {"features": [1, 0.8], "model_version": "v1"}
        assert len(api.client.post("/predict?top_k=2", json=body).json()["top"]) == 2


def test_faults_of_query_and_body_are_told_together(api: Api) -> None:
    document = problem(api.client.post("/predict?top_k=0", json={"features": ["a", 1]}), 422, "invalid_input")
    assert document["errors_total"] == 2
    assert {"parameter", "pointer"} <= {key for fault in document["errors"] for key in fault}


def test_a_body_that_cannot_be_read_goes_before_a_wrong_parameter(api: Api) -> None:
    problem(api.client.post("/predict?top_k=0", content=b"{"), 400, "malformed_json")
    problem(api.client.post("/predict?top_k=0", json={"features": [1]}), 400, "wrong_feature_count")


def test_a_number_that_json_has_no_word_for_is_the_models_failure_and_never_a_null(api: Api) -> None:
    path = "/api/v1/models/price/predict"
    problem(api.client.post(path, json={"features": [9, 1]}), 500, "model_gave_no_number")
    answer = api.client.post(f"{path}/batch", json={"features": [[1, 1], [9, 1]]})
    assert "row 1" in problem(answer, 500, "model_gave_no_number")["detail"]


def test_a_failing_model_is_a_500_without_anything_from_inside(api: Api) -> None:
    answer = api.client.post("/predict", json={"features": [-7, 1]})
    problem(answer, 500, "model_failed")
    assert "srv" not in answer.text and "ValueError" not in answer.text
    assert api.predict("/predict")["prediction"] == 1


def test_each_request_is_told_to_the_observer_once_with_its_route_and_rows(api: Api) -> None:
    api.outcomes.clear()
    api.predict("/api/v1/models/shop/versions/v2/predict/batch", [[1, 1], [2, 1]], headers={"x-request-id": "mine-1"})
    api.client.get("/nowhere/at/all")
    done, lost = api.outcomes
    assert (done.request_id, done.status, done.outcome, done.rows, done.batch_rows) == ("mine-1", 200, "success", 2, 2)
    assert done.route == "/api/v1/models/{model}/versions/{version}/predict/batch"
    assert (done.model, done.version, done.lane) == ("shop", "v2", False)
    assert done.inference_ms is not None and 0 < done.inference_ms <= done.duration_ms
    assert (lost.route, lost.status, lost.outcome, lost.code) == ("_unmatched", 404, "refused", "not_found")
