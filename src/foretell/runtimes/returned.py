"""What an author's own ``predict`` returned as outputs, held against what the signature promises."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.core.signature import Label, Output
from foretell.core.values import Outputs

_SHOWN = 5
_KEYS = {"prediction", "probabilities"}


class WrongAnswer(ValueError):
    """``predict`` returned something else than its signature promises."""


class Answers:
    """Turns what one model's ``predict`` returns into outputs. Raises WrongAnswer, in one sentence."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._classes = output.classes
        self._places = {_key(label): index for index, label in enumerate(output.classes or ())}

    def __call__(self, returned: Any, rows: int) -> Outputs:
        """The outputs of ``rows`` rows."""
        if self._output.kind == "tensors":
            return Outputs(self._output, tensors=self._tensors(returned, rows))
        prediction, probabilities = self._parts(returned)
        if probabilities is not None:
            return self._with_probabilities(prediction, probabilities, rows)
        values = _array(prediction, rows, "predict")
        if self._classes is not None:
            return Outputs(self._output, indices=self._indices(values, rows))
        return Outputs(self._output, values=self._values(values, rows))

    def _parts(self, returned: Any) -> tuple[Any, Any]:
        """The prediction and the probabilities, as far as they are there and promised."""
        promised = self._output.probabilities
        if not isinstance(returned, Mapping):
            return (None, returned) if promised and _is_table(returned) else self._without(returned)
        unknown = set(returned) - _KEYS
        if unknown or not returned:
            listed = ", ".join(sorted(map(str, unknown))[:_SHOWN]) or "nothing"
            raise WrongAnswer(f"predict returned a dict with {listed}; it may hold 'prediction' and 'probabilities'")
        if "probabilities" not in returned:
            return self._without(returned["prediction"])
        if not promised:
            raise WrongAnswer(
                "predict returned probabilities, which its signature does not promise: "
                "annotate it -> dict[Literal[...], float] with the classes"
            )
        return returned.get("prediction"), returned["probabilities"]

    def _without(self, prediction: Any) -> tuple[Any, Any]:
        if self._output.probabilities:
            raise WrongAnswer(
                "predict returned no probabilities, which its signature promises: return "
                "{'prediction': ..., 'probabilities': ...}, or the probabilities alone as rows × classes"
            )
        return prediction, None

    def _with_probabilities(self, prediction: Any, probabilities: Any, rows: int) -> Outputs:
        classes = self._classes or ()
        shares = _array(probabilities, rows, "the probabilities from predict")
        if shares.shape != (rows, len(classes)) or shares.dtype.kind not in "fiu":
            raise WrongAnswer(
                f"the probabilities from predict have shape {shares.shape} and type {shares.dtype}, "
                f"not numbers of shape {(rows, len(classes))}: one column a class"
            )
        shares = shares.astype(np.float64)
        if prediction is None:
            return Outputs(self._output, indices=shares.argmax(axis=1), probabilities=shares)
        indices = self._indices(_array(prediction, rows, "the prediction from predict"), rows)
        return Outputs(self._output, indices=indices, probabilities=shares)

    def _indices(self, labels: NDArray[Any], rows: int) -> NDArray[np.intp]:
        if labels.shape not in ((rows,), (rows, 1)):
            raise WrongAnswer(f"predict returned classes of shape {labels.shape}, not {(rows,)}")
        found = [self._places.get(_key(label)) for label in labels.reshape(-1).tolist()]
        if None in found:
            strange = labels.reshape(-1).tolist()[found.index(None)]
            known = ", ".join(repr(label) for label in (self._classes or ())[:_SHOWN])
            raise WrongAnswer(f"predict answered {str(strange)[:64]!r}, which is none of its classes: {known}")
        return np.array(found, dtype=np.intp)

    def _values(self, values: NDArray[Any], rows: int) -> NDArray[Any]:
        width = len(self._output.names)
        if self._output.several and values.shape != (rows, width):
            raise WrongAnswer(f"predict returned an array of shape {values.shape}, not {(rows, width)}")
        if not self._output.several:
            if values.shape not in ((rows,), (rows, 1)):
                raise WrongAnswer(f"predict returned an array of shape {values.shape}, not {(rows,)}")
            values = values.reshape(-1)
        if self._output.kind == "regression":
            if values.dtype.kind not in "fiub":
                raise WrongAnswer(f"predict returned values of type {values.dtype}, not numbers")
            return values.astype(np.float64)
        plain = values.dtype.kind in "fiubU" or all(isinstance(v, str | int | float) for v in values.flat)
        if not plain:
            raise WrongAnswer("predict returned classes that are neither texts, numbers nor booleans")
        return values

    def _tensors(self, returned: Any, rows: int) -> dict[str, NDArray[Any]]:
        promised = {tensor.name: tensor.dtype for tensor in self._output.tensors}
        if not isinstance(returned, Mapping):
            if len(promised) > 1:
                raise WrongAnswer(f"predict returned one array, its signature promises {_listed(promised)}")
            returned = {next(iter(promised), "output"): returned}
        given = {str(name): _array(value, rows, f"predict's tensor {name}") for name, value in returned.items()}
        if not given or (promised and set(given) != set(promised)):
            raise WrongAnswer(
                f"predict returned the tensors {_listed(given)}, its signature promises {_listed(promised)}"
            )
        return {name: _as(promised.get(name), name, array) for name, array in given.items()}


def _as(dtype: str | None, name: str, array: NDArray[Any]) -> NDArray[Any]:
    """The array in the type promised, where no more than precision is lost."""
    wanted = np.dtype(object if dtype == "string" else dtype) if dtype else array.dtype
    if dtype == "string" or np.can_cast(array.dtype, wanted, "same_kind"):
        return array.astype(wanted, copy=False)
    raise WrongAnswer(f"predict returned tensor {name} of type {array.dtype}, its signature promises {dtype}")


def _array(returned: Any, rows: int, who: str) -> NDArray[Any]:
    """What was returned as an array with one entry a row. Raises WrongAnswer."""
    if returned is None:
        raise WrongAnswer(f"{who} returned nothing")
    try:
        array = np.asarray(returned)
    except ValueError as error:
        raise WrongAnswer(f"{who} returned lists of different lengths, which are no array") from error
    if not array.ndim:
        kind = type(returned).__name__
        raise WrongAnswer(f"{who} returned one {kind}: it gets arrays of all rows, and returns one entry for each")
    if len(array) != rows:
        raise WrongAnswer(f"{who} returned {len(array)} entries for {rows} rows")
    if array.dtype.kind in "mMcSV":
        raise WrongAnswer(f"{who} returned values of type {array.dtype}, which no answer can hold")
    return array


def _is_table(returned: Any) -> bool:
    try:
        return np.ndim(returned) == 2
    except ValueError:  # lists of different lengths
        return False


def _key(label: Any) -> Any:
    """1 and 1.0 are one class; True is none of the numbers."""
    if isinstance(label, float) and math.isfinite(label) and label.is_integer():
        return (int, int(label))
    return (type(label), label) if isinstance(label, Label) else (type(label), None)


def _listed(names: Sequence[str] | Mapping[str, Any]) -> str:
    return ", ".join(sorted(names)[:_SHOWN]) or "none"
