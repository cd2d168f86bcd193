"""The line that asks a served model for a prediction."""

from __future__ import annotations

import json
import shlex
from typing import Any


def curl_line(model: str, features: Any, *, host: str = "localhost", port: int = 8000, prefix: str = "/api/v1") -> str:
    """A line for the shell. ``features`` is one row as a caller sends it."""
    body = json.dumps({"features": features}, ensure_ascii=False)
    url = f"{host}:{port}{prefix}/models/{model}/predict"
    return f"curl -s {shlex.quote(url)} -H 'content-type: application/json' -d {shlex.quote(body)}"
