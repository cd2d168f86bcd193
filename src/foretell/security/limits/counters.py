"""The port of what counts for several processes: asked for a portion, it grants one or says what stands against it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from foretell.security.limits.buckets import Bucket


class Amount(NamedTuple):
    """So much of each unit, in the order of ``UNITS``."""

    requests: int = 0
    rows: int = 0


class Mark(NamedTuple):
    """Where and when a portion was counted, so that what is left of it can be taken off again there.

    ``here_s``: when it was counted on this host, too, by this host's time.
    """

    place: str
    at_s: float
    here_s: float = 0.0


class Granted(NamedTuple):
    """Counted already, and free to be spent for ``Counters.held_s`` seconds."""

    amount: Amount
    mark: Mark


class Refused(NamedTuple):
    """Nothing was counted. ``remaining`` is left in the bucket; as things stand there is enough in ``wait_s``."""

    bucket: Bucket
    remaining: int
    wait_s: float


def longer(one: Refused | None, other: Refused) -> Refused:
    """Of two refusals the one that lasts longer: it is what a caller has to wait for."""
    return other if one is None or other.wait_s > one.wait_s else one


class Counters(Protocol):
    """Counts portions in all of some buckets or in none. Whatever becomes of its store, it is never open.

    ``held_s`` is how long a portion may be held: it counts from when it was taken until a period after it could last
    be spent, so that no ``period_s`` seconds ever see more than ``count`` spent.
    """

    held_s: float

    def take(self, buckets: Sequence[Bucket], need: Amount, want: Amount) -> Granted | Refused | None:
        """At least ``need``, and up to ``want`` where there is plenty. None: this takes a wait; see ``ask``."""
        ...

    async def ask(self, buckets: Sequence[Bucket], need: Amount, want: Amount) -> Granted | Refused:
        """As ``take``, waiting where that is needed, but not for long."""
        ...

    def give(self, buckets: Sequence[Bucket], amount: Amount, mark: Mark) -> None:
        """Takes off again what was not spent."""
        ...
