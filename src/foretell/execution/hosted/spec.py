"""What to host, as it travels from a web worker to the supervisor and on to the host."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from foretell.core.manifest import Artifact

_KINDS: Mapping[str, type | tuple[type, ...]] = {"str": str, "int": int, "float": (int, float)}


@dataclass(frozen=True, slots=True)
class HostSpec:
    """One version and how to host it. Equal specs, of whichever web worker, share their processes.

    model, version  for people and logs
    runtime         where to import it from: ``module:attribute``
    folder          the version's folder; ``artifacts`` in it are verified at each start, ``artifact`` is loaded
    signature       the manifest's, as a document; None where the artifact has to tell
    python          the interpreter
    timeout_s       how long one call may take before the process is killed
    memory_mib      memory above which it is killed
    """

    model: str
    version: str
    runtime: str
    folder: str
    artifact: str
    artifacts: tuple[Artifact, ...]
    signature: Mapping[str, Any] | None
    python: str
    threads: int
    device: str
    replicas: int
    max_rows: int
    timeout_s: float
    memory_mib: int

    @property
    def key(self) -> str:
        """The same for equal specs."""
        text = json.dumps(self.to_document(), sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:24]

    def to_document(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """The inverse of ``to_document``. Raises TypeError or KeyError where it is none."""
        artifacts = tuple(Artifact(**item) for item in document["artifacts"])
        for field in fields(cls):
            if not isinstance(document[field.name], _KINDS.get(str(field.type), object)):
                raise TypeError(f"{field.name} is of no type that it can be")
        return cls(**{**document, "artifacts": artifacts})
