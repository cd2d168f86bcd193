"""Packaging a model that takes tensors: what it answers for the example's arrays tells its output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.core.manifest import Golden, Manifest
from foretell.core.signature import Output, Signature, Tensor
from foretell.core.values import Outputs, Tensors, first_not_finite
from foretell.errors import ConversionDiffers, NotStorable, PackagingError, SignatureMissing
from foretell.packaging.array_subject import ArraySubject, output_of, single
from foretell.packaging.classes import with_class_names
from foretell.packaging.folder import artifact_of
from foretell.packaging.subject import Subject
from foretell.packaging.tensor_example import TensorExample
from foretell.packaging.versions import library_versions
from foretell.runtimes.base import LoadOptions, Model, Runtime

CHECKED_ROWS_MAX = 256
GOLDEN_ROWS = 3
GOLDEN_VALUES_MAX = 4096
"""A row with more values than this, in and out together, is no golden example: the manifest is read at every scan."""


class TensorPacking:
    """Writes one version. ``class_names`` makes scores a classification."""

    def __init__(
        self,
        subject: Subject,
        runtime: Runtime,
        folder: Path,
        class_names: Sequence[str] | Mapping[Any, str] | None,
        libraries: Mapping[str, str],
    ) -> None:
        self._subject = subject
        self._runtime = runtime
        self._folder = folder
        self._class_names = class_names
        self._libraries = libraries

    def written(self, example: TensorExample, metadata: dict[str, Any]) -> tuple[Manifest, int, bool, tuple[str, ...]]:
        """The manifest, how many rows were asked, whether an object was compared with, and notes."""
        artifact = self._subject.write(self._folder, None)
        own = self._own(artifact)
        example = example.part(CHECKED_ROWS_MAX).matched(own.tensors if own else example.tensors())
        inputs = own.tensors if own else example.tensors()
        plain = own.output if own else Output("tensors")
        found = self._asked(artifact, Signature(tensors=inputs, output=Output("tensors")), example).tensors or {}
        compared = self._compare(example, inputs, found)
        signature = Signature(tensors=inputs, output=self._output(plain, found))
        outputs = self._asked(artifact, signature, example)
        golden = _golden(example, outputs)
        notes = () if golden else ("its rows are too large to be kept as golden examples",)
        manifest = Manifest(
            runtime=self._runtime.name,
            artifacts=(artifact_of(artifact),),
            signature=signature,
            created_at=datetime.now(UTC).replace(microsecond=0),
            libraries={**library_versions(self._subject.distributions), **self._libraries},
            metadata=metadata,
            golden=golden,
            golden_rtol=self._subject.golden_rtol,
        )
        return manifest, example.count, compared, notes

    def _own(self, artifact: Path) -> Signature | None:
        """What the artifact tells of itself; None where it does not tell its tensors."""
        try:
            model = self._load(artifact, None)
        except SignatureMissing:
            return None
        try:
            signature = model.signature
        finally:
            model.close()
        if not signature.tensors:
            raise PackagingError(
                f"{self._subject.title} takes {len(signature.columns)} columns, and the example holds tensors",
                hint="give a table: a DataFrame, an array of two axes, or a CSV file",
            )
        return signature

    def _load(self, artifact: Path, signature: Signature | None) -> Model:
        return self._runtime.load(artifact, signature, LoadOptions(exclusive=False))

    def _asked(self, artifact: Path, signature: Signature, example: TensorExample) -> Outputs:
        model = self._load(artifact, signature)
        try:
            outputs = model.predict(Tensors(dict(example.arrays)))
        except Exception as error:  # a library may raise anything on rows it was not built for
            raise NotStorable(
                f"{self._subject.title} fails on the example: {type(error).__name__}: {str(error)[:300]}"
            ) from error
        finally:
            model.close()
        row = first_not_finite(outputs)
        if row is not None:
            raise PackagingError(
                f"{self._subject.title} answers row {row} of the example with what is no finite number"
            )
        return outputs

    def _compare(self, example: TensorExample, inputs: Sequence[Tensor], found: Mapping[str, NDArray[Any]]) -> bool:
        """Holds the written model against the object given, where there is one. Raises ConversionDiffers."""
        reference = self._subject.reference if isinstance(self._subject, ArraySubject) else None
        if reference is None:
            return False
        expected = reference([example.arrays[tensor.name] for tensor in inputs])
        for wanted, got in zip(expected, found.values(), strict=True):
            typical = float(np.sqrt(np.mean(np.square(wanted, dtype=np.float64))))
            if not np.allclose(got, wanted, rtol=self._subject.rtol, atol=self._subject.rtol * max(typical, 1e-12)):
                worst = float(np.abs(np.asarray(got, dtype=np.float64) - wanted).max())
                raise ConversionDiffers(
                    f"the {self._runtime.name} model that was written differs from the {self._subject.title} given, "
                    f"by up to {worst:.3g} (allowed: {self._subject.rtol:g} relative)"
                )
        return True

    def _output(self, plain: Output, found: Mapping[str, NDArray[Any]]) -> Output:
        if self._class_names is not None:
            scores = single(self._subject.title, list(found.values()))
            return with_class_names(output_of(scores, True), self._class_names)
        if plain.tensors:
            return plain
        given = tuple(Tensor(name, array.dtype.name, (-1, *array.shape[1:])) for name, array in found.items())
        return Output("tensors", tensors=given)


def _golden(example: TensorExample, outputs: Outputs) -> tuple[Golden, ...]:
    listed = outputs.part(0, GOLDEN_ROWS).listed
    arrays = {name: array[:GOLDEN_ROWS] for name, array in example.arrays.items()}
    values = sum(array[0].size for array in (*arrays.values(), *(outputs.tensors or {}).values()))
    if values > GOLDEN_VALUES_MAX:
        return ()
    rows = []
    for index, prediction in enumerate(listed.predictions):
        features = {name: array[index].tolist() for name, array in arrays.items()}
        shares = None if listed.probabilities is None else tuple(listed.probabilities[index])
        rows.append(Golden(next(iter(features.values())) if len(features) == 1 else features, prediction, shares))
    return tuple(rows)
