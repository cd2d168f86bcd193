"""The keys in memory: who stands behind a presented key, in a few microseconds and without asking anybody."""

from __future__ import annotations

import bisect
import math
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from foretell.core.access.api_key import id_of
from foretell.core.access.credentials import Credential, invalid_credential
from foretell.core.access.principal import Principal, anonymous
from foretell.security.keys.pepper import Pepper
from foretell.security.keys.record import KeyRecord


class Held:
    """A key that may be used until ``ends_s``; ``used_s`` is when it last was."""

    __slots__ = ("digest", "ends_s", "id", "principal", "used_s")

    def __init__(self, key_id: str, principal: Principal, ends_s: float, digest: bytes = b"") -> None:
        self.id = key_id
        self.digest = digest
        self.principal = principal
        self.ends_s = ends_s
        self.used_s = 0.0


# stands in for whatever is not held, so that an unknown key takes the same steps as an expired one
_NOBODY = Held("", anonymous(frozenset()), -math.inf)


@dataclass(frozen=True, slots=True)
class _Ring:
    """What is held at one time; replaced as a whole. ``ends`` are the moments at which keys expire, in order."""

    by_digest: dict[bytes, Held]
    by_id: dict[str, Held]
    ends: list[float]
    number: int


class Keyring:
    """The principals behind API keys. Asked by the event loop; ``apply`` may be called on any thread, one at a time.

    ``refresh`` brings news from the database and is awaited before a well-formed key that is not held is refused: it
    may have been made a moment ago, by another process.
    """

    def __init__(
        self,
        pepper: Pepper,
        refresh: Callable[[], Awaitable[None]] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._digest = pepper.digest
        self._clock = clock
        self._ring = _Ring({}, {}, [], 0)
        self.refresh = refresh

    @property
    def generation(self) -> int:
        """Grows with every change of keys, and whenever one expires."""
        ring = self._ring
        ends = ring.ends
        if not ends:  # asked for every request: the clock, too, takes its time
            return ring.number
        now_s = self._clock()
        return ring.number if now_s < ends[0] else ring.number + bisect.bisect_right(ends, now_s)

    def known(self, credential: Credential) -> Principal | None:
        """The principal of a key that is held and neither expired nor revoked."""
        if credential.kind != "key":
            return None
        held = self._ring.by_digest.get(self._digest(credential.secret), _NOBODY)
        now_s = self._clock()
        if now_s >= held.ends_s:
            return None
        held.used_s = now_s
        return held.principal

    def holds(self, key_id: str) -> Held | None:
        """The key of this id, where it may be used now: what was made with it holds as long as it does itself."""
        held = self._ring.by_id.get(key_id)
        return None if held is None or self._clock() >= held.ends_s else held

    def at_hand(self, credential: Credential) -> bool:
        """Whether the database need not be looked at."""
        return self.known(credential) is not None

    async def identify(self, credential: Credential) -> Principal:
        """The principal, after a look at the database where memory does not know a key that could be one."""
        found = self.known(credential)
        if found is None and self.refresh is not None and credential.kind == "key" and id_of(credential.secret):
            await self.refresh()
            found = self.known(credential)
        if found is None:
            raise invalid_credential()
        return found

    def apply(self, records: Iterable[KeyRecord]) -> None:
        """Takes in keys that are new or have changed; ``generation`` grows even where there is none."""
        ring, now_s = self._ring, self._clock()
        # an expired key is soon as if it had never been: even to find it would take another time than to miss it
        held = {digest: key for digest, key in ring.by_digest.items() if key.ends_s > now_s}
        for record in records:
            before = held.pop(record.digest, None)
            ends_s = math.inf if record.expires_s is None else record.expires_s
            if record.revoked_s is not None or ends_s <= now_s:
                continue
            held[record.digest] = now = Held(record.id, record.principal, ends_s, record.digest)
            now.used_s = 0.0 if before is None else before.used_s
        ends = sorted(key.ends_s for key in held.values() if key.ends_s != math.inf)
        # beyond whatever the ring before could have counted up to
        by_id = {key.id: key for key in held.values()}
        self._ring = _Ring(held, by_id, ends, ring.number + len(ring.ends) + 1)

    def prune(self) -> None:
        """Lets go of keys that have expired. As ``apply``, on one thread at a time."""
        ends = self._ring.ends
        if ends and ends[0] <= self._clock():
            self.apply(())

    def used_since(self, moment_s: float) -> dict[str, float]:
        """When keys were last used, by id, for those used after ``moment_s``."""
        return {held.id: held.used_s for held in list(self._ring.by_digest.values()) if held.used_s > moment_s}

    def __len__(self) -> int:
        """How many keys are held; those that expired a moment ago may be among them."""
        return len(self._ring.by_digest)
