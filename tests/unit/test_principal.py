"""Principals, what they present, what they may do and how much: pure decisions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.core.access.credentials import MAX_CREDENTIAL_BYTES, Credential, presented
from foretell.core.access.decision import Action, Decision, decide
from foretell.core.access.principal import Principal, anonymous
from foretell.core.access.rates import MOST, PERIODS_S, UNITS, Rate
from foretell.core.access.scopes import SCOPES, Scope, unknown_scopes
from foretell.errors import Unauthenticated


def key(*scopes: Scope, models: frozenset[str] | None = None) -> Principal:
    return Principal("key:partner-x", "key", "partner-x", frozenset(scopes), models)


@pytest.mark.parametrize(
    ("actor", "action", "decision"),
    [
        (anonymous(frozenset()), Action("public"), Decision(True, "public")),
        (anonymous(frozenset()), Action("known"), Decision(False, "credential_missing")),
        (anonymous(frozenset({"predict"})), Action("known"), Decision(True, "known")),
        (key("metrics"), Action("known"), Decision(True, "known")),
        (key(), Action("known"), Decision(False, "scope_missing")),
        (anonymous(frozenset()), Action("predict", "iris"), Decision(False, "credential_missing")),
        (anonymous(frozenset({"predict"})), Action("predict", "iris"), Decision(True, "scope")),
        (key("predict"), Action("predict", "iris"), Decision(True, "scope")),
        (key("predict"), Action("models:write", "iris"), Decision(False, "scope_missing")),
        (key("predict"), Action("admin"), Decision(False, "scope_missing")),
        (key("admin"), Action("models:write", "iris"), Decision(True, "scope")),
        (key("predict", models=frozenset({"iris"})), Action("predict", "churn"), Decision(False, "model_not_allowed")),
        (key("predict", models=frozenset({"iris"})), Action("predict", "iris"), Decision(True, "scope")),
        (key("predict", models=frozenset()), Action("predict", "iris"), Decision(False, "model_not_allowed")),
        (key("admin", models=frozenset({"iris"})), Action("admin"), Decision(False, "scope_missing")),
        (key("admin", models=frozenset({"iris"})), Action("predict", "iris"), Decision(False, "scope_missing")),
        (key("admin", models=frozenset({"iris"})), Action("known"), Decision(False, "scope_missing")),
        (key("admin", "predict", models=frozenset({"iris"})), Action("predict", "iris"), Decision(True, "scope")),
        (key("predict", models=frozenset({"iris"})), Action("predict"), Decision(True, "scope")),
    ],
)
def test_a_decision_says_which_rule_made_it(actor: Principal, action: Action, decision: Decision) -> None:
    assert decide(actor, action) == decision


def test_the_admin_has_every_scope_and_nobody_else_has_what_was_not_granted() -> None:
    assert all(key("admin").has(scope) for scope in SCOPES)
    assert [scope for scope in SCOPES if key("jobs").has(scope)] == ["jobs"]
    assert unknown_scopes(["predict", "root", "Admin"]) == ["root", "Admin"]


@pytest.mark.parametrize(
    ("headers", "credential"),
    [
        ([], None),
        ([(b"host", b"x")], None),
        ([(b"authorization", b"Bearer ft_abc")], Credential("key", b"ft_abc")),
        ([(b"authorization", b"bearer  ft_abc ")], Credential("key", b"ft_abc")),
        ([(b"x-api-key", b"ft_abc")], Credential("key", b"ft_abc")),
        ([(b"x-api-key", b"ft_abc"), (b"authorization", b"Bearer ft_abc")], Credential("key", b"ft_abc")),
        ([(b"authorization", b"Bearer eyJ.eyJ.sig")], Credential("token", b"eyJ.eyJ.sig")),
    ],
)
def test_what_a_caller_presents_is_read_from_its_headers(
    headers: list[tuple[bytes, bytes]], credential: Credential | None
) -> None:
    assert presented(headers) == credential


@pytest.mark.parametrize(
    "headers",
    [
        [(b"authorization", b"Basic dXNlcjpwYXNz")],
        [(b"authorization", b"Bearer")],
        [(b"authorization", b"")],
        [(b"x-api-key", b" ")],
        [(b"x-api-key", b"ft_a"), (b"x-api-key", b"ft_b")],
        [(b"x-api-key", b"ft_a"), (b"authorization", b"Bearer ft_b")],
        [(b"authorization", b"Bearer " + b"x" * (MAX_CREDENTIAL_BYTES + 1))],
    ],
)
def test_what_cannot_be_one_credential_is_refused(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(Unauthenticated):
        presented(headers)


def test_a_credential_never_shows_its_secret() -> None:
    assert "ft_secret" not in f"{Credential('key', b'ft_secret')!r} {Credential('key', b'ft_secret')}"


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("100/m", Rate(100, 60)),
        ("1M/month", Rate(1_000_000, 2_592_000)),
        ("5k rows/h", Rate(5000, 3600, "rows")),
        (" 50 / s ", Rate(50, 1)),
        ("10 requests/day", Rate(10, 86_400)),
    ],
)
def test_a_rate_is_read_as_people_write_it(text: str, rate: Rate) -> None:
    assert Rate.parse(text) == rate


@pytest.mark.parametrize(
    "text", ["", "0/m", "-1/m", "100", "100/", "100/fortnight", "1.5/m", "5 apples/h", "1e9/s", "1000000G/s"]
)
def test_what_is_no_rate_says_what_is(text: str) -> None:
    with pytest.raises(ValueError, match="100/m"):
        Rate.parse(text)


@given(st.integers(1, MOST), st.sampled_from(sorted(PERIODS_S.values())), st.sampled_from(UNITS))
def test_a_rate_written_is_read_back(count: int, period_s: int, unit: str) -> None:
    rate = Rate(count, period_s, unit)  # type: ignore[arg-type]  # sampled from the units
    assert Rate.parse(str(rate)) == rate
