"""What a token's claims must say, and whom they mean."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foretell.core.access.claims import Rules, principal_of
from foretell.core.access.principal import Principal
from foretell.core.access.rates import Rate
from foretell.core.access.token import TokenFault

NOW = 1_800_000_000.0
ISSUER = "https://issuer.example"
RULES = Rules(ISSUER, frozenset({"us", "us too"}), scope_claim="scope")
GOOD: dict[str, Any] = {"iss": ISSUER, "aud": "us", "sub": "robot", "iat": NOW, "exp": NOW + 600, "scope": "predict"}


def bearer(rules: Rules = RULES, **claims: Any) -> Principal:
    given = {name: value for name, value in (GOOD | claims).items() if value is not None}
    return principal_of(given, rules, NOW)


def rules(**more: Any) -> Rules:
    return Rules(ISSUER, frozenset({"us"}), **more)


def test_the_bearer_is_the_subject_of_that_issuer_and_a_tenant_of_its_own() -> None:
    found = bearer()
    assert (found.id, found.kind, found.tenant) == (
        "token:https://issuer.example|robot",
        "token",
        "https://issuer.example|robot",
    )
    assert found.scopes == {"predict"} and found.models is None
    assert found.expires_s == NOW + 600 + 30


@pytest.mark.parametrize("aud", ["us", ["others", "us"], ["us too"]])
def test_one_audience_of_several_is_enough(aud: Any) -> None:
    assert bearer(aud=aud).has("predict")


FAULTS: dict[str, dict[str, Any]] = {
    "no exp": {"exp": None},
    "exp as text": {"exp": "1900000000"},
    "exp in digits of another script": {"exp": "１９００００００００"},
    "exp true": {"exp": True},
    "exp negative": {"exp": -1},
    "exp over": {"exp": NOW - 31},
    "exp beyond all time": {"exp": 10.0**300},
    "exp a list": {"exp": [NOW + 60]},
    "no iat": {"iat": None},
    "iat in the future": {"iat": NOW + 31, "exp": NOW + 60},
    "iat a day ago": {"iat": NOW - 86_431, "exp": NOW + 60},
    "nbf in the future": {"nbf": NOW + 31},
    "nbf as text": {"nbf": "0"},
    "no sub": {"sub": None},
    "sub empty": {"sub": ""},
    "sub a number": {"sub": 7},
    "sub with a line end": {"sub": "a\nb"},
    "sub too long": {"sub": "x" * 256},
    "no aud": {"aud": None},
    "aud others": {"aud": "them"},
    "aud no text": {"aud": {"us": "us"}},
    "aud too many": {"aud": ["them"] * 1001 + ["us"]},
    "aud part of it": {"aud": "us them"},
    "iss another": {"iss": f"{ISSUER}/"},
}


@pytest.mark.parametrize("case", FAULTS)
def test_claims_that_may_not_be_taken_are_refused(case: str) -> None:
    with pytest.raises(TokenFault):
        bearer(**FAULTS[case])


@pytest.mark.parametrize("claims", [{"exp": NOW - 29}, {"iat": NOW + 29}, {"nbf": NOW + 29}, {"iat": NOW - 86_400}])
def test_clocks_may_differ_by_the_leeway(claims: dict[str, Any]) -> None:
    assert bearer(**claims).has("predict")


def test_a_token_is_over_a_day_after_it_was_issued_whatever_it_says() -> None:
    assert bearer(iat=NOW - 3600, exp=NOW + 10**8).expires_s == NOW - 3600 + 86_400 + 30


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("predict models:read", {"predict", "models:read"}),
        (["predict", 7, "jobs"], {"predict", "jobs"}),
        ("", set()),
        (None, set()),
        ("openid profile", set()),
        ("admin", set()),
    ],
)
def test_scopes_of_our_own_names_count_but_admin(given: Any, expected: set[str]) -> None:
    assert bearer(scope=given).scopes == expected


def test_a_mapping_gives_what_it_says_and_nothing_else() -> None:
    mapped = rules(
        scope_claim="realm_access.roles",
        scopes={"ops": frozenset({"admin"}), "app": frozenset({"predict", "jobs"})},
        grants=frozenset({"models:read"}),
    )
    assert bearer(mapped, realm_access={"roles": ["app", "predict"]}).scopes == {"predict", "jobs", "models:read"}
    assert bearer(mapped, realm_access={"roles": ["ops"]}).has("metrics")
    assert bearer(mapped, realm_access="app").scopes == {"models:read"}


def test_a_claim_whose_name_has_dots_is_found_by_its_name() -> None:
    named = rules(tenant_claim="https://acme.example/tenant")
    assert bearer(named, **{"https://acme.example/tenant": "acme"}).tenant == "acme"


@pytest.mark.parametrize("tenant", [None, "", 7, ["acme"], "a b", "x" * 129])
def test_a_tenant_that_is_asked_for_must_be_there(tenant: Any) -> None:
    with pytest.raises(TokenFault):
        bearer(rules(tenant_claim="org"), org=tenant)


def test_models_are_those_of_the_claim_and_none_without_it() -> None:
    named = rules(models_claim="models")
    assert bearer(named, models=["iris", "no model!", 3]).models == frozenset({"iris"})
    assert bearer(named, models="iris churn").models == frozenset({"iris", "churn"})
    assert bearer(named).models == frozenset()


def test_whoever_may_use_some_models_alone_is_no_admin() -> None:
    named = rules(models_claim="models", scopes={"ops": frozenset({"admin", "predict"})})
    for models in (["iris"], None):
        assert bearer(named, models=models, scope="ops").scopes == {"predict"}
    assert bearer(rules(scopes=named.scopes), scope="ops").has("admin")


def test_further_claims_must_have_their_values() -> None:
    wanted = rules(required={"azp": ("a", "b"), "verified": True, "groups": "ml", "level": 2})
    good = {"azp": "b", "verified": True, "groups": ["x", "ml"], "level": 2}
    assert bearer(wanted, **good)
    faults: tuple[dict[str, Any], ...] = (
        {"azp": "c"},
        {"verified": 1},
        {"verified": "true"},
        {"groups": []},
        {"level": True},
        {"azp": None},
    )
    for wrong in faults:
        with pytest.raises(TokenFault):
            bearer(wanted, **(good | wrong))


def test_rates_of_the_issuer_are_each_subjects() -> None:
    assert bearer(rules(rates=(Rate.parse("5/s"),))).rates == (Rate(5, 1),)


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
JSON = PLAIN | st.lists(PLAIN, max_size=3) | st.dictionaries(st.text(max_size=5), PLAIN, max_size=2)
NAMES = ["iss", "aud", "sub", "iat", "exp", "nbf", "scope", "org", "models"]


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), JSON, max_size=3))
def test_whatever_the_claims_are_there_is_a_bearer_or_a_refusal(claims: dict[str, Any]) -> None:
    asked = rules(tenant_claim="org", models_claim="models")
    try:
        found = principal_of(GOOD | {"org": "acme"} | claims, asked, NOW)
    except TokenFault:
        return
    assert found.expires_s is not None and NOW < found.expires_s <= NOW + 86_400 + 60
    assert "admin" not in found.scopes
