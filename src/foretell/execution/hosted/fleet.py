"""The hosts of one version: how many there are, how many there should be, and when the next may start."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from foretell.execution.hosted.breaker import Breaker, Cause
from foretell.execution.hosted.replica import Replica
from foretell.execution.hosted.spec import HostSpec

PATIENCE_S = 2.0
"""Requests wait for a host that is started again within this time; for longer pauses they are refused."""
SOFT_LIMITS = (0.8, 0.9, 0.95)
"""Shares of the memory limit above which a host that grew is replaced: the new one first, then the old one leaves.

A host that grew so far within its first ``FEW_CALLS`` calls is perhaps no larger than its model is: a new one would be
as large in no time. So the next is only replaced above the next share, and beyond the last one at the limit itself.
"""
GROWN = 0.1
"""Share of the memory limit that a host has to have taken since it was ready."""
FEW_CALLS = 500


@dataclass
class Fleet:
    """``reason`` says why a version that never was ready cannot be."""

    spec: HostSpec
    alive: list[Replica] = field(default_factory=list)
    breaker: Breaker = field(default_factory=Breaker)
    unwanted: bool = False
    described: Mapping[str, Any] | None = None
    reason: Mapping[str, Any] | None = None
    next_s: float = 0.0
    in_vain: int = 0
    """How many hosts in a row grew large within their first calls."""

    @property
    def busy(self) -> bool:
        """Whether there is anything to look after."""
        return bool(self.alive) or not self.unwanted

    def due(self, now_s: float) -> int:
        """How many hosts to start now."""
        if self.unwanted or self.reason is not None or now_s < self.next_s:
            return 0
        staying = [r for r in self.alive if not (r.leaving or r.worn or r.doomed)]
        return max(0, self.spec.replicas - len(staying))

    def pause_s(self, now_s: float) -> float:
        """How long until the next start."""
        return max(0.0, self.next_s - now_s)

    def became_ready(self, replica: Replica) -> None:
        """A new host can answer; one that has grown too large may leave for it."""
        self.described = replica.ready
        for worn in [r for r in self.alive if r.worn and not r.leaving][:1]:
            worn.leave()

    def overgrown(self) -> list[Replica]:
        """Hosts at their limit of memory before their successors can answer."""
        limit = self.spec.memory_mib * 2**20
        return [r for r in self.alive if r.worn and not r.leaving and r.doomed is None and r.memory_bytes > limit]

    def wear_out(self) -> list[Replica]:
        """The hosts that have grown since they were ready and come near their limit of memory, each told once."""
        if self.in_vain >= len(SOFT_LIMITS):
            return []
        limit = self.spec.memory_mib * 2**20
        near, much = SOFT_LIMITS[self.in_vain] * limit, GROWN * limit
        staying = [replica for replica in self.alive if not (replica.worn or replica.leaving)]
        grown = [replica for replica in staying if replica.memory_bytes > near and replica.growth_bytes > much]
        for replica in grown:
            replica.worn = True
        if grown:
            quickly = all(replica.calls < FEW_CALLS for replica in grown)
            self.in_vain = self.in_vain + 1 if quickly else 0
        return grown

    def failed_to_start(self, reason: Mapping[str, Any], now_s: float) -> None:
        """It could not even be started."""
        self._wait(self.breaker.died("failed_to_load", 0.0, now_s), now_s)
        if self.described is None:
            self.reason = reason

    def lost(self, replica: Replica, cause: Cause, now_s: float) -> None:
        """A host has died or left."""
        self.alive.remove(replica)
        if replica.left or self.unwanted:
            return
        if cause == "memory_limit":  # it was no matter of its model's size
            self.in_vain = 0
        self._wait(self.breaker.died(cause, now_s - replica.started_s, now_s), now_s)
        if self.described is None:
            self.reason = replica.failure or {"code": "load_failed", "detail": _LOADING[cause]}

    def _wait(self, pause_s: float, now_s: float) -> None:
        self.next_s = max(self.next_s, now_s + pause_s)

    def document(self) -> dict[str, Any]:
        """As the web workers are told."""
        ready = [r for r in self.alive if r.ready is not None and not r.leaving and r.doomed is None]
        pause_s = 0.0 if ready else self.pause_s(time.monotonic())
        if pause_s <= PATIENCE_S:
            pause_s = 0.0
        return {
            "key": self.spec.key,
            "replicas": [[replica.number, replica.socket] for replica in ready],
            "described": self.described,
            "reason": self.reason,
            "down_s": math.ceil(pause_s),
        }


_LOADING = {
    "crashed": "its process crashed while it loaded",
    "failed_to_load": "its process ended while it loaded",
    "time_limit": "it took too long to load",
    "memory_limit": "it took more memory than it may while it loaded",
    "garbage": "its process wrote what it must not while it loaded",
    "killed": "its process was killed while it loaded",
}
