"""The PyTorch runtime: ``torch.export`` packages (``.pt2``) and TorchScript (``.pt``, ``.ts``).

Both are code: torch's loaders unpickle what lies in them, and what they hold are programs. So they need a manifest and
the operator's word, as pickles do, and run hosted unless the manifest says otherwise.
"""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.core.signature import Signature, Tensor
from foretell.errors import LoadFailed, SignatureMissing
from foretell.runtimes.arrays import ArrayModel, Arrays, check_inputs, own_signature
from foretell.runtimes.base import Isolation, LoadOptions, Recognition, Requirement, Trust, device_of
from foretell.runtimes.libraries import library, load_faults

_ZIP_MAGIC = b"PK\x03\x04"
_SUFFIXES = frozenset({".pt2", ".pt", ".pth", ".ts"})
_MEMBERS_READ = 10_000
_CPU_BUILD = "; where there is no GPU, PyTorch's CPU build is far smaller"
_DTYPES = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")


class TorchRuntime:
    """Programs of PyTorch."""

    name = "torch"
    requires: Sequence[Requirement] = (Requirement("torch", "torch", "torch"),)
    isolation: Isolation = "prefer_hosted"

    def recognise(self, path: Path) -> Recognition | None:
        """A zip archive that holds an exported or scripted program, or is called as one."""
        try:
            with path.open("rb") as file:
                if file.read(4) != _ZIP_MAGIC:
                    return None
        except OSError:
            return None
        try:
            kind = _kind(path)
        except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError):
            kind = None
        if kind is None and path.suffix.lower() not in _SUFFIXES:
            return None
        seen = f"it is a zip archive with {kind}" if kind else f"its name ends in {path.suffix} and it is a zip archive"
        return Recognition(self.name, f"{seen}: loading it runs code", Trust.CODE)

    def load(self, path: Path, signature: Signature | None, options: LoadOptions) -> ArrayModel:
        """Raises MissingLibrary, SignatureMissing or LoadFailed, nothing else."""
        torch = library("PyTorch", self.requires[0], hint=self.requires[0].install + _CPU_BUILD)
        device = _device(torch, options)
        if options.exclusive:
            torch.set_num_threads(options.threads)
        hint = "The file may be damaged, or written by a newer PyTorch."
        with load_faults("PyTorch", path, hint):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of TorchScript's age
                kind = _kind(path)
                opened = _open_script if kind == SCRIPT else _open_export
                if kind not in (SCRIPT, EXPORT):
                    raise LoadFailed(
                        f"{path.name} holds {kind or 'no program'}, which says nothing of how to compute",
                        hint="Store the whole: torch.export.save(torch.export.export(model, (example,)), 'model.pt2')",
                    )
                program = opened(torch, path, device)
            return _model(torch, program, signature, device)


EXPORT = "a program from torch.export"
SCRIPT = "a TorchScript program"
WEIGHTS = "weights alone"


def _kind(path: Path) -> str | None:
    """What a zip archive of torch's holds, by the names of its members; None where it is none of torch's."""
    with zipfile.ZipFile(path) as archive:
        members = [member.filename for member in islice(archive.infolist(), _MEMBERS_READ)]
    inside = [name.partition("/")[2] for name in members]
    if "archive_format" in inside and any(name.startswith("models/") for name in inside):
        return EXPORT
    if "constants.pkl" in inside and any(name.startswith("code/") for name in inside):
        return SCRIPT
    return WEIGHTS if "data.pkl" in inside else None


class _Program:
    """A loaded program: its module, and what it says of its arguments. A dtype of "" is one it does not tell."""

    def __init__(
        self, title: str, module: Any, positional: int, inputs: Sequence[Tensor], outputs: Sequence[Tensor]
    ) -> None:
        self.title = title
        self.module = module
        self.positional = positional
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)


def _open_export(torch: Any, path: Path, device: Any) -> _Program:
    with path.open("rb") as file:
        exported = torch.export.load(file)
    if device.type != "cpu":
        from torch.export.passes import move_to_device_pass

        exported = move_to_device_pass(exported, device)
    values = {node.name: node.meta.get("val") for node in exported.graph_module.graph.nodes if node.op == "placeholder"}
    arguments, keywords = exported.call_spec.in_spec.children()
    names = list(exported.graph_signature.user_inputs)
    if not all(spec.is_leaf() for spec in (*arguments.children(), *keywords.children())):
        raise LoadFailed("the program takes tuples, lists or dicts of tensors; it must take tensors")
    positional = arguments.num_children
    names = [*names[:positional], *map(str, keywords.context or ())]
    given = [values.get(name) for name in exported.graph_signature.user_inputs]
    inputs = [_described(name, value) for name, value in zip(names, given, strict=True)]
    results = [node.meta.get("val") for node in exported.graph_module.graph.output_node().args[0]]
    results = results[len(results) - len(exported.graph_signature.user_outputs) :]
    spec = exported.call_spec.out_spec
    called = list(map(str, spec.context)) if spec.type is dict else _numbered(len(results))
    outputs = [_described(name, value) for name, value in zip(called, results, strict=True)]
    return _Program("PyTorch export", exported.module(), positional, inputs, outputs)


