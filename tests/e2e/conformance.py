"""Hooks of schemathesis for the real repository.

JSON Schema can say of CSV and NDJSON no more than that they are text, and not which body a path with a model's name in
it takes. So paths of models that are not iris are asked in JSON alone, and CSV and NDJSON are made of iris flowers.
"""

from __future__ import annotations

from typing import Any

import schemathesis
from hypothesis import strategies as st

HEADER = "sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)"
TEXTS = ("text/csv", "application/x-ndjson")
BYTES = (
    "application/vnd.apache.arrow.stream",
    "application/vnd.apache.parquet",
    "application/x-npy",
    "multipart/form-data",
)
CENTIMETRES = st.floats(0, 30).map(repr)

FLOWERS = st.lists(CENTIMETRES, min_size=4, max_size=4).map(lambda row: f"[{','.join(row)}]\n".encode())

schemathesis.openapi.media_type("application/x-ndjson", FLOWERS)
schemathesis.openapi.media_type(
    "text/csv",
    st.tuples(CENTIMETRES, CENTIMETRES, CENTIMETRES, CENTIMETRES).map(
        lambda row: f"{HEADER}\r\n{','.join(row)}\r\n".encode()
    ),
)


@schemathesis.hook  # type: ignore[untyped-decorator,unused-ignore]
def filter_case(_: Any, case: Any) -> bool:
    """Leaves out numbers that no schema forbids and a model may rightly refuse once it has failed on them."""
    return not extreme(case.body)


def extreme(value: Any) -> bool:
    """Whether a number that overflows in a model's arithmetic stands anywhere inside."""
    if isinstance(value, dict):
        return any(map(extreme, value.values()))
    if isinstance(value, list):
        return any(map(extreme, value))
    return isinstance(value, int | float) and not -1e30 < value < 1e30


@schemathesis.hook  # type: ignore[untyped-decorator,unused-ignore]
def before_load_schema(context: Any, raw_schema: dict[str, Any]) -> None:
    """Takes CSV and NDJSON out of the paths that iris does not answer, and the model that fails by design out of all.

    Examples of both go too: schemathesis takes none beside a strategy. ``test_openapi`` posts them as they are. Formats
    of which JSON Schema can say no more than that they are bytes are left to ``test_columnar``.
    """
    for path, operations in list(raw_schema["paths"].items()):
        if "/models/fragile/" in path:
            del raw_schema["paths"][path]
            continue
        for operation in operations.values():
            content = operation.get("requestBody", {}).get("content", {})
            for kind in BYTES:
                content.pop(kind, None)
            for kind in TEXTS:
                content.get(kind, {}).pop("example", None)
                if "/models/" in path and "/models/iris/" not in path and not path.endswith("/stream"):
                    content.pop(kind, None)
