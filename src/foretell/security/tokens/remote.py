"""The keys of an outside issuer: fetched, kept, and asked for anew no oftener than may be."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog

from foretell.core.access.address import may_ask
from foretell.core.access.token import read_json
from foretell.errors import Unavailable
from foretell.security.tokens.fetching import FetchFault
from foretell.security.tokens.signatures import VerifyingKey, read_keys

FRESH_S = 600.0
STALE_S = 86_400.0
APART_S = 60.0

Fetch = Callable[[str], Awaitable[bytes]]
_log = structlog.get_logger("foretell.tokens")


class RemoteKeys:
    """The keys of one issuer.

    They are fetched again every ten minutes, off the way of requests; while the issuer is away those that are known
    serve for a day. A key id that is unknown makes them be fetched at once. Each of the two happens once in 60 s at
    most, and all who wait share one fetch. ``gone`` is told of keys that the issuer has taken back.
    """

    def __init__(
        self,
        issuer: str,
        *,
        jwks_url: str | None,
        discovery_url: str,
        fetch: Fetch,
        allow_http: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuer = issuer
        self._jwks_url = jwks_url
        self._discovery_url = discovery_url
        self._discovered: str | None = None
        self._fetch = fetch
        self._allow_http = allow_http
        self._clock = clock
        self._keys: tuple[VerifyingKey, ...] = ()
        self._fetched_s = -math.inf
        self._tried_s = {"due": -math.inf, "unknown": -math.inf}
        self._fetching: asyncio.Task[None] | None = None
        self._away = False
        self.gone: Callable[[Sequence[VerifyingKey]], None] = lambda _: None

    def start(self) -> None:
        """Begins to fetch the keys, so that the first token need not wait. On the event loop."""
        self._begin("due")

    async def close(self) -> None:
        """Ends a fetch that runs."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)

    async def find(self, algorithm: str, kid: str | None) -> tuple[VerifyingKey, float] | None:
        """The key, and for how many seconds it may be relied on; None where the issuer has no such key.

        Raises Unavailable where the issuer is away, and was for a day.
        """
        age_s = self._clock() - self._fetched_s
        if age_s >= FRESH_S:
            begun = self._begin("due")
            if age_s >= STALE_S:
                await self._arrived(begun)
                self._demand()
        key = self._pick(algorithm, kid)
        if key is None and self._may_come(kid):
            await self._arrived(self._begin("unknown"))
            key = self._pick(algorithm, kid)
        return None if key is None else (key, STALE_S - (self._clock() - self._fetched_s))

    def holds(self, algorithm: str, kid: str | None) -> bool:
        """Whether ``find`` would give a key without waiting for a fetch."""
        return self._clock() - self._fetched_s < STALE_S and self._pick(algorithm, kid) is not None

    def _may_come(self, kid: str | None) -> bool:
        """Whether a fetch may bring the key. One without an id is chosen among those there are."""
        return kid is not None or not self._keys

    def _pick(self, algorithm: str, kid: str | None) -> VerifyingKey | None:
        fitting = [key for key in self._keys if algorithm in key.fits and (kid is None or key.kid == kid)]
        # several of one id, or several where none is named: nobody can say which one is meant
        return fitting[0] if len(fitting) == 1 else None

    def _demand(self) -> None:
        if self._clock() - self._fetched_s >= STALE_S:
            self._keys = ()
            wait_s = self._tried_s["due"] + APART_S - self._clock()
            raise Unavailable(
                "Tokens of this issuer cannot be checked now: its keys cannot be fetched.",
                code="issuer_unavailable",
                retry_after_s=max(1, math.ceil(wait_s)),
            )

    def _begin(self, why: str) -> asyncio.Task[None] | None:
        """The fetch that runs; else a new one, where the last one for this reason is long enough ago."""
        if self._fetching is not None and not self._fetching.done():
            return self._fetching
        now_s = self._clock()
        if now_s - self._tried_s[why] < APART_S:
            return None
        self._tried_s[why] = now_s
        self._fetching = asyncio.get_running_loop().create_task(self._refresh())
        return self._fetching

    @staticmethod
    async def _arrived(fetching: asyncio.Task[None] | None) -> None:
        if fetching is not None:
            # whoever waits may leave; the others still want the keys
            await asyncio.shield(fetching)

    async def _refresh(self) -> None:
        try:
            keys = read_keys(await self._fetch(await self._location()))
        except (FetchFault, ValueError) as error:
            self._discovered = None
            if not self._away:
                _log.warning("issuer_away", issuer=self._issuer, reason=str(error), known_keys=len(self._keys))
            self._away = True
            return
        if self._away:
            _log.info("issuer_back", issuer=self._issuer)
        self._away = False
        self._take(keys)

    def _take(self, keys: list[VerifyingKey]) -> None:
        # the same key stays the same object, by which tokens that it signed are known
        known = {(key.kid, key.fits, key.material): key for key in self._keys}
        kept = tuple(known.get((key.kid, key.fits, key.material), key) for key in keys)
        gone = [key for key in self._keys if key not in kept]
        self._keys, self._fetched_s = kept, self._clock()
        if gone:
            self.gone(gone)

    async def _location(self) -> str:
        if self._jwks_url is not None:
            return self._jwks_url
        if self._discovered is None:
            self._discovered = self._read_discovery(await self._fetch(self._discovery_url))
        return self._discovered

    def _read_discovery(self, body: bytes) -> str:
        document = read_json(body)
        if not isinstance(document, dict) or document.get("issuer") != self._issuer:
            raise ValueError("its configuration is not this issuer's: its name must be the same to the letter")
        url = document.get("jwks_uri")
        if not isinstance(url, str) or not may_ask(url, allow_http=self._allow_http):
            raise ValueError("its configuration names no place of keys that may be asked")
        return url
