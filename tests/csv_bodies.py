"""Hooks of schemathesis: JSON Schema can say no more of CSV than that it is text; this says what suits ``Sign``."""

from __future__ import annotations

from typing import Any

import schemathesis
from hypothesis import strategies as st

NUMBERS = st.floats(-1e6, 1e6)
WORDS = st.sampled_from(["", "red", "blue", '"a ""b"", c"'])
ROWS = st.tuples(NUMBERS, st.integers(0, 9), st.sampled_from(["true", "false"]), WORDS)

schemathesis.openapi.media_type("text/csv", ROWS.map(lambda row: ("x,n,b,w\n" + ",".join(map(str, row))).encode()))


@schemathesis.hook  # type: ignore[untyped-decorator,unused-ignore]
def before_load_schema(_: Any, raw_schema: dict[str, Any]) -> None:
    """Takes forms out: JSON Schema can say no more of a file than that it is bytes."""
    for operations in raw_schema["paths"].values():
        for operation in operations.values():
            operation.get("requestBody", {}).get("content", {}).pop("multipart/form-data", None)
