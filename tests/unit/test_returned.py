"""Whatever an author's ``predict`` returns is either refused, or outputs that keep every promise of the port."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from foretell.core.signature import Output, Tensor
from foretell.core.values import Outputs
from foretell.runtimes.returned import Answers, WrongAnswer

ROWS = 3
OUTPUTS = [
    Output("regression"),
    Output("regression", names=("a", "b")),
    Output("classification"),
    Output("classification", classes=("no", "yes")),
    Output("classification", classes=(0, 1), probabilities=True),
    Output("classification", names=("a", "b")),
    Output("tensors"),
    Output("tensors", tensors=(Tensor("x", "float32", (-1, 2)), Tensor("y", "string", (-1,)))),
]

cells = (
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats() | st.sampled_from(["no", "yes", "x"]) | st.just(b"b")
)
plain = cells | st.lists(cells, max_size=4) | st.lists(st.lists(cells, max_size=3), max_size=4)
shapes = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4) | st.sampled_from([(3,), (3, 1), (3, 2)])
kinds = st.sampled_from(["f4", "f8", "i8", "u1", "?", "U3", "O", "M8[us]", "c8"])
returns = plain | kinds.flatmap(lambda kind: arrays.arrays(np.dtype(kind), shapes, fill=st.nothing()))
names = st.sampled_from(["prediction", "probabilities", "x", "y", "score"])


@pytest.mark.parametrize("output", OUTPUTS, ids=str)
@given(returned=returns | st.dictionaries(names, returns, max_size=3))
def test_what_is_returned_is_refused_or_keeps_the_promises(output: Output, returned: Any) -> None:
    try:
        outputs = Answers(output)(returned, ROWS)
    except WrongAnswer as refusal:
        assert "\n" not in str(refusal)
        assert len(str(refusal)) < 400
        return
    kept(outputs, output)


def kept(outputs: Outputs, output: Output) -> None:
    assert (outputs.output, outputs.count, len(outputs.listed.predictions)) == (output, ROWS, ROWS)
    assert sum(part is not None for part in (outputs.indices, outputs.values, outputs.tensors)) == 1
    if output.kind == "regression":
        assert outputs.values is not None
        assert outputs.values.dtype == np.float64
    if output.several:
        assert all(len(row) == len(output.names) for row in outputs.listed.predictions)
    if output.classes:
        assert set(outputs.listed.predictions) <= set(output.classes)
    assert (outputs.probabilities is not None) is output.probabilities
    if outputs.probabilities is not None:
        assert outputs.probabilities.shape == (ROWS, len(output.classes or ()))
    assert outputs.part(1, 2).count == 1
