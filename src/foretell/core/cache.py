"""Whether the author of a version wants its answers remembered: the table ``[cache]`` of its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from foretell.errors import ManifestError

SHORTEST_TTL_S, LONGEST_TTL_S = 0.1, 31_536_000.0
LEAST_BYTES, MOST_BYTES = 1024, 1 << 50


@dataclass(frozen=True, slots=True)
class CacheOptions:
    """What is None is for the server to decide. A manifest without the table has no cache; an empty table has one.

    ttl_s      seconds an answer is remembered
    max_bytes  memory for the answers of this version, in each serving process
    """

    enabled: bool = False
    ttl_s: float | None = None
    max_bytes: int | None = None

    def to_document(self) -> dict[str, Any]:
        """As plain values for TOML; empty where nothing was said."""
        if self == CacheOptions():
            return {}
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def from_document(cls, document: Mapping[str, Any] | None) -> Self:
        """The inverse of ``to_document``; None is no table. Raises ManifestError naming the place of the fault."""
        if document is None:
            return cls()
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(document) - known)
        if unknown:
            raise ManifestError(f"cache has unknown keys: {', '.join(unknown)}; known are {', '.join(sorted(known))}")
        enabled, ttl_s, max_bytes = document.get("enabled", True), document.get("ttl_s"), document.get("max_bytes")
        if type(enabled) is not bool:
            raise ManifestError("cache.enabled must be true or false")
        if ttl_s is not None and not (type(ttl_s) in (int, float) and SHORTEST_TTL_S <= ttl_s <= LONGEST_TTL_S):
            raise ManifestError(f"cache.ttl_s must be a number from {SHORTEST_TTL_S:g} to {LONGEST_TTL_S:,.0f}")
        if max_bytes is not None and not (type(max_bytes) is int and LEAST_BYTES <= max_bytes <= MOST_BYTES):
            raise ManifestError(f"cache.max_bytes must be a whole number from {LEAST_BYTES:,} to {MOST_BYTES:,}")
        return cls(enabled, None if ttl_s is None else float(ttl_s), max_bytes)
