"""Fakes for people who build on Foretell, and for its own tests. They keep the ports' promises and need no library.

A ``.fake`` file holds a number; the model made of it multiplies the sum of each row by that number. So the content of a
file decides the answers, a changed file has another digest, and whatever is not a number cannot be loaded.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from foretell.core.identity import Ref
from foretell.core.manifest import Artifact, Manifest, digest
from foretell.core.signature import Column, Output, Signature
from foretell.core.values import Inputs, Matrix, Outputs
from foretell.errors import ArtifactError, IntegrityError, LoadFailed
from foretell.execution.base import AT_ONCE, Call, Executor, Prospect, Run
from foretell.runtimes.base import Isolation, LoadOptions, Model, Recognition, Requirement, Trust
from foretell.sources.base import Found

FAKE_SIGNATURE = Signature((Column("x"), Column("y")), output=Output("regression"))


class FakeModel:
    """Multiplies the sum of each row by ``factor``, or answers what ``respond`` gives for the inputs."""

    def __init__(
        self,
        signature: Signature = FAKE_SIGNATURE,
        factor: float = 1.0,
        respond: Callable[[Inputs], Outputs] | None = None,
    ) -> None:
        self.signature = signature
        self.factor = factor
        self.model_type = "Fake"
        self.parameters: Mapping[str, Any] = {"factor": factor}
        self.batches: list[int] = []
        self.closed = 0
        self._respond = respond

    def predict(self, inputs: Inputs) -> Outputs:
        """The answers. Raises RuntimeError on a model that has been closed."""
        if self.closed:
            raise RuntimeError("a closed model was asked")
        self.batches.append(inputs.count)
        if self._respond is not None:
            return self._respond(inputs)
        sums = inputs.values.sum(axis=1) if isinstance(inputs, Matrix) else np.ones(inputs.count)
        return Outputs(self.signature.output, values=sums * self.factor)

    def close(self) -> None:
        """Counts how often it was called, in ``closed``."""
        self.closed += 1


@dataclass
class FakeRuntime:
    """Loads ``.fake`` files, and takes ``.fakecode`` files for code. ``loaded`` are all models it made.

    ``respond`` is handed to the models; ``on_load`` is called with the path before a file is read.
    """

    name: str = "fake"
    requires: Sequence[Requirement] = ()
    isolation: Isolation = "any"
    respond: Callable[[Inputs], Outputs] | None = None
    on_load: Callable[[Path], None] = lambda _: None
    loaded: list[FakeModel] = field(default_factory=list)

    def recognise(self, path: Path) -> Recognition | None:
        """By the ending of the name."""
        if path.suffix == ".fakecode":
            return Recognition(self.name, "its name ends in .fakecode", Trust.CODE)
        return Recognition(self.name, "its name ends in .fake") if path.suffix == ".fake" else None

    def load(self, path: Path, signature: Signature | None, options: LoadOptions) -> FakeModel:  # noqa: ARG002
        """Raises LoadFailed where the file holds no number."""
        self.on_load(path)
        try:
            factor = float(path.read_bytes())
        except ValueError:
            raise LoadFailed(f"{path.name} holds no number") from None
        model = FakeModel(signature or FAKE_SIGNATURE, factor, self.respond)
        self.loaded.append(model)
        return model


class FakeExecutor:
    """Runs each call at once, alone."""

    mode = "direct"
    waiting_rows = 0

    def __init__(self, model: Model) -> None:
        self._model = model
        self.closed = 0

    def prospect(self, rows: int) -> Prospect:  # noqa: ARG002  # nothing ever waits here
        """Its turn is now."""
        return AT_ONCE

    def submit(self, call: Call) -> None:
        """Answers before it returns."""
        if self.closed:
            raise RuntimeError("a closed executor was given a call")
        rows = call.rows
        inputs = Matrix(np.array(rows, dtype=np.float64)) if isinstance(rows, Sequence) else rows
        call.complete(self._model.predict(inputs), 0, Run(call.count, 0.0, 0.0))

    async def close(self) -> None:
        """Counts how often it was called, in ``closed``."""
        self.closed += 1


@dataclass(frozen=True, slots=True)
class FakeCosts:
    """Costs that nobody measured."""

    def to_document(self) -> Mapping[str, Any]:
        return {"call_ms": {}}


async def fake_prepare(model: Model, *_: object) -> tuple[Executor, FakeCosts]:
    """A ``foretell.lifecycle.loader.Prepare`` that measures nothing."""
    return FakeExecutor(model), FakeCosts()


@dataclass
class MemorySource:
    """Versions that stand in memory: the content of each one's file by ref, or the fault it is to have.

    ``corrupt`` are refs whose files do not pass verification.
    """

    versions: dict[Ref, bytes | ArtifactError] = field(default_factory=dict)
    manifests: dict[Ref, Manifest] = field(default_factory=dict)
    corrupt: set[Ref] = field(default_factory=set)
    scans: int = 0

    def put(self, model: str, version: str, content: bytes | ArtifactError = b"1") -> Ref:
        """Puts a version there, or replaces it."""
        ref = Ref(model, version)
        self.versions[ref] = content
        return ref

    def remove(self, model: str, version: str) -> None:
        """Takes a version away."""
        del self.versions[Ref(model, version)]

    def scan(self) -> Sequence[Found]:
        """All of them, in the order they were put there."""
        self.scans += 1
        return [self._found(ref, content) for ref, content in self.versions.items()]

    @contextmanager
    def open(self, found: Found) -> Iterator[MemoryFiles]:
        """The file, written to a temporary folder. Raises IntegrityError for what is ``corrupt``."""
        content = self.versions.get(found.ref)
        if found.ref in self.corrupt or not isinstance(content, bytes):
            raise IntegrityError("model.fake is not what the manifest says")
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "model.fake").write_bytes(content)
            yield MemoryFiles(Path(folder), _artifact(content))

    def _found(self, ref: Ref, content: bytes | ArtifactError) -> Found:
        folder = Path("memory") / ref.model / ref.version
        if isinstance(content, ArtifactError):
            return Found(ref, folder, fault=content)
        recognition = Recognition("fake", "its name ends in .fake")
        stamp = _artifact(content).sha256
        return Found(ref, folder, folder / "model.fake", self.manifests.get(ref), recognition, None, stamp)


@dataclass(frozen=True, slots=True)
class MemoryFiles:
    """The file of one version, in a temporary folder."""

    folder: Path
    artifact: Artifact

    @property
    def artifacts(self) -> Sequence[Artifact]:
        return (self.artifact,)

    @property
    def digest(self) -> str:
        return digest(self.artifacts)

    def path(self, name: str) -> Path:
        return self.folder / name

    def confirm(self) -> None:
        """Nothing can have changed."""


def _artifact(content: bytes) -> Artifact:
    return Artifact("model.fake", hashlib.sha256(content).hexdigest(), len(content))
