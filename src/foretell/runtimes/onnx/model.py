"""A loaded graph: validated rows in, outputs out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.core.signature import Signature
from foretell.core.values import Inputs, Matrix, Outputs, Table, Tensors, join
from foretell.errors import LoadFailed
from foretell.runtimes.base import FIXED_ROWS_MAX
from foretell.runtimes.onnx.ports import Port, label_port, probability_port

Arrays = dict[str, NDArray[Any]]


class OnnxModel:
    """One inference session. onnxruntime's ``run`` may be called from several threads."""

    model_type = "ONNX"

    def __init__(
        self,
        session: Any,
        signature: Signature,
        inputs: Sequence[Port],
        outputs: Sequence[Port],
        parameters: Mapping[str, Any],
    ) -> None:
        self.signature = signature
        self.parameters = parameters
        self._feed = _feed(signature, inputs)
        names, self._answer = _answer(signature, outputs)
        run = session.run
        self._run: Callable[[Arrays], list[Any]] | None = lambda arrays: run(names, arrays)
        self._group = max((port.shape[0] for port in inputs if port.shape), default=-1)
        if self._group > FIXED_ROWS_MAX:
            raise LoadFailed(f"the graph takes {self._group:,} rows at a time; at most {FIXED_ROWS_MAX:,} are served")

    def predict(self, inputs: Inputs) -> Outputs:
        """As the port promises. A graph made for a fixed number of rows is run by that many, the last ones repeated."""
        if self._group > 0 and inputs.count != self._group:
            return self._answer(self._in_groups(inputs, self._group))
        return self._answer(self._results(inputs))

    def _in_groups(self, inputs: Inputs, size: int) -> list[Any]:
        parts: list[list[Any]] = []
        for start in range(0, inputs.count, size):
            group = inputs.part(start, start + size)
            if lacking := size - group.count:
                group = join([group, *[inputs.part(inputs.count - 1, inputs.count)] * lacking])
            parts.append(self._results(group))
        return [_join([part[place] for part in parts])[: inputs.count] for place in range(len(parts[0]))]

    def _results(self, inputs: Inputs) -> list[Any]:
        if self._run is None:
            raise RuntimeError("the model is closed")
        return self._run(self._feed(inputs))

    def close(self) -> None:
        """Lets go of the session."""
        self._run = None


def _join(parts: list[Any]) -> Any:
    return [item for part in parts for item in part] if isinstance(parts[0], list) else np.concatenate(parts)


# -- in ----------------------------------------------------------------------------------------------------------------


def _feed(signature: Signature, inputs: Sequence[Port]) -> Callable[[Inputs], Arrays]:
    if signature.layout == "tensors":
        return _tensors
    if len(inputs) == 1:
        return _whole(signature, inputs[0])
    names = set(signature.names)
    by_name = all(port.name in names for port in inputs)
    pairs = [(port, port.name if by_name else name) for port, name in zip(inputs, signature.names, strict=True)]
    places = {name: index for index, name in enumerate(signature.names)}

    def columns(rows: Inputs) -> Arrays:
        if isinstance(rows, Matrix):
            return {port.name: _cast(rows.values[:, places[name], None], port) for port, name in pairs}
        assert isinstance(rows, Table)  # noqa: S101 - the port promises inputs in the signature's layout
        return {port.name: _cast(rows.columns[name][:, None], port) for port, name in pairs}

    return columns


def _whole(signature: Signature, port: Port) -> Callable[[Inputs], Arrays]:
    """All columns as one matrix of the input's dtype."""
    name = port.name

    def matrix(rows: Inputs) -> Arrays:
        if isinstance(rows, Matrix):
            return {name: _cast(rows.values, port)}
        assert isinstance(rows, Table)  # noqa: S101
        cells = np.empty((rows.count, len(signature.columns)), dtype=object)
        for index, column in enumerate(signature.names):
            cells[:, index] = rows.columns[column]
        return {name: _cast(cells, port)}

    return matrix


def _cast(values: NDArray[Any], port: Port) -> NDArray[Any]:
    """Values as the graph's dtype. A missing text is the empty one; a number too large for float32 becomes infinite."""
    if port.dtype == "string":
        return np.array([["" if cell is None else str(cell) for cell in row] for row in values], dtype=object)
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(port.dtype or "float32", copy=False)


def _tensors(rows: Inputs) -> Arrays:
    assert isinstance(rows, Tensors)  # noqa: S101
    return rows.arrays


# -- out ---------------------------------------------------------------------------------------------------------------

Answer = Callable[[list[Any]], Outputs]


def _answer(signature: Signature, ports: Sequence[Port]) -> tuple[list[str], Answer]:
    """The outputs to ask for, and what to make of them."""
    output = signature.output
    if output.kind == "tensors":
        names = [port.name for port in ports if port.dtype]
        return names, lambda found: Outputs(output, tensors=dict(zip(names, found, strict=True)))
    label, probabilities = label_port(ports), probability_port(ports)
    if output.kind == "regression":
        port = probabilities or ports[0]
        return [port.name], lambda found: Outputs(output, values=_flat(found[0]).astype(np.float64))
    if output.classes is None:
        if label is None:
            raise LoadFailed("the signature says classification, but the graph has no output of labels")
        return [label.name], lambda found: Outputs(output, values=_flat(found[0]))
    if label is None:
        return _from_scores(signature, probabilities)
    places = _places(output.classes)
    if not output.probabilities or probabilities is None:
        return [label.name], lambda found: Outputs(output, indices=places(found[0]))
    matrix = _from_maps(output.classes) if probabilities.maps else _two_sided
    return [label.name, probabilities.name], lambda found: Outputs(
        output, indices=places(found[0]), probabilities=matrix(found[1])
    )


def _from_scores(signature: Signature, port: Port | None) -> tuple[list[str], Answer]:
    """Networks that give class scores alone: the best one is the class."""
    output = signature.output
    if port is None:
        raise LoadFailed("the signature says classification, but the graph has no output of labels or probabilities")

    def answer(found: list[Any]) -> Outputs:
        scores = _two_sided(found[0])
        return Outputs(output, indices=scores.argmax(axis=1), probabilities=scores if output.probabilities else None)

    return [port.name], answer


def _two_sided(probabilities: NDArray[Any]) -> NDArray[Any]:
    """A single column is the probability of the second class."""
    if probabilities.ndim == 2 and probabilities.shape[1] != 1:
        return probabilities
    flat = probabilities.reshape(-1)
    return np.stack([1 - flat, flat], axis=1)


def _from_maps(classes: Sequence[Any]) -> Callable[[Any], NDArray[Any]]:
    return lambda maps: np.array([[row[label] for label in classes] for row in maps], dtype=np.float32)


def _places(classes: Sequence[Any]) -> Callable[[Any], NDArray[np.intp]]:
    """Labels as the graph gives them to their places in ``classes``."""
    if list(classes) == list(range(len(classes))) and not any(isinstance(label, bool) for label in classes):
        return lambda labels: np.asarray(labels).reshape(-1).astype(np.intp)
    places = {label: index for index, label in enumerate(classes)}
    return lambda labels: np.array([places[label] for label in np.asarray(labels).reshape(-1).tolist()], dtype=np.intp)


def _flat(values: NDArray[Any]) -> NDArray[Any]:
    return values.reshape(-1) if values.ndim == 2 and values.shape[1] == 1 else values
