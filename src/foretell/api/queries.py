"""Query strings, within a bound. Pure."""

from __future__ import annotations

from urllib.parse import parse_qsl

MAX_PARAMETERS = 20
MAX_QUERY_BYTES = 8 * 1024


def parameters_of(query: bytes) -> list[tuple[str, str]]:
    """Names and values in their order. Raises ValueError beyond ``MAX_PARAMETERS`` or ``MAX_QUERY_BYTES``."""
    if len(query) > MAX_QUERY_BYTES:
        raise ValueError(f"more than {MAX_QUERY_BYTES} bytes of query parameters")
    try:
        return parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
    except ValueError:
        raise ValueError(f"more than {MAX_PARAMETERS} query parameters") from None
