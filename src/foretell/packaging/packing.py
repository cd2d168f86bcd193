"""The order of work: write, load what was written, hold its answers against the model given, describe, publish."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from foretell.core.identity import Ref
from foretell.core.manifest import Artifact, Golden, Manifest
from foretell.core.signature import Output, Signature
from foretell.core.values import Outputs
from foretell.errors import (
    ConversionDiffers,
    LoadFailed,
    NotStorable,
    PackagingError,
    SignatureMissing,
    UntrustedArtifact,
)
from foretell.packaging.classes import check_labels, with_class_names
from foretell.packaging.columns import Declared, describe_columns, retyped
from foretell.packaging.equality import RTOL_SINGLE, SHOWN_MAX, Answers, differences
from foretell.packaging.estimators import ONNX_HINT
from foretell.packaging.example import Example
from foretell.packaging.folder import VersionFolder, artifact_of, new_version, store_manifest
from foretell.packaging.golden import golden_examples, golden_rows
from foretell.packaging.plain import plain_metadata
from foretell.packaging.python_file import PythonFile
from foretell.packaging.sample import Sample
from foretell.packaging.statistics import statistics
from foretell.packaging.subject import Subject
from foretell.packaging.subjects import Asked, Runtimes, subject_of
from foretell.packaging.tensor_example import TensorExample
from foretell.packaging.tensor_packing import TensorPacking
from foretell.packaging.versions import library_versions
from foretell.runtimes.base import CODE_RUNTIMES, LoadOptions, Model, Runtime

CHECKED_ROWS_MAX = 5000


@dataclass(frozen=True)
class Packaged:
    """What was written, and where. ``notes`` say what the author may want to know.

    ``compared`` is False where a file was taken over byte by byte, so that there was no object to compare it with.
    """

    path: Path
    ref: Ref
    manifest: Manifest
    checked_rows: int
    compared: bool
    notes: tuple[str, ...] = ()

    @property
    def signature(self) -> Signature:
        return self.manifest.signature

    @property
    def digest(self) -> str:
        return self.manifest.digest

    def __str__(self) -> str:
        columns = len(self.signature.columns) or len(self.signature.tensors)
        lines = [
            f"{self.ref} is at {self.path} ({self.manifest.runtime}, {columns} inputs, {self.digest[:19]})",
            f"{self.checked_rows} example rows answered{' as by the model given' if self.compared else ''}; "
            f"{len(self.manifest.golden)} kept as golden examples",
            *(f"note: {note}" for note in self.notes),
            f"serve it:  foretell serve {self.path.parent.parent}",
        ]
        return "\n".join(lines)

    __repr__ = __str__  # a notebook cell that ends in package(...) shows this


@dataclass(frozen=True)
class Order:
    """Everything that is asked for besides model, place and example; see ``foretell.package``."""

    format: str = "auto"
    class_names: Sequence[str] | Mapping[Any, str] | None = None
    feature_names: Sequence[str] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    declare: Declared = field(default_factory=dict)
    files: Sequence[Path] = ()
    """Files that are to lie beside a ``model.py``."""
    libraries: Mapping[str, str] = field(default_factory=dict)
    """Versions known better than by asking what is installed, such as those inside a pickle."""


def pack(
    model: Any,
    path: str | os.PathLike[str],
    example: Example | TensorExample,
    order: Order,
    runtimes: Runtimes,
    *,
    progress: Callable[[str], None] = lambda _step: None,
) -> Packaged:
    """Writes the version and returns what was written. ``progress`` is told each step.

    Raises PackagingError or ArtifactError; then nothing has been written.
    """
    target = VersionFolder.at(path)
    target.refuse_existing()
    metadata = plain_metadata(order.metadata)
    asked = Asked(order.format, order.files, order.class_names is not None)
    subject, runtime_name = subject_of(model, asked, runtimes)
    if isinstance(subject, PythonFile):
        order = replace(order, declare=_both(subject.declared(), order.declare))
    with new_version(target) as folder:
        runtime = runtimes.get(runtime_name)
        if isinstance(example, TensorExample):
            packing = TensorPacking(subject, runtime, folder, order.class_names, order.libraries)
            manifest, rows, compared, notes = packing.written(example, metadata)
        else:
            manifest, rows, compared, notes = _Work(subject, runtime, folder, order, progress).written(
                example, metadata
            )
        store_manifest(folder, manifest)
    return Packaged(target.path, target.ref, manifest, rows, compared, (*notes, *_allowing(target.ref, runtime_name)))


def _both(annotated: Declared, declared: Declared) -> Declared:
    """What annotations say of a column, and over it what the author declares."""
    names = [*annotated, *(name for name in declared if name not in annotated)]
    return {name: {**annotated.get(name, {}), **declared.get(name, {})} for name in names}


def _allowing(ref: Ref, runtime: str) -> tuple[str, ...]:
    if runtime not in CODE_RUNTIMES:
        return ()
    named = f"{ref.model}/{ref.version}"
    return (f"it is code, and is served only where the settings allow it by name: FORETELL_TRUST__PICKLE={named}",)


@dataclass(frozen=True)
class _Work:
    subject: Subject
    runtime: Runtime
    folder: Path
    order: Order
    progress: Callable[[str], None]

    def written(self, example: Example, metadata: dict[str, Any]) -> tuple[Manifest, int, bool, tuple[str, ...]]:
        """Writes the artifact, checks it, and describes it."""
        artifact, own = self._early()
        self.progress("reading the example")
        if own is not None and own.tensors:
            raise PackagingError(
                "the model takes tensors, and the example is a table",
                hint="give tensors: a .npz file, or a dict of arrays with the rows as their first axis",
            )
        names, width = (self.subject.names, self.subject.width) if own is None else _columns_of(own)
        example = example.matched(names, width, self.order.feature_names)
        example = replace(example, sample=retyped(example.sample, self.order.declare))
        checked = example.spread(CHECKED_ROWS_MAX)
        answers = self.subject.answers(checked.raw, checked.sample)
        output = self._output(answers, own)
        signature = Signature(
            describe_columns(example.sample, self.order.declare), output=output, named=example.sample.named
        )
        if artifact is None:
            self.progress(f"writing {self.subject.title}")
            artifact = self.subject.write(self.folder, signature)
        self.progress("asking the written model")
        loaded = self._load(artifact, signature)
        try:
            outputs = self._checked(loaded, checked, signature, answers)
            golden, signature = self._golden(loaded, checked.sample, outputs, signature)
        finally:
            loaded.close()
        notes = (*example.notes, *check_labels(example.labels, checked.labels, outputs))
        manifest = self._manifest(artifact, signature, example.sample, golden, metadata)
        return manifest, checked.sample.count, answers is not None, notes

    def _early(self) -> tuple[Path | None, Signature | None]:
        """What is data already is written first: the artifact itself tells names and output."""
        if not self.subject.tells_when_written:
            return None, None
        artifact = self.subject.write(self.folder, None)
        return artifact, self._own_signature(artifact)

    def _own_signature(self, artifact: Path) -> Signature | None:
        try:
            loaded = self._load(artifact, None)
        except SignatureMissing:
            return None
        try:
            return loaded.signature
        finally:
            loaded.close()

    def _output(self, answers: Answers | None, own: Signature | None) -> Output:
        described = self.subject.output(answers) or (own.output if own else None)
        if described is None:
            raise PackagingError(
                f"neither {self.subject.title} nor the file written from it says what it answers",
                hint="package the fitted estimator instead of the file",
            )
        return with_class_names(described, self.order.class_names)

    def _load(self, artifact: Path, signature: Signature | None) -> Model:
        try:
            return self.runtime.load(artifact, signature, LoadOptions(exclusive=False))
        except UntrustedArtifact as error:
            raise NotStorable(
                f"{self.subject.title} holds types that are not served: {error.detail}", hint=ONNX_HINT
            ) from error
        except LoadFailed as error:
            if self.subject.tells_when_written:
                raise  # the file was given as it is: its fault is its own
            raise NotStorable(
                f"what was written of {self.subject.title} cannot be loaded again: {error.detail}", hint=error.hint
            ) from error

    def _checked(self, loaded: Model, example: Example, signature: Signature, answers: Answers | None) -> Outputs:
        """What the written model answers, held against the object given. Raises ConversionDiffers."""
        sample = example.sample
        # rows given as float32 let the object itself compute in float32
        rtol = max(self.subject.rtol, RTOL_SINGLE) if example.single else self.subject.rtol
        try:
            outputs = loaded.predict(sample.inputs(signature))
            found = differences(answers, outputs, rtol) if answers is not None else []
        except Exception as error:
            # a library may raise anything on rows it was not built for
            raise ConversionDiffers(
                f"what was written of {self.subject.title} fails on the example: {_brief(error)}",
                hint="give as example the same columns, with the same types, that the model was fitted on",
            ) from error
        if not found:
            return outputs
        count = f"{len(found)} of {sample.count} example rows (allowed: {rtol:g} relative)"
        shown = "\n  ".join(str(difference) for difference in found[:SHOWN_MAX])
        more = f"\n  and {len(found) - SHOWN_MAX} more" if len(found) > SHOWN_MAX else ""
        raise ConversionDiffers(
            f"the {self.runtime.name} model that was written answers differently from the {self.subject.title} given, "
            f"in {count}:\n  {shown}{more}",
            hint=_why_differs(self.runtime.name, self.order.format),
        )

    def _golden(
        self, loaded: Model, sample: Sample, outputs: Outputs, signature: Signature
    ) -> tuple[tuple[Golden, ...], Signature]:
        rows = golden_rows(sample, outputs, signature)
        if not rows:
            raise PackagingError(
                "no example row could be sent as a request: every one of those tried breaks what is declared, "
                "or holds an infinity",
                hint="mend the declared bounds, or give example rows that keep them",
            )
        kept = sample.take(rows)
        # asked again with these rows alone, so that what is recorded is what these rows give
        golden = golden_examples(kept, loaded.predict(kept.inputs(signature)), signature)
        return golden, replace(signature, columns=describe_columns(sample, self.order.declare, first=rows[0]))

    def _manifest(
        self, artifact: Path, signature: Signature, sample: Sample, golden: tuple[Golden, ...], metadata: dict[str, Any]
    ) -> Manifest:
        return Manifest(
            runtime=self.runtime.name,
            artifacts=_artifacts(artifact),
            signature=signature,
            created_at=datetime.now(UTC).replace(microsecond=0),
            libraries={**library_versions(self.subject.distributions), **self.order.libraries},
            metadata=metadata,
            statistics=statistics(sample),
            golden=golden,
            golden_rtol=self.subject.golden_rtol,
        )


def _artifacts(first: Path) -> tuple[Artifact, ...]:
    """The file that is loaded, then those beside it."""
    beside = sorted(path for path in first.parent.iterdir() if path != first and path.is_file())
    return tuple(artifact_of(path) for path in (first, *beside))


def _columns_of(signature: Signature) -> tuple[Sequence[str] | None, int]:
    return (signature.names if signature.named else None), len(signature.columns)


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:500]}"


def _why_differs(runtime: str, format: str) -> str:
    if runtime == "onnx":
        skops = "; format='skops' keeps the estimator itself (--convert skops)" if format == "onnx" else ""
        return f"ONNX computes in float32, which moves rows that lie near a split or a boundary{skops}"
    return "give the example in the form the model was fitted on: column order, types and categories"
