"""The LiteRT runtime: ``.tflite`` graphs, the served form of TensorFlow and Keras models."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from foretell.core.signature import Signature, Tensor
from foretell.errors import LoadFailed
from foretell.runtimes.arrays import ArrayModel, Arrays, check_inputs, own_signature
from foretell.runtimes.base import Isolation, LoadOptions, Recognition, Requirement, only_cpu
from foretell.runtimes.libraries import library, load_faults

_IDENTIFIER = b"TFL3"
_DEFAULT = "serving_default"
_DTYPES = frozenset(
    {"float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"}
)


class LitertRuntime:
    """LiteRT graphs, run by ai-edge-litert on the processor."""

    name = "litert"
    requires: Sequence[Requirement] = (Requirement("ai_edge_litert", "ai-edge-litert", "litert"),)
    isolation: Isolation = "any"

    def recognise(self, path: Path) -> Recognition | None:
        """By the identifier in the first bytes; the name alone says nothing."""
        try:
            with path.open("rb") as file:
                start = file.read(8)
        except OSError:
            return None
        return Recognition(self.name, "it starts like a LiteRT graph") if start[4:] == _IDENTIFIER else None

    def load(self, path: Path, signature: Signature | None, options: LoadOptions) -> ArrayModel:
        """Raises MissingLibrary, SignatureMissing or LoadFailed, nothing else."""
        only_cpu(self.name, options)
        interpreter = library("LiteRT", self.requires[0], module="ai_edge_litert.interpreter").Interpreter
        hint = "The file may be damaged, or use operators that LiteRT does not have built in."
        with load_faults("LiteRT", path, hint):
            graph = interpreter(model_content=path.read_bytes(), num_threads=options.threads)
            call, inputs, outputs, quantised = _opened(graph)
            if signature is not None and signature.columns and quantised:
                raise LoadFailed(
                    f"the signature has columns, but {', '.join(quantised)[:200]} is quantised",
                    hint="Convert the model with inputs and outputs of float32.",
                )
            own = signature or own_signature(inputs, outputs)
            check_inputs(own, inputs)
            parameters: Mapping[str, Any] = {"quantised": list(quantised)} if quantised else {}
            return ArrayModel("LiteRT", own, inputs, call, parameters=parameters)


_Opened = tuple[Callable[[Arrays], Arrays], list[Tensor], list[Tensor], list[str]]


def _opened(graph: Any) -> _Opened:
    """How the graph is called, what it takes and gives, and which of that is quantised."""
    graph.allocate_tensors()  # before anything refers to the graph from outside, and so that its faults show here
    signatures = graph.get_signature_list()
    if len(signatures) > 1 and _DEFAULT not in signatures:
        raise LoadFailed(
            f"the graph has {len(signatures)} signatures: {', '.join(map(str, signatures))[:200]}",
            hint=f"Convert it with one, or call the one to serve {_DEFAULT}.",
        )
    if signatures:
        key = _DEFAULT if _DEFAULT in signatures else next(iter(signatures))
        runner = graph.get_signature_runner(key)
        inputs, outputs = runner.get_input_details(), runner.get_output_details()
        call = _by_signature(runner)
    else:
        inputs = {detail["name"].removesuffix(":0"): detail for detail in graph.get_input_details()}
        outputs = {detail["name"].removesuffix(":0"): detail for detail in graph.get_output_details()}
        call = _by_index(graph, inputs, outputs)
    quantised = [name for name, detail in (*inputs.items(), *outputs.items()) if detail["quantization"][0]]
    return call, _described(inputs), _described(outputs), quantised


def _described(details: Mapping[str, Any]) -> list[Tensor]:
    found = []
    for name, detail in details.items():
        dtype = np.dtype(detail["dtype"]).name
        if dtype not in _DTYPES:
            raise LoadFailed(f"{name} of the graph is {dtype}, which requests cannot carry")
        shape = detail["shape_signature"] if len(detail["shape_signature"]) else detail["shape"]
        found.append(Tensor(name, dtype, tuple(int(size) for size in shape)))
    return found


def _by_signature(runner: Any) -> Callable[[Arrays], Arrays]:
    """An interpreter keeps its tensors between setting and reading them, so calls wait for each other."""
    lock = threading.Lock()

    def call(arrays: Arrays) -> Arrays:
        with lock:
            found: Arrays = runner(**arrays)
        return found

    return call


def _by_index(graph: Any, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> Callable[[Arrays], Arrays]:
    places = {name: detail["index"] for name, detail in inputs.items()}
    results = {name: detail["index"] for name, detail in outputs.items()}
    shapes: dict[str, tuple[int, ...]] = {}
    lock = threading.Lock()

    def call(arrays: Arrays) -> Arrays:
        with lock:
            if (wanted := {name: arrays[name].shape for name in places}) != shapes:
                for name, place in places.items():
                    graph.resize_tensor_input(place, wanted[name])
                graph.allocate_tensors()
                shapes.update(wanted)
            for name, place in places.items():
                graph.set_tensor(place, arrays[name])
            graph.invoke()
            return {name: graph.get_tensor(place) for name, place in results.items()}

    return call


runtime = LitertRuntime()
