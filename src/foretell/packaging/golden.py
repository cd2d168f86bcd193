"""Golden examples: rows with the answers the written model gave, kept to be asked again before serving."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.core.document import Document
from foretell.core.limits import BodyLimits
from foretell.core.manifest import Golden
from foretell.core.signature import Signature
from foretell.core.validation import bind
from foretell.core.values import Outputs
from foretell.errors import RequestError
from foretell.packaging.sample import Sample
from foretell.packaging.statistics import WIDE

GOLDEN_MAX = 10
GOLDEN_MAX_WIDE = 3
_NAMED_COLUMNS_MAX = 64
_TRIED_MAX = 1000


def golden_rows(sample: Sample, outputs: Outputs, signature: Signature) -> list[int]:
    """Up to ten rows that a request could carry, spread over predicted classes and over rows with and without nulls."""
    groups: dict[Any, list[int]] = {}
    nulls = np.any([column.nulls for column in sample.columns], axis=0)
    for row, key in enumerate(_keys(outputs, nulls)):
        groups.setdefault(key, []).append(row)
    chosen: list[int] = []
    most = GOLDEN_MAX if len(sample.columns) <= WIDE else GOLDEN_MAX_WIDE
    for tried, row in enumerate(_round_robin(groups.values())):
        if len(chosen) == most or tried == _TRIED_MAX:
            break
        if valid(sample.row(row), signature):
            chosen.append(row)
    # rows without nulls come first: the first golden example is also the one shown to people
    return sorted(chosen, key=lambda row: (bool(nulls[row]), row))


def golden_examples(sample: Sample, outputs: Outputs, signature: Signature) -> tuple[Golden, ...]:
    """The sample's rows with these outputs, one example each."""
    listed = outputs.listed
    probabilities: Sequence[list[float] | None] = listed.probabilities or [None] * outputs.count
    return tuple(
        Golden(_features(sample.row(row), signature), prediction, None if shares is None else tuple(shares))
        for row, (prediction, shares) in enumerate(zip(listed.predictions, probabilities, strict=True))
    )


def valid(row: dict[str, Any], signature: Signature) -> bool:
    """Whether the server would take the row, by the server's own judgement."""
    if any(isinstance(value, float) and not math.isfinite(value) for value in row.values()):
        return False  # JSON has no way to send it
    try:
        bind(Document("json", True, _features(row, signature), "/features"), signature, BodyLimits(), "the example")
    except RequestError:
        return False
    return True


def _features(row: dict[str, Any], signature: Signature) -> Any:
    present = {name: value for name, value in row.items() if value is not None}
    if len(present) == len(row) and (not signature.named or len(row) > _NAMED_COLUMNS_MAX):
        return list(row.values())
    return present


def _keys(outputs: Outputs, nulls: NDArray[np.bool_]) -> Iterable[Any]:
    classes = outputs.listed.predictions if outputs.output.kind == "classification" else [None] * outputs.count
    return zip(map(str, classes), nulls.tolist(), strict=True)


def _round_robin(groups: Iterable[list[int]]) -> Iterable[int]:
    """One of each group, then a second of each, and so on."""
    queues = [iter(group) for group in groups]
    while queues:
        alive = []
        for queue in queues:
            row = next(queue, None)
            if row is not None:
                alive.append(queue)
                yield row
        queues = alive
