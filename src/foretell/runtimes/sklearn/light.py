"""Importing skops without what it would pull in: it looks through all of scikit-learn, and so imports torch, say.

scikit-learn has a module for each array library it can compute with. None of them is ours to use, and torch alone is
170 MB in every process that serves.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_OTHERS = tuple(f"sklearn.externals.array_api_compat.{name}" for name in ("cupy", "dask", "torch"))


@contextmanager
def without_other_arrays() -> Iterator[None]:
    """Within the block those modules cannot be imported, which whoever looks through packages passes over."""
    barred = [name for name in _OTHERS if name not in sys.modules]
    for name in barred:
        sys.modules[name] = None  # type: ignore[assignment]  # what the import system takes for «there is none»
    try:
        yield
    finally:
        for name in barred:
            sys.modules.pop(name, None)
