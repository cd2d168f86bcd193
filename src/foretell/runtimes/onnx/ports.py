"""What goes into a graph and what comes out, as a signature: columns where they can be, tensors where not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from foretell.core.signature import Column, ColumnType, Label, Output, Signature, Tensor
from foretell.errors import LoadFailed, SignatureMissing

_DTYPES = {
    "tensor(float16)": "float16",
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(int8)": "int8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(uint8)": "uint8",
    "tensor(uint16)": "uint16",
    "tensor(uint32)": "uint32",
    "tensor(uint64)": "uint64",
    "tensor(bool)": "bool",
    "tensor(string)": "string",
}


@dataclass(frozen=True, slots=True)
class Port:
    """One input or output of a graph. ``dtype`` is None for what is no tensor; ``maps`` for ZipMap's dictionaries."""

    name: str
    dtype: str | None
    shape: tuple[int, ...]
    maps: bool = False

    @property
    def floats(self) -> bool:
        return self.dtype in ("float16", "float32", "float64")

    @property
    def labels(self) -> bool:
        """Whether it can hold class labels: whole numbers or texts, one or more a row."""
        return self.dtype in ("int32", "int64", "string", "bool") and len(self.shape) in (1, 2)

    @property
    def width(self) -> int:
        """Values a row: 1 for a vector, the second dimension of a matrix (-1 unknown), -2 for anything else."""
        return {1: 1, 2: self.shape[-1] if self.shape else 1}.get(len(self.shape), -2)


def port_of(node: Any) -> Port:
    """From onnxruntime's description of an input or output."""
    shape = tuple(size if isinstance(size, int) and size >= 0 else -1 for size in node.shape or ())
    return Port(node.name, _DTYPES.get(node.type), shape, node.type.startswith("seq(map("))


def signature_of(inputs: Sequence[Port], outputs: Sequence[Port], labels: tuple[Label, ...] | None) -> Signature:
    """The signature a graph tells of itself. Raises SignatureMissing where an input is no tensor."""
    strange = [port.name for port in (*inputs, *outputs) if port.dtype is None and not port.maps]
    if strange:
        raise SignatureMissing(f"{', '.join(strange)} is no tensor: only tensors are served")
    output = output_of(outputs, labels)
    columns = _columns(inputs)
    if columns:
        return Signature(columns, output=output, named=len(inputs) > 1)
    if output.kind != "tensors":
        output = Output("tensors", tensors=tuple(_tensor(port) for port in outputs if port.dtype))
    return Signature(tensors=tuple(_tensor(port) for port in inputs), output=output)


def _columns(inputs: Sequence[Port]) -> tuple[Column, ...]:
    if len(inputs) == 1 and len(inputs[0].shape) == 2 and inputs[0].width > 0 and inputs[0].shape[0] in (-1, 1):
        kind = _column_type(inputs[0])
        return tuple(Column(f"x{index}", kind) for index in range(inputs[0].width))
    if len(inputs) > 1 and all(len(port.shape) == 2 and port.shape[1] == 1 for port in inputs):
        return tuple(Column(port.name, _column_type(port)) for port in inputs)
    return ()


def _column_type(port: Port) -> ColumnType:
    if port.floats:
        return ColumnType.FLOAT
    return {"string": ColumnType.STRING, "bool": ColumnType.BOOLEAN}.get(port.dtype or "", ColumnType.INTEGER)


def output_of(outputs: Sequence[Port], labels: tuple[Label, ...] | None) -> Output:
    """Classification where there is a label, regression where there is one float tensor, else tensors."""
    label, probabilities = label_port(outputs), probability_port(outputs)
    if label is not None and len(outputs) <= 2:
        if label.width > 1:
            return Output("classification", names=tuple(f"y{index}" for index in range(label.width)))
        known = labels if probabilities is None or probabilities.width in (-1, -2, len(labels or ())) else None
        return Output("classification", classes=known, probabilities=bool(known) and probabilities is not None)
    if len(outputs) == 1 and outputs[0].floats and outputs[0].width > 0:
        width = outputs[0].width
        return Output("regression", names=tuple(f"y{index}" for index in range(width)) if width > 1 else ())
    return Output("tensors", tensors=tuple(_tensor(port) for port in outputs if port.dtype))


def label_port(outputs: Sequence[Port]) -> Port | None:
    """The output that holds class labels, if exactly one can."""
    found = [port for port in outputs if port.labels]
    return found[0] if len(found) == 1 else None


def probability_port(outputs: Sequence[Port]) -> Port | None:
    """The output that holds probabilities: ZipMap's dictionaries or a float matrix, if exactly one can."""
    found = [port for port in outputs if port.maps or (port.floats and len(port.shape) == 2)]
    return found[0] if len(found) == 1 else None


def _tensor(port: Port) -> Tensor:
    return Tensor(port.name, port.dtype or "float32", port.shape)


def check_agreement(signature: Signature, inputs: Sequence[Port]) -> None:
    """Raises LoadFailed where a manifest's signature cannot be fed to the graph."""
    columns = len(signature.columns)
    if signature.tensors:
        lacking = {port.name for port in inputs} - {tensor.name for tensor in signature.tensors}
        if lacking:
            raise LoadFailed(f"the graph takes {', '.join(sorted(lacking))}, which the signature does not have")
    elif len(inputs) == 1:
        width = inputs[0].width
        if width not in (-1, columns):
            raise LoadFailed(f"the signature has {columns} columns, the graph takes {max(width, 0) or 'a tensor'}")
    elif len(inputs) != columns:
        raise LoadFailed(f"the signature has {columns} columns, the graph has {len(inputs)} inputs")
