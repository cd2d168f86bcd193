"""Artifacts that are a function of arrays, such as PyTorch programs and LiteRT graphs: validated rows in, outputs out.

With a signature of tensors the arrays go through as they are. With one of columns the artifact takes one matrix, one
row a row; what it gives is a number, labels, or a score for each class, of which the highest is the prediction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.core.signature import Output, Signature, Tensor
from foretell.core.values import Inputs, Matrix, Outputs, Tensors, join
from foretell.errors import LoadFailed, SignatureMissing
from foretell.runtimes.base import FIXED_ROWS_MAX
from foretell.runtimes.returned import Answers, WrongAnswer

Arrays = Mapping[str, NDArray[Any]]
Function = Callable[[Arrays], Arrays]
"""Named arrays in, named arrays out; all have the rows as their first axis. Raises whatever the library raises."""


class ArrayModel:
    """A function of arrays behind a signature. ``call`` must be safe in threads; ``released`` gives back its memory.

    Where the artifact takes a fixed number of rows, it is called with that many, the last one repeated.
    """

    def __init__(
        self,
        model_type: str,
        signature: Signature,
        inputs: Sequence[Tensor],
        call: Function,
        *,
        parameters: Mapping[str, Any],
        released: Callable[[], None] = lambda: None,
    ) -> None:
        self.model_type = model_type
        self.signature = signature
        self.parameters = parameters
        self._feed = _feed(signature, inputs)
        self._answer = _answer(signature.output)
        self._group = max((tensor.shape[0] for tensor in inputs), default=-1)
        if self._group > FIXED_ROWS_MAX:
            raise LoadFailed(f"the model takes {self._group:,} rows at a time; at most {FIXED_ROWS_MAX:,} are served")
        self._call: Function | None = call
        self._released = released

    def predict(self, inputs: Inputs) -> Outputs:
        """As the port promises. Raises WrongAnswer where the artifact gives something else than is promised."""
        if self._group > 0 and inputs.count != self._group:
            return self._answer(self._in_groups(inputs, self._group), inputs.count)
        return self._answer(self._results(inputs), inputs.count)

    def _in_groups(self, inputs: Inputs, size: int) -> Arrays:
        parts: list[Arrays] = []
        for start in range(0, inputs.count, size):
            group = inputs.part(start, start + size)
            if lacking := size - group.count:
                group = join([group, *[inputs.part(inputs.count - 1, inputs.count)] * lacking])
            parts.append(self._results(group))
        return {name: np.concatenate([part[name] for part in parts])[: inputs.count] for name in parts[0]}

    def _results(self, inputs: Inputs) -> Arrays:
        call = self._call
        if call is None:
            raise RuntimeError("the model is closed")
        return call(self._feed(inputs))

    def close(self) -> None:
        """Lets go of the artifact."""
        self._call = None
        self._released()


def own_signature(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Signature:
    """The signature an artifact tells of itself. Raises SignatureMissing where it cannot be served row by row."""
    for tensor in (*inputs, *outputs):
        if not tensor.shape:
            raise SignatureMissing(f"{tensor.name} is a single number without an axis for the rows")
    return Signature(tensors=tuple(inputs), output=Output("tensors", tensors=tuple(outputs)))


def check_inputs(signature: Signature, inputs: Sequence[Tensor]) -> None:
    """Raises LoadFailed where a manifest's signature is not what the artifact takes."""
    if signature.columns:
        if len(inputs) != 1 or len(inputs[0].shape) != 2:
            raise LoadFailed("the signature has columns, but the model does not take one matrix")
        if inputs[0].shape[1] not in (-1, len(signature.columns)):
            raise LoadFailed(
                f"the signature has {len(signature.columns)} columns, the model takes {inputs[0].shape[1]}"
            )
        return
    known = {tensor.name: tensor for tensor in inputs}
    if set(known) != {tensor.name for tensor in signature.tensors}:
        taken, given = ", ".join(known), ", ".join(tensor.name for tensor in signature.tensors)
        raise LoadFailed(f"the model takes {taken[:200]}, the signature has {given[:200]}")
    for tensor in signature.tensors:
        own = known[tensor.name]
        if tensor.dtype != own.dtype or len(tensor.shape) != len(own.shape):
            raise LoadFailed(
                f"tensor {tensor.name} is {tensor.dtype} of {len(tensor.shape)} axes in the signature, "
                f"{own.dtype} of {len(own.shape)} in the model"
            )


def _feed(signature: Signature, inputs: Sequence[Tensor]) -> Callable[[Inputs], Arrays]:
    if signature.tensors:
        return _tensors
    if signature.layout != "matrix":
        raise LoadFailed("the signature has columns that are no numbers, which this model cannot be given as a matrix")
    name, dtype = inputs[0].name, inputs[0].dtype

    def matrix(rows: Inputs) -> Arrays:
        assert isinstance(rows, Matrix)  # noqa: S101 - the port promises inputs in the signature's layout
        with np.errstate(over="ignore"):
            return {name: rows.values.astype(dtype)}

    return matrix


def _tensors(rows: Inputs) -> Arrays:
    assert isinstance(rows, Tensors)  # noqa: S101
    return rows.arrays


def _answer(output: Output) -> Callable[[Arrays, int], Outputs]:
    answers = Answers(output)
    if output.kind == "tensors":
        return answers

    def single(found: Arrays, rows: int) -> Outputs:
        if len(found) != 1:
            raise WrongAnswer(f"the model gives {', '.join(sorted(found))[:200]}, its signature one {output.kind}")
        (values,) = found.values()
        if output.kind == "regression" or values.dtype.kind not in "f":
            return answers(values, rows)
        scores = two_sided(values)
        if scores.shape != (rows, len(output.classes or ())):
            raise WrongAnswer(f"the model gives scores of shape {values.shape} for {len(output.classes or ())} classes")
        shares = scores.astype(np.float64) if output.probabilities else None
        return Outputs(output, indices=scores.argmax(axis=1), probabilities=shares)

    return single


def two_sided(scores: NDArray[Any]) -> NDArray[Any]:
    """Scores for each class; a single column is the probability of the second of two."""
    if scores.ndim == 2 and scores.shape[1] != 1:
        return scores
    flat = scores.reshape(-1)
    return np.stack([1 - flat, flat], axis=1)
