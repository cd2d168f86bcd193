"""The doctor: what stands under a path, and what would keep it from being served, judged by the server's own steps."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from foretell.core.identity import Ref
from foretell.core.signature import Signature
from foretell.errors import ArtifactError, GoldenMismatch
from foretell.lifecycle.loader import Loaded, close_quietly, try_model
from foretell.packaging import subjects
from foretell.packaging.curl import curl_line
from foretell.packaging.versions import Skew, skews
from foretell.runtimes.base import Recognition
from foretell.sources.base import Found, Source

_FILES_SHOWN = 20


class Runtimes(subjects.Runtimes, Protocol):
    """Where runtimes are found: the registry, which also tells which plugins could not be loaded."""

    @property
    def broken(self) -> Mapping[str, str]: ...


@dataclass(frozen=True, slots=True)
class SeenFile:
    """A file of a version, and what it was recognised as."""

    name: str
    recognition: Recognition | None

    def to_document(self) -> dict[str, Any]:
        if self.recognition is None:
            return {"name": self.name, "runtime": None, "reason": "no runtime knows it", "trust": None}
        found = self.recognition
        return {"name": self.name, "runtime": found.runtime, "reason": found.reason, "trust": str(found.trust)}


@dataclass(frozen=True, slots=True)
class Golden:
    """How the golden examples went. ``passed`` is None where the model never came so far."""

    count: int
    passed: bool | None

    def to_document(self) -> dict[str, Any]:
        return {"count": self.count, "passed": self.passed}


@dataclass(frozen=True)
class Examined:
    """One version. It can be served where ``fault`` is None; ``warnings`` do not keep it from that."""

    ref: Ref
    folder: Path
    files: tuple[SeenFile, ...] = ()
    runtime: str | None = None
    model_type: str | None = None
    signature: Signature | None = None
    digest: str | None = None
    created_at: datetime | None = None
    golden: Golden | None = None
    missing: tuple[str, ...] = ()
    """Lines that install what is missing."""
    skews: tuple[Skew, ...] = ()
    curl: str | None = None
    fault: ArtifactError | None = None

    @property
    def servable(self) -> bool:
        return self.fault is None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What may make it answer differently here than where it was trained, or leaves its answers unproved."""
        unproved = () if self.golden and self.golden.count else ("no golden examples: nothing proves its answers",)
        return (*map(str, self.skews), *unproved)

    def to_document(self) -> dict[str, Any]:
        """Plain values for ``--json``; every key is always there."""
        fault = self.fault
        return {
            "model": self.ref.model,
            "version": self.ref.version,
            "folder": str(self.folder),
            "servable": self.servable,
            "fault": fault and {"code": fault.code, "title": fault.title, "detail": fault.detail, "hint": fault.hint},
            "warnings": list(self.warnings),
            "files": [file.to_document() for file in self.files],
            "runtime": self.runtime,
            "model_type": self.model_type,
            "signature": self.signature and self.signature.to_document(),
            "digest": self.digest,
            "created_at": self.created_at and self.created_at.isoformat(),
            "golden": self.golden and self.golden.to_document(),
            "missing": list(self.missing),
            "skew": [{"library": s.library, "trained": s.trained, "running": s.running} for s in self.skews],
            "curl": self.curl,
        }


@dataclass(frozen=True)
class Report:
    """Everything under a path. ``plugins`` are runtimes that could not be loaded, and why."""

    path: Path
    versions: tuple[Examined, ...]
    plugins: Mapping[str, str] = field(default_factory=dict)

    @property
    def servable(self) -> bool:
        """Whether there is anything, and all of it can be served."""
        return bool(self.versions) and all(version.servable for version in self.versions)

    def to_document(self) -> dict[str, Any]:
        """Plain values for ``--json``."""
        return {
            "path": str(self.path),
            "servable": self.servable,
            "versions": [version.to_document() for version in self.versions],
            "broken_plugins": dict(self.plugins),
        }


@dataclass(frozen=True)
class Doctor:
    """Examines versions. ``curl`` makes the line that asks a model, given its name and one row.

    ``load`` loads a version as the server would, in a process of its own where it would, and raises ArtifactError.
    """

    source: Source
    runtimes: Runtimes
    load: Callable[[Found], Loaded]
    curl: Callable[[str, Any], str] = curl_line

    def examine(self, path: Path, progress: Callable[[str], None] = lambda _what: None) -> Report:
        """Looks at everything under the path, loading only what the server would load.

        Raises OperatorError where the path itself cannot be read.
        """
        versions = []
        for found in self.source.scan():
            progress(str(found.ref))
            versions.append(self._version(found))
        return Report(path, tuple(versions), self.runtimes.broken)

    def _version(self, found: Found) -> Examined:
        seen = self._seen(found)
        golden = len(found.manifest.golden) if found.manifest else 0
        try:
            tried = self._tried(found)
        except ArtifactError as error:
            passed = False if isinstance(error, GoldenMismatch) else None
            return replace(seen, golden=Golden(golden, passed), fault=error)
        return replace(seen, golden=Golden(golden, True if golden else None), **tried)

    def _seen(self, found: Found) -> Examined:
        """What can be said without loading anything."""
        manifest, name = found.manifest, _runtime_name(found)
        seen = Examined(found.ref, found.folder, self._files(found), name, missing=self._missing(name))
        if manifest is None:
            return seen
        libraries = {name: version for name, version in manifest.libraries.items() if name != "python"}
        return replace(
            seen,
            signature=manifest.signature,
            digest=manifest.digest,
            created_at=manifest.created_at,
            skews=skews(libraries),
        )

    def _tried(self, found: Found) -> dict[str, Any]:
        """What only the loaded model tells. Raises ArtifactError where the server would refuse it."""
        loaded = self.load(found)
        trial = try_model(loaded)
        try:
            return {
                "runtime": loaded.runtime,
                "model_type": loaded.model.model_type,
                "signature": loaded.model.signature,
                "digest": loaded.digest,
                "curl": None if trial.features is None else self.curl(found.ref.model, trial.features),
            }
        finally:
            close_quietly(loaded.model, found)

    def _files(self, found: Found) -> tuple[SeenFile, ...]:
        """The artifact, and whatever else lies in a folder that is the version's own."""
        if found.manifest is None and found.artifact is not None:
            return (SeenFile(found.artifact.name, found.recognition),)
        try:
            entries = sorted(found.folder.iterdir())
        except OSError:
            return ()  # the fault of the version already says that the folder cannot be read
        regular = [entry for entry in entries if entry.is_file() and not entry.is_symlink()]
        models = [entry for entry in regular if entry.suffix != ".toml" and not entry.name.startswith(".")]
        return tuple(SeenFile(entry.name, self.runtimes.recognise(entry)) for entry in models[:_FILES_SHOWN])

    def _missing(self, name: str | None) -> tuple[str, ...]:
        try:
            runtime = self.runtimes.get(name or "")
        except ArtifactError:
            return ()  # no such runtime: loading it says so
        lacking = [needed for needed in runtime.requires if not _importable(needed.module)]
        return tuple(dict.fromkeys(needed.install for needed in lacking))


def _runtime_name(found: Found) -> str | None:
    if found.manifest is not None:
        return found.manifest.runtime
    return found.recognition.runtime if found.recognition else None


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False
