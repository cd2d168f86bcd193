"""From an ``.onnx`` file to a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from foretell.core.signature import Label, Signature
from foretell.errors import LoadFailed
from foretell.runtimes.base import Isolation, LoadOptions, Recognition, Requirement, device_of
from foretell.runtimes.libraries import library, load_faults
from foretell.runtimes.onnx.graph import check_external, class_labels, external_locations
from foretell.runtimes.onnx.model import OnnxModel
from foretell.runtimes.onnx.ports import check_agreement, port_of, signature_of
from foretell.runtimes.onnx.protobuf import MessageError, fields

# A model that reads files beside it spells out this key; without it there is nothing to look for.
_EXTERNAL = b"location"
_IR_VERSION = b"\x08"
_QUIET_LOG = 4
_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_METADATA = 32


class OnnxRuntime:
    """ONNX graphs, run by onnxruntime on the processor or, where it was built for that, on a GPU."""

    name = "onnx"
    isolation: Isolation = "any"
    requires: Sequence[Requirement] = (Requirement("onnxruntime", "onnxruntime", "onnx"),)

    def recognise(self, path: Path) -> Recognition | None:
        """Named ``.onnx`` and starting like a protobuf, or starting with an IR version and a producer."""
        try:
            with path.open("rb") as file:
                start = file.read(64)
        except OSError:
            return None
        if not start or not _starts_like_a_model(start):
            return None
        if path.suffix.lower() == ".onnx":
            return Recognition(self.name, "its name ends in .onnx and it starts like a protobuf")
        if start[:1] == _IR_VERSION and len(start) > 2 and start[2] == 0x12:
            return Recognition(self.name, "it starts like an ONNX model: a version and a producer")
        return None

    def load(self, path: Path, signature: Signature | None, options: LoadOptions) -> OnnxModel:
        """Raises MissingLibrary, UntrustedArtifact, SignatureMissing or LoadFailed, nothing else."""
        ort = library("ONNX", self.requires[0])
        providers = _providers(ort, options)
        hint = "The file may be damaged, or use operators newer than the installed onnxruntime."
        with load_faults("onnxruntime", path, hint):
            path = path.absolute()
            content = path.read_bytes()
            labels, beside = _look(content, path)
            session = ort.InferenceSession(
                str(path) if beside else content,
                _session_options(ort, options),
                providers,
                enable_fallback=0,
            )
            inputs = [port_of(node) for node in session.get_inputs()]
            outputs = [port_of(node) for node in session.get_outputs()]
            if signature is None:
                signature = signature_of(inputs, outputs, labels)
            else:
                check_agreement(signature, inputs)
            _check_device(session, options)
            return OnnxModel(session, signature, inputs, outputs, _parameters(session))


def _starts_like_a_model(start: bytes) -> bool:
    """Whether the first field is one that ONNX has, in its wire type; the rest of the file may still be anything."""
    try:
        number, value = next(iter(fields(memoryview(start[:11]))), (0, 0))
    except MessageError:
        # The first field may well be longer than what was read: a tag of a known field is all one can ask for.
        return start[0] in (0x12, 0x1A, 0x22, 0x32, 0x3A, 0x42)
    return number in (1, 5) if isinstance(value, int) else number in (2, 3, 4, 6, 7, 8)


def _look(content: bytes, path: Path) -> tuple[tuple[Label, ...] | None, bool]:
    """The graph's labels, and whether it reads files beside it; raises UntrustedArtifact where those lie elsewhere."""
    view = memoryview(content)
    locations = external_locations(view) if _EXTERNAL in content else []
    check_external(locations, path.parent)
    return class_labels(view), bool(locations)


def _session_options(ort: Any, options: LoadOptions) -> Any:
    """As many threads as told, and none that spins while it waits: other workers need the cores."""
    found = ort.SessionOptions()
    found.intra_op_num_threads = options.threads
    found.inter_op_num_threads = 1
    found.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    found.add_session_config_entry("session.intra_op.allow_spinning", "0")
    found.log_severity_level = _QUIET_LOG
    return found


def _providers(ort: Any, options: LoadOptions) -> list[Any]:
    """What computes, best first. Raises LoadFailed where this onnxruntime has nothing for the device asked for."""
    kind, index = device_of(options)
    if kind == "cpu":
        return [_CPU]
    if _CUDA not in ort.get_available_providers():
        raise LoadFailed(
            f"the device {options.device} is not there: this onnxruntime {ort.__version__} was built without CUDA",
            hint='Set the device to "cpu", or install onnxruntime-gpu instead of onnxruntime.',
        )
    return [(_CUDA, {"device_id": index}), _CPU]


def _check_device(session: Any, options: LoadOptions) -> None:
    """Raises LoadFailed where onnxruntime quietly went on without the device: it does, and only warns."""
    if options.device != "cpu" and _CUDA not in session.get_providers():
        raise LoadFailed(
            f"the device {options.device} is not there: onnxruntime could not start CUDA on it",
            hint="The log of onnxruntime says why: no such device, or CUDA's or cuDNN's libraries are missing.",
        )


def _parameters(session: Any) -> Mapping[str, Any]:
    found = session.get_modelmeta()
    texts = {"producer": found.producer_name, "graph": found.graph_name, "description": found.description}
    custom = {key[:64]: value[:200] for key, value in list(found.custom_metadata_map.items())[:_METADATA]}
    return {key: value[:200] for key, value in texts.items() if value} | ({"metadata": custom} if custom else {})


runtime = OnnxRuntime()
