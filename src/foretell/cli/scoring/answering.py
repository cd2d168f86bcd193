"""Chunks of rows through a model in this process: what ``foretell.inference.stream`` is to a server."""

from __future__ import annotations

import numpy as np

from foretell.codecs.stream.base import Answered, Chunk
from foretell.core.values import Outputs, finite_rows, join_outputs
from foretell.inference.stream import FAILED, NO_NUMBER, placed
from foretell.runtimes.base import Model


def answer(model: Model, chunk: Chunk) -> Answered:
    """The chunk with its answers. A row the model fails on, or gives no number for, is a fault of its own."""
    if chunk.inputs is None:
        return Answered(chunk, None, chunk.faults)
    parts: list[Outputs] = []
    failed: dict[int, str] = {}
    spans = [(0, chunk.inputs.count)]
    while spans:
        start, stop = spans.pop()
        outputs = _outputs(model, chunk, start, stop)
        if outputs is not None:
            finite = finite_rows(outputs)
            if not finite.all():
                failed |= {start + int(row): NO_NUMBER for row in np.flatnonzero(~finite)}
                outputs = outputs.rows(finite)
            parts += [outputs] if outputs.count else []
        elif stop - start > 1:
            middle = (start + stop) // 2
            spans += [(middle, stop), (start, middle)]
        else:
            failed[start] = FAILED
    faults = placed(chunk, failed) if failed else chunk.faults
    return Answered(chunk, join_outputs(parts) if parts else None, faults)


def _outputs(model: Model, chunk: Chunk, start: int, stop: int) -> Outputs | None:
    """The model's answer to some rows; None where it fails or does not answer each."""
    assert chunk.inputs is not None  # noqa: S101 - the caller has looked
    whole = start == 0 and stop == chunk.inputs.count
    try:
        outputs = model.predict(chunk.inputs if whole else chunk.inputs.part(start, stop))
    except Exception:  # a model may raise anything; which row it was is found by halving, and told
        return None
    return outputs if outputs.count == stop - start else None
