"""The manifest of a version folder (contract §1): what was stored, how it is called, and what it must answer."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from foretell.core.cache import CacheOptions
from foretell.core.execution import ExecutionOptions
from foretell.core.signature import Signature
from foretell.errors import ManifestError

MANIFEST_NAME = "manifest.toml"
MANIFEST_MAX_BYTES = 4 * 1024 * 1024
FORMAT = 1

_SHA256 = re.compile(r"[0-9a-f]{64}")
_KEYS = {
    "format", "runtime", "created_at", "artifacts", "signature", "libraries", "metadata", "statistics", "golden",
    "execution", "cache",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file of the version: its plain name inside the folder, SHA-256 in hex, and size."""

    name: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Golden:
    """One input with the answer it must give.

    ``features`` is a list in column order or a mapping by column; a null is a key that is left out (TOML has no null),
    so rows with nulls are always mappings. ``prediction`` is compared exactly where it is not a float; floats and
    ``probabilities`` within the manifest's tolerance.
    """

    features: Any
    prediction: Any
    probabilities: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """The first of ``artifacts`` is the one the runtime loads; others lie beside it.

    ``statistics`` holds, by column, what packaging observed in the example data: documentation and the reference for
    drift, never a reason to refuse a row. ``libraries`` are the versions at training time, by distribution name.
    """

    runtime: str
    artifacts: tuple[Artifact, ...]
    signature: Signature
    created_at: datetime
    libraries: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    statistics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    golden: tuple[Golden, ...] = ()
    golden_rtol: float = 1e-9
    execution: ExecutionOptions = field(default_factory=ExecutionOptions)
    cache: CacheOptions = field(default_factory=CacheOptions)

    @property
    def digest(self) -> str:
        return digest(self.artifacts)

    def to_document(self) -> dict[str, Any]:
        """The manifest as plain values for TOML."""
        document: dict[str, Any] = {
            "format": FORMAT,
            "runtime": self.runtime,
            "created_at": self.created_at,
            "artifacts": [{"name": a.name, "sha256": a.sha256, "size_bytes": a.size_bytes} for a in self.artifacts],
            "signature": self.signature.to_document(),
        }
        for key in ("libraries", "metadata", "statistics"):
            if value := getattr(self, key):
                document[key] = dict(value)
        if execution := self.execution.to_document():
            document["execution"] = execution
        if cache := self.cache.to_document():
            document["cache"] = cache
        if self.golden:
            document["golden"] = {"rtol": self.golden_rtol, "examples": [_golden_document(g) for g in self.golden]}
        return document

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """The inverse of ``to_document``. Raises ManifestError naming the place of the fault."""
        unknown = sorted(set(document) - _KEYS)
        if unknown:
            raise ManifestError(f"unknown keys: {', '.join(unknown)}; known are {', '.join(sorted(_KEYS))}")
        if document.get("format") != FORMAT:
            raise ManifestError(f"format is {document.get('format')!r}, this version of Foretell reads {FORMAT}")
        runtime, created_at = document.get("runtime"), document.get("created_at")
        if not isinstance(runtime, str):
            raise ManifestError("runtime must be a text, such as 'sklearn'")
        if not isinstance(created_at, datetime):
            raise ManifestError("created_at must be a date and time")
        golden = _table(document, "golden")
        rtol = golden.get("rtol", 1e-9)
        if isinstance(rtol, bool) or not isinstance(rtol, int | float) or not 0 <= rtol <= 0.1:
            raise ManifestError("golden.rtol must be a number from 0 to 0.1")
        return cls(
            runtime=runtime,
            artifacts=_artifacts(document.get("artifacts")),
            signature=Signature.from_document(_table(document, "signature")),
            created_at=created_at if created_at.tzinfo else created_at.replace(tzinfo=UTC),
            libraries={str(k): str(v) for k, v in _table(document, "libraries").items()},
            metadata=_table(document, "metadata"),
            statistics=_statistics(_table(document, "statistics")),
            golden=tuple(_golden(item, i) for i, item in enumerate(golden.get("examples", []))),
            golden_rtol=float(rtol),
            execution=ExecutionOptions.from_document(_table(document, "execution")),
            cache=CacheOptions.from_document(_table(document, "cache") if "cache" in document else None),
        )


def digest(artifacts: Sequence[Artifact]) -> str:
    """The digest of a version: SHA-256 over its artifacts' digests and names, in the order of their names."""
    lines = sorted(f"{artifact.sha256}  {artifact.name}\n" for artifact in artifacts)
    return "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()


def artifact_name_fault(name: str) -> str | None:
    """Why ``name`` cannot name a file of a version folder, or None: it must be one plain file name of that folder."""
    if not name or name in (".", "..") or any(c in name for c in "/\\\0") or name == MANIFEST_NAME or len(name) > 255:
        return f"{name[:64]!r} is not the plain name of a file in the folder"
    return None


def _golden_document(golden: Golden) -> dict[str, Any]:
    document = {"features": golden.features, "prediction": golden.prediction}
    return document if golden.probabilities is None else {**document, "probabilities": list(golden.probabilities)}


def _table(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key, {})
    if not isinstance(value, Mapping):
        raise ManifestError(f"{key} must be a table")
    return value


def _artifacts(items: Any) -> tuple[Artifact, ...]:
    if not isinstance(items, list) or not items:
        raise ManifestError("artifacts must list at least one file")
    found = []
    for index, item in enumerate(items):
        where = f"artifacts[{index}]"
        if not isinstance(item, Mapping) or set(item) != {"name", "sha256", "size_bytes"}:
            raise ManifestError(f"{where} must have name, sha256 and size_bytes")
        name, sha256, size = item["name"], item["sha256"], item["size_bytes"]
        fault = artifact_name_fault(name) if isinstance(name, str) else "the name is no text"
        if fault:
            raise ManifestError(f"{where}: {fault}")
        if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
            raise ManifestError(f"{where}.sha256 must be 64 hexadecimal digits")
        if type(size) is not int or size < 0:
            raise ManifestError(f"{where}.size_bytes must be a whole number")
        found.append(Artifact(name, sha256, size))
    if len({artifact.name for artifact in found}) < len(found):
        raise ManifestError("artifacts name a file more than once")
    return tuple(found)


def _statistics(table: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    for name, value in table.items():
        if not isinstance(value, Mapping):
            raise ManifestError(f"statistics.{name} must be a table")
    return dict(table)


def _golden(item: Any, index: int) -> Golden:
    where = f"golden.examples[{index}]"
    needed, known = {"features", "prediction"}, {"features", "prediction", "probabilities"}
    if not isinstance(item, Mapping) or not needed <= set(item) <= known:
        raise ManifestError(f"{where} must have features and prediction, and may have probabilities")
    probabilities = item.get("probabilities")
    if probabilities is None:
        return Golden(item["features"], item["prediction"])
    if not isinstance(probabilities, list) or not all(isinstance(p, int | float) for p in probabilities):
        raise ManifestError(f"{where}.probabilities must be a list of numbers")
    return Golden(item["features"], item["prediction"], tuple(float(p) for p in probabilities))
