"""What the settings may say of issuers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from foretell.errors import SettingsError
from foretell.settings import Settings

ISSUER = {"issuer": "https://issuer.example", "audience": "us"}
SECRET = {"issuer": "shared", "audience": "us", "algorithms": "HS256", "secret": "s" * 32}


def loaded(folder: Path, *issuers: dict[str, Any], **environ: str) -> Settings:
    given = {"FORETELL_AUTH__ISSUERS": json.dumps(issuers)} if issuers else {}
    return Settings.load(environ=given | environ, directory=folder)


def test_issuers_are_tables_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "foretell.toml").write_text(
        '[[auth.issuers]]\nissuer = "https://a.example"\naudience = "us"\nscopes = { use = "predict" }\n'
        'required = { azp = ["x", "y"], ok = true }\nrates = "5/s"\n'
        f'[[auth.issuers]]\nissuer = "b"\naudience = ["us"]\nalgorithms = ["HS512"]\nsecret_file = "{tmp_path}/s"\n'
    )
    first, second = loaded(tmp_path).auth.issuers
    assert first.rules.scopes == {"use": frozenset({"predict"})}
    assert first.rules.required == {"azp": ("x", "y"), "ok": True}
    assert first.taken == {"RS256", "ES256", "EdDSA"} and not first.shared
    assert first.discovery_url == "https://a.example/.well-known/openid-configuration"
    assert second.taken == {"HS512"} and second.shared


def test_issuers_are_the_same_in_another_process(tmp_path: Path) -> None:
    settings = loaded(tmp_path, ISSUER | {"required": {"a": ["b"]}}, SECRET)
    again = Settings.model_validate_json(settings.model_dump_json())
    assert again.auth == settings.auth


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "no audience": ({"issuer": "https://a.example"}, "audience"),
    "empty audience": (ISSUER | {"audience": []}, "audience"),
    "none": (ISSUER | {"algorithms": ["none"]}, "algorithms"),
    "mixed": (SECRET | {"algorithms": ["HS256", "RS256"]}, "HS256, HS384 or HS512"),
    "a secret and RS256 by default": (SECRET | {"algorithms": []}, "HS256, HS384 or HS512"),
    "a secret and jwks_url": (SECRET | {"jwks_url": "https://a.example/jwks"}, "jwks_url"),
    "HS256 without a secret": (ISSUER | {"algorithms": ["HS256"]}, "secret"),
    "a short secret": (SECRET | {"secret": "s" * 31}, "32 bytes"),
    "a secret twice": (SECRET | {"secret_file": "/run/s"}, "leave out one"),
    "a file by half its path": (SECRET | {"secret": None, "secret_file": "s"}, "whole path"),
    "an address in clear": (ISSUER | {"issuer": "http://a.example"}, "https"),
    "keys in clear": (ISSUER | {"jwks_url": "http://a.example/jwks"}, "https"),
    "tokens in clear": (ISSUER | {"token_url": "http://a.example/token"}, "https"),
    "no address at all": (ISSUER | {"issuer": "billing"}, "jwks_url"),
    "an unknown scope": (ISSUER | {"grants": ["everything"]}, "grants"),
    "an unknown scope in the mapping": (ISSUER | {"scopes": {"a": ["b"]}}, "scopes.a"),
    "an admin of some models": (ISSUER | {"models_claim": "m", "grants": ["admin"]}, "leave out one"),
    "a mapping to an admin of some models": (ISSUER | {"models_claim": "m", "scopes": {"a": "admin"}}, "leave out one"),
    "a mapping that is none": (ISSUER | {"scopes": "predict"}, "scopes"),
    "no rate": (ISSUER | {"rates": ["often"]}, "rate"),
    "a claim that must be nothing": (ISSUER | {"required": {"a": ""}}, "value for every claim"),
    "an unknown key": (ISSUER | {"audiences": ["us"]}, "audiences"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_what_cannot_be_is_told_with_its_place_and_without_the_secret(tmp_path: Path, case: str) -> None:
    issuer, words = FAULTS[case]
    with pytest.raises(SettingsError) as refused:
        loaded(tmp_path, issuer)
    assert words in refused.value.detail and "FORETELL_AUTH__ISSUERS" in refused.value.detail
    assert "sss" not in refused.value.detail


def test_an_address_in_clear_may_be_allowed(tmp_path: Path) -> None:
    found = loaded(tmp_path, ISSUER | {"issuer": "http://a.example", "allow_http": True})
    assert found.auth.issuers[0].allow_http


@pytest.mark.parametrize("text", ["{", "7", '{"issuer": 1}', "x" * 99])
def test_a_variable_that_is_no_list_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError) as refused:
        loaded(tmp_path, FORETELL_AUTH__ISSUERS=text)
    assert "xxx" not in refused.value.detail


def test_an_issuer_is_named_once_and_is_not_the_server(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="once"):
        loaded(tmp_path, ISSUER, ISSUER)
    with pytest.raises(SettingsError, match="token_issuer"):
        loaded(tmp_path, ISSUER, FORETELL_AUTH__TOKEN_ISSUER="https://issuer.example")


def test_the_server_has_a_name_of_its_own(tmp_path: Path) -> None:
    assert loaded(tmp_path).auth.issuer == "urn:foretell"
    named = loaded(tmp_path, FORETELL_AUTH__TOKEN_ISSUER="https://models.example.com")
    assert named.auth.issuer == "https://models.example.com"
    with pytest.raises(SettingsError, match="URL"):
        loaded(tmp_path, FORETELL_AUTH__TOKEN_ISSUER="models.example.com")
