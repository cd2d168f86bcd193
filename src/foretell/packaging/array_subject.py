"""Programs of PyTorch and LiteRT on their way into a version folder: files, objects, and what Keras models become."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.core.signature import Column, Output, Signature
from foretell.core.values import Matrix
from foretell.errors import NotStorable, PackagingError
from foretell.packaging.equality import RTOL_SINGLE, Answers
from foretell.packaging.sample import Sample
from foretell.runtimes.arrays import two_sided
from foretell.runtimes.base import LoadOptions, Runtime

ENDINGS = {"torch": ".pt2", "litert": ".tflite"}
_SHARES_ATOL = 1e-3

Arrays = Mapping[str, NDArray[Any]]
Reference = Callable[[list[NDArray[Any]]], list[NDArray[Any]]]
"""The object given, asked itself: its inputs in order, its outputs in order."""


@dataclass(frozen=True)
class TrustedFile:
    """A file that is code, whose author was trusted by name."""

    path: Path


class ArraySubject:
    """A function of arrays. ``store`` writes it; ``reference`` asks the object itself, where there is one."""

    tells_when_written = False
    names: Sequence[str] | None = None
    width: int | None = None
    rtol = golden_rtol = RTOL_SINGLE

    def __init__(
        self,
        title: str,
        runtime: Runtime,
        store: Callable[[Path], None],
        *,
        classes: bool,
        ending: str | None = None,
        reference: Reference | None = None,
        distributions: Sequence[str] = (),
    ) -> None:
        self.title = title
        self.reference = reference
        self.distributions: Sequence[str] = ("numpy", *(need.distribution for need in runtime.requires), *distributions)
        self._runtime = runtime
        self._store = store
        self._classes = classes
        self._ending = ending or ENDINGS[runtime.name]
        self._scores: NDArray[Any] | None = None

    def answers(self, _example: Any, sample: Sample) -> Answers | None:
        """Asks the written program for its scores on the columns as one float32 matrix, which tell the output."""
        strange = [column.name for column in sample.columns if not column.type.numeric]
        if strange:
            raise PackagingError(
                f"{self.title} takes numbers alone, and {', '.join(strange)[:200]} of the example is none",
                hint="encode the column in the model, or serve the model from a model.py",
            )
        signature = Signature(tuple(Column(name) for name in sample.names), output=Output("tensors"))
        rows = sample.inputs(signature)
        with tempfile.TemporaryDirectory() as folder:
            model = self._runtime.load(self.write(Path(folder), None), signature, LoadOptions(exclusive=False))
            try:
                found = list((model.predict(rows).tensors or {}).values())
            finally:
                model.close()
        self._scores = single(self.title, found)
        if self.reference is None:
            return None
        assert isinstance(rows, Matrix)  # noqa: S101 - all columns are numeric
        expected = single(self.title, self.reference([rows.values.astype(np.float32)]))
        if not self._classes:
            return Answers(expected)
        shares = two_sided(expected)
        return Answers(shares.argmax(axis=1), shares if are_shares(two_sided(self._scores)) else None)

    def output(self, _answers: Answers | None) -> Output | None:
        return None if self._scores is None else output_of(self._scores, self._classes)

    def write(self, folder: Path, _signature: Signature | None) -> Path:
        path = folder / f"model{self._ending}"
        self._store(path)
        return path


def array_file(path: Path, runtime: Runtime, *, classes: bool) -> ArraySubject:
    """A file whose bytes are taken over unchanged."""

    def store(target: Path) -> None:
        shutil.copyfile(path, target)

    return ArraySubject(path.name, runtime, store, classes=classes, ending=path.suffix.lower() or None)


def torch_object(model: Any, runtime: Runtime, *, classes: bool) -> ArraySubject:
    """An exported or scripted program in memory. Raises NotStorable for a module that is neither."""
    kind = type(model).__name__
    if kind == "ExportedProgram":
        import torch

        return ArraySubject(kind, runtime, lambda path: torch.export.save(model, path), classes=classes)
    if kind in ("RecursiveScriptModule", "TopLevelTracedModule"):
        return ArraySubject(kind, runtime, lambda path: model.save(str(path)), classes=classes, ending=".pt")
    raise NotStorable(
        f"a {kind} says nothing of the shapes it takes, so it cannot be stored as a program",
        hint="export it: rows = torch.export.Dim('rows'); torch.export.export(model, (example,), "
        "dynamic_shapes=({0: rows},))",
    )


def single(title: str, found: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """The one float array a program gives, one row a row. Raises PackagingError where it gives others."""
    if len(found) != 1 or found[0].dtype.kind not in "fiu" or found[0].ndim not in (1, 2):
        shapes = ", ".join(f"{array.dtype} {array.shape}" for array in found)
        raise PackagingError(
            f"{title} gives {shapes}, which is neither a number nor a score for each class",
            hint="give the example as tensors: a .npz file, or a dict of arrays",
        )
    return found[0]


def output_of(scores: NDArray[Any], classes: bool) -> Output:
    """What scores mean: classes where the author names them, else numbers."""
    if classes:
        shares = two_sided(scores)
        return Output("classification", classes=tuple(range(shares.shape[1])), probabilities=are_shares(shares))
    width = scores.shape[1] if scores.ndim == 2 else 1
    return Output("regression", names=tuple(f"y{index}" for index in range(width)) if width > 1 else ())


def are_shares(scores: NDArray[Any]) -> bool:
    """Whether each row is probabilities: none negative, and one in sum."""
    near = np.abs(scores.sum(axis=1) - 1) <= _SHARES_ATOL
    return bool((scores >= 0).all() and near.all())
