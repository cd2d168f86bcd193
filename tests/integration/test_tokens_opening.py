"""What the settings say of tokens, opened."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import OctKey

from foretell.core.access.credentials import Credential
from foretell.core.access.token import unpadded
from foretell.errors import SettingsError
from foretell.security.keys.opening import serve_keys
from foretell.security.tokens.opening import serve_tokens
from foretell.settings_guard import Auth
from tests.issuer import AUDIENCE, Issuer, issuing, make_key, signed

SHARED = {"issuer": "shared", "audience": AUDIENCE, "algorithms": ["HS256"]}


def bearer_of(folder: Path, token: str, **auth: Any) -> str | None:
    async def asked() -> str | None:
        async with serve_tokens(Auth.model_validate(auth), keys) as tokens:
            if tokens.identities is None:
                return None
            return (await tokens.identities.identify(Credential("token", token.encode()))).id

    with serve_keys(folder / "state") as keys:
        return asyncio.run(asked())


def shared_token(secret: bytes) -> str:
    key = OctKey.import_key({"kty": "oct", "k": unpadded(secret).decode()})
    return signed(Issuer("shared").claims(), key, {"alg": "HS256"})


def test_a_token_of_a_real_issuer_is_taken(tmp_path: Path) -> None:
    with issuing("ES256") as issuer:
        listed = [{"issuer": issuer.url, "audience": AUDIENCE}]
        assert bearer_of(tmp_path, issuer.token(), issuers=listed) == f"token:{issuer.url}|robot"


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"s" * 32 + b"\n")
    listed = [SHARED | {"secret_file": str(tmp_path / "secret")}]
    assert bearer_of(tmp_path, shared_token(b"s" * 32), issuers=listed) == "token:shared|robot"


@pytest.mark.parametrize("content", [None, b"", b"s" * 31, b"s" * 1025])
def test_a_file_without_a_secret_stops_the_start(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    with pytest.raises(SettingsError, match="shared"):
        bearer_of(tmp_path, "", issuers=[SHARED | {"secret_file": str(tmp_path / "secret")}])


def test_a_public_key_is_no_secret(tmp_path: Path) -> None:
    pem = make_key("RS256").as_pem(private=False).decode()  # type: ignore[union-attr]
    with pytest.raises(SettingsError, match="cannot be used"):
        bearer_of(tmp_path, "", issuers=[SHARED | {"secret": pem}])


def test_a_server_without_issuers_may_take_no_tokens_at_all(tmp_path: Path) -> None:
    assert bearer_of(tmp_path, "a.b.c", token_lifetime_s=0) is None


def test_an_issuer_that_does_not_answer_keeps_no_stop_waiting(tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def never(_: str) -> bytes:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError("it was waited for")

    async def opened() -> None:
        auth = Auth.model_validate({"issuers": [{"issuer": "https://issuer.example", "audience": "us"}]})
        async with serve_tokens(auth, keys, never):
            await asked.wait()

    with serve_keys(tmp_path / "state") as keys:
        asyncio.run(asyncio.wait_for(opened(), 30))
