"""From a ``model.py`` to a model."""

from __future__ import annotations

import inspect
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from foretell.core.signature import Column, ColumnType, Output, Signature
from foretell.core.values import Inputs, Matrix, Outputs, Table
from foretell.errors import LoadFailed
from foretell.runtimes.base import Isolation, LoadOptions, Recognition, Requirement, Trust
from foretell.runtimes.python.annotations import WHOLE, output_of, parameters_of, signature_of
from foretell.runtimes.python.source import Source
from foretell.runtimes.returned import Answers

FILE_NAME = "model.py"

_READ_BYTES = 1024 * 1024
_CLASS = re.compile(rb"^class[ \t]+\w", re.MULTILINE)
_PREDICT = re.compile(rb"\bdef[ \t]+predict[ \t]*\(")
_DOCUMENTED_CHARS = 200
_DTYPES = {ColumnType.INTEGER: np.int64, ColumnType.BOOLEAN: np.bool_}

Told = TypeVar("Told")
Arguments = Callable[[Inputs], Mapping[str, Any]]


class PythonModel:
    """One instance of the author's class. Calls are made one at a time: a class need not be safe in threads."""

    def __init__(self, instance: Any, signature: Signature, source: Source) -> None:
        self.signature = signature
        self.model_type = type(instance).__name__
        documented = (inspect.getdoc(type(instance)) or "").partition("\n")[0][:_DOCUMENTED_CHARS]
        self.parameters: Mapping[str, Any] = {"description": documented} if documented else {}
        self._arguments = _arguments(type(instance), signature)
        self._answers = Answers(signature.output)
        self._instance: Any = instance
        self._source = source
        self._lock = threading.Lock()

    def predict(self, inputs: Inputs) -> Outputs:
        """As the port promises. Raises WrongAnswer where the class returns something else than it promises."""
        with self._lock:
            if self._instance is None:
                raise RuntimeError("the model is closed")
            returned = self._instance.predict(**self._arguments(inputs))
        return self._answers(returned, inputs.count)

    def close(self) -> None:
        """Calls the class's own ``close`` where it has one, and lets go."""
        with self._lock:
            instance, self._instance = self._instance, None
        try:
            if callable(getattr(instance, "close", None)):
                instance.close()
        finally:
            self._source.forget()


class PythonRuntime:
    """Classes with ``predict`` in a ``model.py``. They are code from outside, so they run hosted, always."""

    name = "python"
    requires: Sequence[Requirement] = ()
    isolation: Isolation = "hosted"

    def recognise(self, path: Path) -> Recognition | None:
        """Named ``model.py``, with a class and a ``predict`` in its text. Nothing of it is run."""
        if path.name != FILE_NAME:
            return None
        try:
            with path.open("rb") as file:
                text = file.read(_READ_BYTES)
        except OSError:
            return None
        if b"\0" in text or not _CLASS.search(text) or not _PREDICT.search(text):
            return None
        return Recognition(self.name, "it is called model.py and defines a class with predict", Trust.SOURCE)

    def load(self, path: Path, signature: Signature | None, options: LoadOptions) -> PythonModel:
        """Runs the file. Raises MissingLibrary, SignatureMissing or LoadFailed, nothing else."""
        source = Source(path)
        cls = source.run()
        try:
            with source.faults(f"{cls.__name__}"):
                own = signature or signature_of(cls)
                _arguments(cls, own)
                instance = _instance(cls, source)
            with source.faults(f"load of {cls.__name__}"):
                _load(instance, source.folder, options)
            return PythonModel(instance, own, source)
        except BaseException:
            source.forget()
            raise


def describe(path: Path) -> Signature:
    """The signature that the annotations of the class in ``path`` spell. Runs the file, but makes no instance.

    Raises MissingLibrary, SignatureMissing or LoadFailed, nothing else.
    """
    return _asked(path, signature_of)


def describe_output(path: Path) -> Output:
    """What ``predict`` gives for a row, by its return annotation alone; otherwise as ``describe``."""
    return _asked(path, output_of)


def _asked(path: Path, question: Callable[[type], Told]) -> Told:
    source = Source(path)
    cls = source.run()
    try:
        with source.faults(cls.__name__):
            return question(cls)
    finally:
        source.forget()


def _instance(cls: type, source: Source) -> Any:
    needed = [
        parameter.name
        for parameter in list(inspect.signature(cls).parameters.values())
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if needed:
        raise LoadFailed(
            f"{cls.__name__} in {source.path.name} wants {', '.join(needed)} to be made; it is made without arguments, "
            "and finds its files in load(self, folder)"
        )
    return cls()


def _load(instance: Any, folder: Path, options: LoadOptions) -> None:
    """Calls the class's ``load``, where it has one, with the folder and, where it asks for it, the device."""
    load = getattr(instance, "load", None)
    if load is None:
        if options.device != "cpu":
            raise LoadFailed(
                f"the device is {options.device[:64]!r}, but {type(instance).__name__} has no load to take it"
            )
        return
    names = list(inspect.signature(load).parameters)
    if names[1:] == ["device"]:
        load(folder, options.device)
    elif len(names) != 1:
        raise LoadFailed(f"load of {type(instance).__name__} takes {', '.join(names) or 'nothing'}, not the folder")
    elif options.device != "cpu":
        raise LoadFailed(
            f"the device is {options.device[:64]!r}, but load of {type(instance).__name__} does not take one",
            hint="def load(self, folder: Path, device: str)",
        )
    else:
        load(folder)


# -- in ----------------------------------------------------------------------------------------------------------------


def _arguments(cls: type, signature: Signature) -> Arguments:
    """How the class is handed its rows. Raises LoadFailed where its parameters are not what the signature has."""
    names = [parameter.name for parameter in parameters_of(cls)]
    items = [item.name for item in (signature.columns or signature.tensors)]
    arrays = _tensors if signature.tensors else _columns(signature.columns)
    if set(names) == set(items):
        return arrays
    if names == [WHOLE]:
        return lambda inputs: {WHOLE: arrays(inputs)}
    what = "tensors" if signature.tensors else "columns"
    raise LoadFailed(
        f"predict of {cls.__name__} takes {', '.join(names)[:200]}, the signature has the {what} "
        f"{', '.join(items)[:200]}",
        hint=f"Name its parameters after the {what}, or take them all at once: def predict(self, {WHOLE}).",
    )


def _columns(columns: Sequence[Column]) -> Arguments:
    def arrays(inputs: Inputs) -> Mapping[str, Any]:
        if isinstance(inputs, Matrix):
            return {column.name: _cells(inputs.values[:, place], column) for place, column in enumerate(columns)}
        assert isinstance(inputs, Table)  # noqa: S101 - the port promises inputs in the signature's layout
        return {column.name: _read_only(inputs.columns[column.name]) for column in columns}

    return arrays


def _cells(values: NDArray[np.float64], column: Column) -> NDArray[Any]:
    dtype = np.float64 if column.nullable else _DTYPES.get(column.type, np.float64)
    return _read_only(np.ascontiguousarray(values, dtype=dtype))


def _tensors(inputs: Inputs) -> Mapping[str, Any]:
    return {name: _read_only(array) for name, array in inputs.arrays.items()}  # type: ignore[union-attr]


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    """The same values, which the class may not change: others may hold them too."""
    view = array.view()
    view.flags.writeable = False
    return view


runtime = PythonRuntime()
