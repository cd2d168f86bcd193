"""The parts of a fitted estimator: everything of scikit-learn's that it holds, at any depth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np


def parts_of(root: Any) -> Iterator[tuple[Any, Any]]:
    """Every part with its holder, the root first, each part once; holders of the root are None.

    A part is an instance of a class of scikit-learn's, however deep in lists, tuples, mappings and object arrays.
    """
    waiting: list[tuple[Any, Any]] = [(root, None)]
    seen: set[int] = set()
    while waiting:
        item, holder = waiting.pop()
        if id(item) in seen or isinstance(item, str | bytes | int | float | type(None) | type):
            continue
        seen.add(id(item))
        if isinstance(item, Mapping):
            inner: Any = item.values()
        elif isinstance(item, list | tuple | set | frozenset):
            inner = item
        elif isinstance(item, np.ndarray):
            inner = item.flat if item.dtype == object else ()
        elif type(item).__module__.split(".")[0] == "sklearn" or holder is None:
            yield item, holder
            holder, inner = item, getattr(item, "__dict__", {}).values()
        else:
            continue
        waiting.extend((child, holder) for child in inner)
