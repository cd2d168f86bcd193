"""Hooks of schemathesis: JSON Schema can say no more of CSV and JSON lines than that they are text; this says what
suits ``Sign``."""

from __future__ import annotations

import json
from typing import Any

import schemathesis
from hypothesis import strategies as st

BYTES = (
    "application/vnd.apache.arrow.stream",
    "application/vnd.apache.parquet",
    "application/x-npy",
    "multipart/form-data",
)
NUMBERS = st.floats(-1e6, 1e6)
WORDS = st.sampled_from(["", "red", "blue", '"a ""b"", c"'])
ROWS = st.tuples(NUMBERS, st.integers(0, 9), st.sampled_from(["true", "false"]), WORDS)

schemathesis.openapi.media_type("text/csv", ROWS.map(lambda row: ("x,n,b,w\n" + ",".join(map(str, row))).encode()))
schemathesis.openapi.media_type(
    "application/x-ndjson",
    st.tuples(NUMBERS, st.integers(0, 9), st.booleans(), st.sampled_from([None, "red"])).map(
        lambda row: json.dumps(row).encode() + b"\n"
    ),
)


@schemathesis.hook  # type: ignore[untyped-decorator,unused-ignore]
def before_load_schema(_: Any, raw_schema: dict[str, Any]) -> None:
    """Takes out formats of which JSON Schema can say no more than that they are bytes."""
    for operations in raw_schema["paths"].values():
        for operation in operations.values():
            content = operation.get("requestBody", {}).get("content", {})
            for kind in BYTES:
                content.pop(kind, None)
