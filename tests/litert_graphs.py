"""Small LiteRT graphs, written by hand with the schema that ai-edge-litert brings, without TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

Rows = Sequence[int]


class Graph:
    """One subgraph that grows; ``content`` is the file."""

    def __init__(self) -> None:
        pytest.importorskip("ai_edge_litert", reason="pip install 'foretell[litert]'")
        from ai_edge_litert import schema_py_generated as schema

        self.schema = schema
        self.model = schema.ModelT()
        self.model.version, self.model.operatorCodes, self.model.buffers = 3, [], [schema.BufferT()]
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []

    def tensor(self, name: str, shape: Rows, kind: str = "FLOAT32", values: Any = None, scale: float = 0.0) -> int:
        """A tensor, whose place is given; -1 in its shape is any length."""
        tensor = self.schema.TensorT()
        tensor.name, tensor.type = name, getattr(self.schema.TensorType, kind)
        tensor.shape, tensor.shapeSignature = [max(size, 1) for size in shape], list(shape)
        tensor.buffer = 0
        if values is not None:
            buffer = self.schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            tensor.buffer = len(self.model.buffers) - 1
        if scale:
            tensor.quantization = self.schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = [scale], [0]
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def operator(self, name: str, options: str, inputs: Rows, outputs: Rows, **values: Any) -> None:
        """A built-in operator."""
        code = self.schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(self.schema.BuiltinOperator, name)
        code.version = 1
        self.model.operatorCodes.append(code)
        operator = self.schema.OperatorT()
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        operator.builtinOptionsType = getattr(self.schema.BuiltinOptions, options)
        operator.builtinOptions = getattr(self.schema, f"{options}T")()
        for key, value in values.items():
            setattr(operator.builtinOptions, key, value)
        self.graph.operators.append(operator)

    def signature(self, key: str, inputs: dict[str, int], outputs: dict[str, int]) -> None:
        """A signature, by which the tensors have names for people."""
        signature = self.schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = key, 0
        signature.inputs, signature.outputs = self._mapped(inputs), self._mapped(outputs)
        self.model.signatureDefs = [*(self.model.signatureDefs or []), signature]

    def _mapped(self, places: dict[str, int]) -> list[Any]:
        maps = []
        for name, place in places.items():
            found = self.schema.TensorMapT()
            found.name, found.tensorIndex = name, place
            maps.append(found)
        return maps

    def content(self, inputs: Rows, outputs: Rows) -> bytes:
        """The file, with these tensors as the graph's inputs and outputs."""
        import flatbuffers

        self.graph.inputs, self.graph.outputs = list(inputs), list(outputs)
        self.model.subgraphs = [self.graph]
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def softmax_layer(weights: Any, bias: Any, *, named: bool = True, rows: int = -1) -> bytes:
    """One dense layer with a softmax: ``x`` of (rows, 4) gives ``y`` of (rows, 3)."""
    graph = Graph()
    x = graph.tensor("serving_default_x:0", (rows, weights.shape[1]))
    w = graph.tensor("w", weights.shape, values=weights.astype(np.float32))
    b = graph.tensor("b", bias.shape, values=bias.astype(np.float32))
    h = graph.tensor("h", (rows, len(bias)))
    y = graph.tensor("y:0", (rows, len(bias)))
    graph.operator("FULLY_CONNECTED", "FullyConnectedOptions", (x, w, b), (h,))
    graph.operator("SOFTMAX", "SoftmaxOptions", (h,), (y,), beta=1.0)
    if named:
        graph.signature("serving_default", {"x": x}, {"y": y})
    return graph.content((x,), (y,))


def doubling(kind: str = "FLOAT32", *, scale: float = 0.0, signatures: Sequence[str] = ()) -> bytes:
    """``a`` plus itself, of (rows, 2)."""
    graph = Graph()
    a = graph.tensor("a", (-1, 2), kind, scale=scale)
    b = graph.tensor("b", (-1, 2), kind, scale=scale)
    graph.operator("ADD", "AddOptions", (a, a), (b,))
    for key in signatures:
        graph.signature(key, {"a": a}, {"b": b})
    return graph.content((a,), (b,))
