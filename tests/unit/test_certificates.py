"""Callers by their certificates: which name counts, and what a name may do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from foretell.core.access.credentials import Credential
from foretell.core.access.grants import Grants
from foretell.errors import Unauthenticated
from foretell.security.certificates import CertificateIdentities, client_name
from tests.certificates import Issuer


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer.make()


@pytest.mark.parametrize(
    ("made", "name"),
    [
        ({"common": "shop"}, "shop"),
        ({"common": "shop", "dns": ["Shop.Example.com", "other"]}, "shop.example.com"),
        ({"common": "shop", "dns": ["shop"], "uris": ["spiffe://x/Shop", "spiffe://x/y"]}, "spiffe://x/Shop"),
        ({"common": "shop", "mails": ["Me@Example.com"]}, "me@example.com"),
        ({"common": "shop", "mails": ["me@example.com"], "dns": ["d"]}, "d"),
        ({"common": "shop", "ips": ["10.0.0.1"]}, "shop"),
        ({"common": None}, None),
        ({"common": ("one", "two")}, None),
        ({"common": "a\nb"}, None),
        ({"common": "a\x1b[2Jb"}, None),
        ({"common": "\u202eevil"}, None),
        ({"common": "shop", "dns": [""]}, None),
        ({"common": "shop", "uris": ["u:" + "x" * 300]}, None),
        ({"common": "Ünïcode Name"}, "ünïcode name"),
    ],
)
def test_one_name_counts_and_what_cannot_be_one_is_none(issuer: Issuer, made: dict[str, Any], name: str | None) -> None:
    assert client_name(issuer.client(**made).der) == name


def test_what_is_no_certificate_has_no_name() -> None:
    assert client_name(b"0\x03\x02\x01\x00") is None


def test_a_principal_is_its_name_and_a_tenant_of_its_own() -> None:
    identities = CertificateIdentities(Grants.parse(["predict", "ops=admin", "gone="]))
    shop = identities.known(Credential("certificate", b"shop"))
    assert shop is not None
    assert (shop.id, shop.kind, shop.tenant) == ("certificate:shop", "certificate", "certificate:shop")
    assert shop.scopes == {"predict"}
    ops, gone = (asyncio.run(identities.identify(Credential("certificate", name))) for name in (b"ops", b"gone"))
    assert ops.has("admin")
    assert not gone.scopes
    assert identities.generation == 0
    assert identities.at_hand(Credential("certificate", b"shop"))


@pytest.mark.parametrize("kind", ["key", "token"])
def test_a_credential_of_another_kind_is_nobody(kind: Any) -> None:
    identities = CertificateIdentities(Grants.parse(["predict"]))
    assert identities.known(Credential(kind, b"shop")) is None
    with pytest.raises(Unauthenticated):
        asyncio.run(identities.identify(Credential(kind, b"shop")))


def test_grants_for_one_name_stand_in_place_of_everybodys() -> None:
    grants = Grants.parse(["predict", "models:read+jobs", "a=b.example=admin", " c = jobs "])
    assert grants.of("anybody") == {"predict", "models:read", "jobs"}
    assert grants.of("a=b.example") == {"admin"}
    assert grants.of("c") == {"jobs"}


def test_a_name_is_the_same_in_any_case_unless_it_is_a_uri() -> None:
    grants = Grants.parse(["predict", "Old.Example.com=", "spiffe://x/Ops=admin"])
    assert not grants.of("old.example.com")
    assert not grants.of("OLD.example.com")
    assert grants.of("spiffe://x/Ops") == {"admin"}
    assert grants.of("spiffe://x/ops") == {"predict"}


@pytest.mark.parametrize(
    ("entry", "said"), [("predcit", "'predcit' is no scope"), ("a=root", "'root' is no scope"), ("=admin", "no name")]
)
def test_grants_that_cannot_be_are_told(entry: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Grants.parse([entry])
    with pytest.raises(ValueError, match="twice"):
        Grants.parse(["a=predict", "A=jobs"])
