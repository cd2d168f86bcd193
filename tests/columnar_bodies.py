"""Rows as bodies of the columnar formats, as the libraries people use write them."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

Rows = Sequence[Sequence[Any]]


def npy(values: Any, dtype: Any = None, **options: Any) -> bytes:
    """What ``numpy.save`` writes."""
    file = io.BytesIO()
    np.save(file, np.asarray(values, dtype, **options), allow_pickle=False)
    return file.getvalue()


def npy_header(header: str, values: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    """An NPY body with any header."""
    text = header.encode("latin-1")
    size = len(text).to_bytes(2 if version[:1] == b"\x01" else 4, "little")
    return b"\x93NUMPY" + version + size + text + values


def ndjson(rows: Rows, names: Sequence[str] | None = None) -> bytes:
    """A list, or an object where ``names`` are given, on each line."""
    lines = [list(row) if names is None else dict(zip(names, row, strict=True)) for row in rows]
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()


def loaded(body: bytes) -> Any:
    """The array of an NPY answer."""
    return np.load(io.BytesIO(body), allow_pickle=False)
