"""Keeps a keyring true to the database: looks for changes several times a second, on a thread of its own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import structlog

from foretell.errors import StateError
from foretell.security.keys.keyring import Keyring
from foretell.security.keys.store import KeyStore

POLL_S = 0.5
"""How often it looks; a revocation has two seconds to reach every worker."""
USED_S = 60.0
"""How often it writes down when keys were last used."""
ASK_S = 0.05
"""How often unknown keys may make it look at once."""

_log = structlog.get_logger("foretell.keys")


class Following:
    """A keyring that follows its store. While the database is away the keys that are known go on being known."""

    def __init__(self, store: KeyStore, poll_s: float = POLL_S, used_s: float = USED_S) -> None:
        self._store = store
        self._poll_s = poll_s
        self._used_s = used_s
        self._revision = 0
        self._closed = False
        self._one_at_a_time = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._away = False
        self._written_s = 0.0
        self._coming: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._asked_s = -ASK_S
        self.keyring = Keyring(store.pepper, self.refresh)

    @property
    def closed(self) -> bool:
        """Whether everybody has to show who they are, because a key was ever made or authentication was ever set."""
        return self._closed

    def start(self) -> None:
        """Reads every key, then looks for changes until ``stop``. Raises StateError where they cannot be read."""
        self.look()
        self._written_s = time.time()
        self._thread = threading.Thread(target=self._run, name="foretell-keys", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stops looking, and writes down what was used last."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
            self._quietly(self._write_used)

    def look(self) -> None:
        """Takes in what has changed. Raises StateError."""
        with self._one_at_a_time:
            self.keyring.prune()
            standing = self._store.standing()
            if standing.revision == self._revision:
                return
            # ahead of the keyring, whose generation tells everybody to ask again
            self._closed = standing.closed
            self.keyring.apply(self._store.changed_since(self._revision))
            self._revision = standing.revision

    async def refresh(self) -> None:
        """Returns when everything that was written before the call is known, or the database is away.

        Callers share looks, and those begin at most every ``ASK_S``: a flood of unknown keys costs no more than that.
        """
        if self._coming is None or self._coming.done():
            self._coming = asyncio.create_task(self._next_look())
        await asyncio.shield(self._coming)

    def catch_up(self) -> None:
        """Takes in what has changed, as far as the database can be reached."""
        self._quietly(self.look)

    async def _next_look(self) -> None:
        async with self._turn:  # a database that is slow to fail must not take a thread for each look
            wait_s = self._asked_s + ASK_S - time.monotonic()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            self._asked_s = time.monotonic()
            # who comes from here on needs a look that begins later
            self._coming = None
            await asyncio.to_thread(self.catch_up)

    def _run(self) -> None:
        while not self._stop.wait(self._poll_s):
            self.catch_up()
            if time.time() - self._written_s >= self._used_s:
                self._quietly(self._write_used)

    def _write_used(self) -> None:
        now_s = time.time()
        self._store.note_used(self.keyring.used_since(self._written_s))
        self._written_s = now_s

    def _quietly(self, step: Callable[[], None]) -> None:
        """Runs a step. That the database went away, and that it came back, is said once each."""
        try:
            step()
        except StateError as error:
            if not self._away:
                _log.error("keys_not_read", detail=error.detail, hint=error.hint)
            self._away = True
        else:
            if self._away:
                _log.info("keys_read_again")
            self._away = False
