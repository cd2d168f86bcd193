"""Which versions have a cache, and on which terms. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from foretell.core.cache import CacheOptions

DEFAULT_TTL_S = 60.0


@dataclass(frozen=True, slots=True)
class Terms:
    """How long an answer of a version is remembered; how many bytes its answers may take in one process, or None."""

    ttl_s: float
    max_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """What the settings say. ``models``: those whose ``manifest`` says so, ``all``, ``none``, or those named alone."""

    models: Literal["manifest", "all", "none"] | tuple[str, ...] = "manifest"
    ttl_s: float | None = None

    def terms(self, model: str, said: CacheOptions | None) -> Terms | None:
        """The terms for a version whose manifest has ``said`` this; None where it has no cache. The settings win."""
        said = said or CacheOptions()
        if self.models == "manifest":
            cached = said.enabled
        else:
            cached = self.models == "all" or (self.models != "none" and model in self.models)
        if not cached:
            return None
        return Terms(self.ttl_s or said.ttl_s or DEFAULT_TTL_S, said.max_bytes)
