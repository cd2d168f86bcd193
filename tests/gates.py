"""Gates for tests: open to all, or with a few principals by their keys."""

from __future__ import annotations

import time
from collections.abc import Mapping

from foretell.core.access.credentials import Credential, invalid_credential
from foretell.core.access.principal import Principal
from foretell.security.base import Limiter
from foretell.security.gate import Gate
from foretell.security.openness import Mode, stranger
from foretell.security.unlimited import Unlimited


class Keys:
    """Identities by their keys; change ``principals`` and call ``changed``. What is ``late`` is known after a wait."""

    def __init__(self, principals: Mapping[str, Principal], late: Mapping[str, Principal] | None = None) -> None:
        self.principals = dict(principals)
        self.late = dict(late or {})
        self.asked: list[bytes] = []
        self.near: set[bytes] = set()
        self._generation = 0

    @property
    def generation(self) -> int:
        return self._generation

    def changed(self) -> None:
        self._generation += 1

    def known(self, credential: Credential) -> Principal | None:
        return self.principals.get(credential.secret.decode("latin-1"))

    def at_hand(self, credential: Credential) -> bool:
        return credential.secret in self.near

    async def identify(self, credential: Credential) -> Principal:
        self.asked.append(credential.secret)
        found = self.late.get(credential.secret.decode("latin-1"))
        if found is None:
            raise invalid_credential()
        return found


def gate(keys: Keys | None = None, *, mode: Mode = "on", limiter: Limiter | None = None, closed: bool = False) -> Gate:
    """A gate that knows these keys, presented as keys or as tokens."""
    identities = {} if keys is None else {"key": keys, "token": keys, "certificate": keys}
    return Gate(
        identities,
        limiter or Unlimited(),
        lambda loopback: stranger(mode, loopback=loopback, closed=closed),
        time.time,
    )


def open_gate() -> Gate:
    """Lets everybody in, but to what changes state."""
    return gate(mode="off")
