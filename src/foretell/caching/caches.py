"""All caches of one process: the memory they share, the store behind it, and which versions have one."""

from __future__ import annotations

import time
from collections.abc import Callable

from foretell.caching.answers import Answers
from foretell.caching.base import AnswerCache, Remote
from foretell.caching.keys import Keys
from foretell.caching.memory import Memory
from foretell.caching.policy import CachePolicy
from foretell.caching.seal import Seal
from foretell.core.cache import CacheOptions
from foretell.core.identity import Ref
from foretell.core.signature import Signature


class Caches:
    """Opens the cache of each version that has one. ``secret`` keys and signs what goes into ``remote``."""

    def __init__(
        self,
        policy: CachePolicy,
        *,
        max_bytes: int,
        max_entry_bytes: int,
        secret: str,
        remote: Remote | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.memory = Memory(max_bytes)
        self._policy = policy
        self._max_entry_bytes = max_entry_bytes
        self._secret = secret
        self._seal = Seal(secret)
        self._remote = remote
        self._clock = clock

    def cache(self, ref: Ref, digest: str, signature: Signature, said: CacheOptions | None) -> AnswerCache | None:
        """The cache of a version whose manifest has ``said`` this; None where it has none."""
        terms = self._policy.terms(ref.model, said)
        if terms is None:
            return None
        return Answers(
            keys=Keys(self._secret, ref, digest, signature),
            shelf=self.memory.shelf(terms.max_bytes),
            terms=terms,
            signature=signature,
            max_entry_bytes=self._max_entry_bytes,
            remote=self._remote,
            seal=self._seal,
            clock=self._clock,
        )

    async def open(self) -> None:
        """Begins to connect to the store, if there is one."""
        if self._remote is not None:
            await self._remote.open()

    async def close(self) -> None:
        """Leaves the store."""
        if self._remote is not None:
            await self._remote.close()
