"""Opens what the settings say of tokens: outside issuers, and the server as an issuer itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from foretell.errors import SettingsError
from foretell.security.keys.opening import Keys
from foretell.security.tokens.base import Issuer
from foretell.security.tokens.fetching import fetch
from foretell.security.tokens.identities import TokenIdentities
from foretell.security.tokens.outside import OutsideIssuer
from foretell.security.tokens.own import OwnIssuer
from foretell.security.tokens.remote import Fetch, RemoteKeys
from foretell.security.tokens.signatures import VerifyingKey, secret_key
from foretell.settings_guard import Auth
from foretell.settings_issuers import SECRET_BYTES
from foretell.settings_issuers import Issuer as Said

MAX_SECRET_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Tokens:
    """``identities`` knows their bearers; None where no tokens are taken. ``own`` is None where none are made here."""

    identities: TokenIdentities | None
    own: OwnIssuer | None


@asynccontextmanager
async def serve_tokens(auth: Auth, keys: Keys, fetch_from: Fetch = fetch) -> AsyncIterator[Tokens]:
    """The tokens that are taken while the block lasts. Raises SettingsError where a secret's file cannot be used."""
    own = OwnIssuer(auth.issuer, keys.keyring, keys.store.pepper.digest) if auth.token_lifetime_s else None
    issuers: list[Issuer] = [] if own is None else [own]
    remote = []
    for said in auth.issuers:
        found = _shared(said) if said.shared else _remote(said, fetch_from)
        if isinstance(found, RemoteKeys):
            remote.append(found)
        issuers.append(OutsideIssuer(said.rules, said.taken, found))
    identities = TokenIdentities(issuers) if issuers else None
    for each in remote:
        if identities is not None:
            each.gone = identities.forget
        each.start()
    try:
        yield Tokens(identities, own)
    finally:
        await asyncio.gather(*(each.close() for each in remote))


def _remote(said: Said, fetch_from: Fetch) -> RemoteKeys:
    return RemoteKeys(
        said.issuer,
        jwks_url=said.jwks_url,
        discovery_url=said.discovery_url,
        fetch=fetch_from,
        allow_http=said.allow_http,
    )


def _shared(said: Said) -> VerifyingKey:
    try:
        return secret_key(_secret(said))
    except ValueError as error:
        raise SettingsError(f"The secret of the issuer {said.issuer} cannot be used: {error}.") from error


def _secret(said: Said) -> bytes:
    if said.secret is not None:
        return said.secret.encode()
    if said.secret_file is None:
        raise AssertionError("an issuer with a secret has one of the two")
    try:
        with said.secret_file.open("rb") as file:
            secret = file.read(MAX_SECRET_BYTES + 2).rstrip(b"\r\n")
    except OSError as error:
        raise SettingsError(
            f"The secret of the issuer {said.issuer} cannot be read from {said.secret_file}: {error.strerror}.",
            hint="auth.issuers.secret_file must name a file that this user can read",
        ) from error
    if not SECRET_BYTES <= len(secret) <= MAX_SECRET_BYTES:
        raise SettingsError(
            f"The secret of the issuer {said.issuer} in {said.secret_file} has {len(secret)} bytes.",
            hint=f"it must have {SECRET_BYTES} to {MAX_SECRET_BYTES}",
        )
    return secret
