"""How the author of a version wants it run: the table ``[execution]`` of its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self, get_args

from foretell.errors import ManifestError

Mode = Literal["direct", "threaded", "hosted"]
"""In the event loop, on a thread of the serving process, or in a process of its own that all workers share."""

_MODES = ("auto", *get_args(Mode))
_WHOLE = {"max_batch_rows": (1, 1_000_000), "replicas": (1, 64), "memory_mib": (16, 16_777_216)}
_NUMBERS = {"max_wait_ms": (0.0, 1_000.0), "timeout_s": (0.01, 3_600.0)}


@dataclass(frozen=True, slots=True)
class ExecutionOptions:
    """What is None, or ``auto``, is for the server to decide.

    max_batch_rows  most rows of one call of the model
    max_wait_ms     how long a batch may wait for more rows; 0: not at all
    timeout_s       how long one call may take; a hosted model is killed after it
    replicas        processes of a hosted model
    memory_mib      memory of one hosted process; it is killed above
    python          interpreter, or folder of a virtual environment, of a hosted model; relative to the version's folder
    device          ``cpu``, or ``cuda:N`` where the runtime knows devices
    """

    mode: Mode | Literal["auto"] = "auto"
    max_batch_rows: int | None = None
    max_wait_ms: float = 0.0
    timeout_s: float | None = None
    replicas: int = 1
    memory_mib: int | None = None
    python: str | None = None
    device: str = "cpu"

    def to_document(self) -> dict[str, Any]:
        """What differs from the defaults, as plain values for TOML."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value != getattr(_DEFAULTS, name)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """The inverse of ``to_document``. Raises ManifestError naming the place of the fault."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(document) - known)
        if unknown:
            raise ManifestError(f"execution: unknown keys: {', '.join(unknown)}; known are {', '.join(sorted(known))}")
        if document.get("mode", "auto") not in _MODES:
            raise ManifestError(f"execution.mode must be one of {', '.join(_MODES)}")
        for name, (least, most) in _WHOLE.items():
            if name in document and not (type(document[name]) is int and least <= document[name] <= most):
                raise ManifestError(f"execution.{name} must be a whole number from {least} to {most:,}")
        for name, (lowest, highest) in _NUMBERS.items():
            value = document.get(name, lowest)
            if isinstance(value, bool) or not isinstance(value, int | float) or not lowest <= value <= highest:
                raise ManifestError(f"execution.{name} must be a number from {lowest:g} to {highest:,g}")
        for name in ("python", "device"):
            if name in document and not (isinstance(document[name], str) and 0 < len(document[name]) <= 4096):
                raise ManifestError(f"execution.{name} must be a text")
        return cls(**document)


_DEFAULTS = ExecutionOptions()
