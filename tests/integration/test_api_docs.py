"""The OpenAPI document and the docs page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from foretell.api.openapi import MOST_KEPT, OpenApi
from foretell.api.routes import Route
from foretell.lifecycle.catalog import Catalog
from foretell.settings import Settings
from tests.asgi import Api, Price, Shop, failed, problem, ready, serving

VERBS = {"get", "post"}


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    entries = [ready("shop v1", Shop()), ready("price v1", Price()), failed("broken v1")]
    with serving(*entries, default_model="shop") as running:
        yield running


@pytest.fixture(scope="module")
def document(api: Api) -> dict[str, Any]:
    found: dict[str, Any] = api.client.get("/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in VERBS & set(item):
            yield method, path, item[method]


def schema(document: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    return {**content["schema"], "components": document["components"]}


def test_every_route_is_in_the_document(api: Api, document: dict[str, Any]) -> None:
    routes = [route for route in api.client.app.routes if isinstance(route, Route) and route.include_in_schema]  # type: ignore[attr-defined]
    assert len(routes) > 20
    for route in routes:
        assert {method.lower() for method in route.methods or ()} <= set(document["paths"][route.path])


def test_every_operation_has_an_id_of_its_own(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids))


def test_each_ready_model_has_paths_of_its_own_and_no_other_has(document: dict[str, Any]) -> None:
    own = [path for path in document["paths"] if path.startswith("/api/v1/models/") and "{" not in path]
    assert own == [f"/api/v1/models/{name}/predict{more}" for name in ("price", "shop") for more in ("", "/batch")]


def test_every_example_works_and_its_answer_is_as_described(api: Api, document: dict[str, Any]) -> None:
    tried = 0
    for _, path, operation in operations(document):
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
            if "example" not in content or "{" in path:
                continue
            example = content["example"]
            body = {"json": example} if media_type == "application/json" else {"content": example}
            answer = api.client.post(path, headers={"content-type": media_type}, **body)
            assert answer.status_code == 200, (path, answer.text)
            if media_type == "application/json":
                jsonschema_rs.validate(schema(document, content), example)
            described = operation["responses"]["200"]["content"]["application/json"]
            jsonschema_rs.validate(schema(document, described), answer.json())
            tried += 1
    assert tried == 20


def test_what_reading_paths_answer_is_as_described(api: Api, document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        if method == "get" and "admin" not in operation["tags"]:  # tested where there are keys
            asked = path.format(model="shop", version="v1")
            described = operation["responses"]["200"]["content"]["application/json"]
            jsonschema_rs.validate(schema(document, described), api.client.get(asked).json())


def test_problems_are_as_described(api: Api, document: dict[str, Any]) -> None:
    operation = document["paths"]["/predict"]["post"]
    for body in (b"{", b'{"features": ["a", "b"]}', b""):
        answer = api.client.post("/predict?top_k=0", content=body)
        described = operation["responses"][str(answer.status_code)]["content"]["application/problem+json"]
        jsonschema_rs.validate(schema(document, described), answer.json())


def test_a_model_without_probabilities_offers_no_options_for_them(document: dict[str, Any]) -> None:
    named = {
        model: [
            parameter["name"]
            for parameter in document["paths"][f"/api/v1/models/{model}/predict"]["post"]["parameters"]
        ]
        for model in ("shop", "price")
    }
    assert named == {"shop": ["top_k", "probabilities"], "price": []}


def test_the_document_follows_the_catalog() -> None:
    with serving(ready("shop v1", Shop())) as api:
        before = api.client.get("/openapi.json").json()
        assert api.client.app.openapi() is api.client.app.openapi()  # type: ignore[attr-defined]
        later = ready("price v1", Price())
        api.services.holder.swap(api.services.holder.current.with_changes({later.ref: later}))
        after = api.client.get("/openapi.json").json()
    assert "/api/v1/models/price/predict" not in before["paths"]
    assert "/api/v1/models/price/predict" in after["paths"]


def test_columns_without_a_csv_form_have_no_csv_example() -> None:
    entry = ready("shop v1", Shop())
    assert entry.servable is not None
    entry.servable.example = {"x": True}
    with serving(entry) as api:
        content = api.client.get("/openapi.json").json()["paths"]["/predict"]["post"]["requestBody"]["content"]
        assert content["text/csv"]["example"] == "x,y\ntrue,\n"
        entry.servable.example = 5
    with serving(entry) as api:
        content = api.client.get("/openapi.json").json()["paths"]["/predict"]["post"]["requestBody"]["content"]
        assert "example" not in content["text/csv"]


def test_the_docs_page_loads_nothing_from_elsewhere(api: Api) -> None:
    page = api.client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    places = re.findall(r'(?:src|href|data-openapi)="([^"]+)"', page.text)
    assert len(places) == 5
    for place in places:
        assert place.startswith("/")
        answer = api.client.get(place, headers={"range": "bytes=0-1"})
        assert answer.status_code == 200 and len(answer.content) > 100
    assert "<script>" not in page.text


def test_only_the_files_of_the_docs_page_are_served(api: Api) -> None:
    assert "max-age" in api.client.get("/docs/assets/swagger-ui.css").headers["cache-control"]
    for name in ("__init__.py", "..%2f__init__.py", "swagger-ui.css.map"):
        problem(api.client.get(f"/docs/assets/{name}"), 404, "not_found")


def test_behind_a_proxy_the_docs_stand_under_its_path() -> None:
    with serving(ready("shop v1", Shop()), root_path="/ml") as api:
        assert 'data-openapi="/ml/openapi.json"' in api.client.get("/docs").text
        assert api.client.get("/openapi.json").json()["servers"] == [{"url": "/ml"}]
        assert api.client.get("/").json()["links"]["docs"] == "/ml/docs"


def test_docs_can_be_switched_off() -> None:
    with serving(ready("shop v1", Shop()), docs={"enabled": False}) as api:
        for path in ("/docs", "/openapi.json", "/docs/assets/init.js", "/redoc"):
            problem(api.client.get(path), 404, "not_found")
        assert "docs" not in api.client.get("/").json()["links"]


def test_callers_who_take_turns_do_not_make_the_document_anew_each_time() -> None:
    one, two = Catalog.of([ready("shop v1", Shop())]), Catalog.of([ready("price v1", Price())])
    made = OpenApi(Settings(), "1")
    documents = [made.document((), catalog, ()) for catalog in (one, two, one, two)]
    assert documents[0] is documents[2] and documents[1] is documents[3]
    assert documents[0] != documents[1]
    for number in range(MOST_KEPT - 1):
        made.document((), Catalog.of([ready(f"m{number} v1", Shop())]), ())
    assert made.document((), two, ()) is documents[1]
    assert made.document((), one, ()) is not documents[0], "no more than so many are kept"
    assert made.document((), one, ()) == documents[0]