def _open_script(torch: Any, path: Path, device: Any) -> _Program:
    with path.open("rb") as file:
        module = torch.jit.load(file, map_location=device)
    module.eval()
    arguments = list(module.forward.schema.arguments)[1:]
    needed = [argument for argument in arguments if not argument.has_default_value()]
    strange = [argument.name for argument in needed if str(argument.type) != "Tensor"]
    if strange or not needed:
        raise LoadFailed(f"the program takes {', '.join(strange)[:200] or 'nothing'}; it must take tensors")
    return _Program("TorchScript", module, len(needed), [Tensor(argument.name, "", ()) for argument in needed], ())


def _described(name: str, value: Any) -> Tensor:
    dtype = str(getattr(value, "dtype", "")).removeprefix("torch.")
    if dtype not in _DTYPES:
        raise LoadFailed(f"{name} of the program is {dtype or type(value).__name__}, which requests cannot carry")
    return Tensor(name, dtype, tuple(size if isinstance(size, int) else -1 for size in value.shape))


def _numbered(count: int) -> list[str]:
    return ["output"] if count == 1 else [f"output_{index}" for index in range(count)]


def _model(torch: Any, program: _Program, signature: Signature | None, device: Any) -> ArrayModel:
    inputs = program.inputs
    if not all(tensor.dtype for tensor in inputs):
        inputs = _typed(inputs, signature)
    own = signature or own_signature(inputs, program.outputs)
    check_inputs(own, inputs)
    parameters = {"device": str(device), "torch": str(torch.__version__)}
    return ArrayModel(program.title, own, inputs, _caller(torch, program, own, device), parameters=parameters)


def _typed(inputs: Sequence[Tensor], signature: Signature | None) -> tuple[Tensor, ...]:
    """The arguments of a TorchScript program, which do not tell their types, as the manifest has them."""
    if signature is None:
        raise SignatureMissing(
            "a TorchScript program does not tell the shapes and types of its tensors",
            hint="Package it with example tensors: foretell add NAME model.pt --example DATA.npz --trust-pickle",
        )
    if signature.columns:
        return tuple(Tensor(tensor.name, "float32", (-1, len(signature.columns))) for tensor in inputs)
    known = {tensor.name: tensor for tensor in signature.tensors}
    return tuple(known.get(tensor.name, tensor) for tensor in inputs)


def _caller(torch: Any, program: _Program, signature: Signature, device: Any) -> Callable[[Arrays], Arrays]:
    module, positional = program.module, program.positional
    names = [tensor.name for tensor in program.inputs]
    called = [tensor.name for tensor in signature.output.tensors]

    def tensor_of(array: NDArray[Any]) -> Any:
        # what is shared with others may be read-only, which torch warns of
        ready = array if array.flags.writeable and array.flags.c_contiguous else array.copy()
        return torch.from_numpy(ready).to(device)

    def call(arrays: Arrays) -> Arrays:
        given = [tensor_of(arrays[name]) for name in names]
        with torch.inference_mode():
            found = module(*given[:positional], **dict(zip(names[positional:], given[positional:], strict=True)))
        return {name: _array(value) for name, value in _named(found, called).items()}

    return call


def _named(found: Any, called: Sequence[str]) -> Mapping[str, Any]:
    """What a program gives by name: its own, else those of the signature in order, else made up."""
    if isinstance(found, Mapping):
        return {str(name): value for name, value in found.items()}
    several = list(found) if isinstance(found, list | tuple) else [found]
    names = called if len(called) == len(several) else _numbered(len(several))
    return dict(zip(names, several, strict=True))


def _array(value: Any) -> NDArray[Any]:
    return np.asarray(value.detach().cpu().numpy())


def _device(torch: Any, options: LoadOptions) -> Any:
    """The device asked for. Raises LoadFailed where there is none."""
    kind, index = device_of(options)
    if kind == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if index >= count:
            raise LoadFailed(
                f"the device {options.device} is not there: PyTorch {torch.__version__} sees CUDA devices: {count}",
                hint='Set the device to "cpu", or install a PyTorch that was built for your GPU.',
            )
    return torch.device(options.device)


runtime = TorchRuntime()
