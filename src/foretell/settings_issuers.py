"""The outside issuers of tokens, as the settings name them."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from foretell.core.access.address import may_ask
from foretell.core.access.claims import LEEWAY_S, MAX_AGE_S, Rules
from foretell.core.access.rates import Rate
from foretell.core.access.scopes import Scope
from foretell.settings_groups import Group

Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "HS256", "HS384", "HS512"
]
DEFAULT_ALGORITHMS: tuple[Algorithm, ...] = ("RS256", "ES256", "EdDSA")
SECRET_BYTES = 32


class Issuer(Group):
    """One issuer whose tokens are taken: a table in ``[[auth.issuers]]``."""

    issuer: str = Field(min_length=1, max_length=512, description="The `iss` of its tokens, to the letter.")
    audience: tuple[str, ...] = Field(
        min_length=1, max_length=32, description="What this server is called there: a token's `aud` must hold one."
    )
    jwks_url: str | None = Field(
        default=None,
        description="Where its keys are; without it they are found by `{issuer}/.well-known/openid-configuration`.",
    )
    algorithms: tuple[Algorithm, ...] = Field(
        default=(), max_length=16, description="What its tokens are signed with. Default: `RS256`, `ES256`, `EdDSA`."
    )
    secret: str | None = Field(
        default=None,
        max_length=1024,
        repr=False,
        description="In place of keys: the secret of 32 bytes or more that `HS256`, `HS384` or `HS512` is made with.",
    )
    secret_file: Path | None = Field(default=None, description="The file that holds `secret`, by its whole path.")
    leeway_s: float = Field(default=LEEWAY_S, ge=0, le=300, description="Seconds by which clocks may differ.")
    max_age_s: float = Field(
        default=MAX_AGE_S, gt=0, le=7 * 86_400, description="Seconds after `iat` that a token is taken at most."
    )
    scope_claim: str = Field(
        default="scope",
        min_length=1,
        max_length=256,
        description="The claim with the scopes: text with spaces, or a list; a path such as `realm_access.roles`.",
    )
    scopes: dict[str, tuple[Scope, ...]] | None = Field(
        default=None,
        description="What each of its scopes gives here. Without it scopes of our own names count, but not `admin`.",
    )
    grants: tuple[Scope, ...] = Field(default=(), description="Scopes that every one of its tokens has.")
    tenant_claim: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="The claim with the tenant. Without it every subject is a tenant of its own.",
    )
    models_claim: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="The claim with the models that may be used; a token without it may use none. Without this: all. "
        "Not together with scopes that give `admin`, which reaches all models.",
    )
    required: dict[str, str | int | bool | tuple[str, ...]] = Field(
        default_factory=dict, description="Further claims with the value, or one of the values, that each must have."
    )
    rates: tuple[str, ...] = Field(
        default=(), max_length=16, description="What each subject may use up, such as `100/m` or `5k rows/h`."
    )
    token_url: str | None = Field(
        default=None, description="Where its tokens are got, for the Authorize button of the docs page."
    )
    allow_http: bool = Field(
        default=False, description="Whether its addresses may be `http://` beyond this machine. Nobody should."
    )

    @field_validator("audience", "grants", "rates", "algorithms", mode="before")
    @classmethod
    def _one_or_several(cls, given: Any) -> Any:
        return (given,) if isinstance(given, str) else given

    @field_validator("scopes", mode="before")
    @classmethod
    def _scopes(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {name: (scopes,) if isinstance(scopes, str) else scopes for name, scopes in given.items()}

    @field_validator("rates")
    @classmethod
    def _rates(cls, rates: tuple[str, ...]) -> tuple[str, ...]:
        for rate in rates:
            Rate.parse(rate)
        return rates

    @field_validator("required")
    @classmethod
    def _required(cls, required: dict[str, Any]) -> dict[str, Any]:
        if any(value in ((), "") for value in required.values()):
            raise ValueError("must name a value for every claim")
        return required

    @model_validator(mode="after")
    def _agreement(self) -> Self:
        symmetric = [name for name in self.algorithms if name.startswith("HS")]
        if self.secret is not None and self.secret_file is not None:
            raise ValueError("has secret and secret_file: leave out one of them")
        if self.secret_file is not None and not self.secret_file.is_absolute():
            raise ValueError("must name secret_file by its whole path, which begins with /")
        if self.shared and (len(symmetric) != len(self.algorithms) or not symmetric or self.jwks_url is not None):
            raise ValueError("has a secret: algorithms must be HS256, HS384 or HS512 then, and jwks_url left out")
        if symmetric and not self.shared:
            raise ValueError(f"needs a secret for {symmetric[0]}, and then nothing but HS algorithms")
        if self.secret is not None and len(self.secret.encode()) < SECRET_BYTES:
            raise ValueError(f"must have a secret of {SECRET_BYTES} bytes or more")
        if not self.shared and self.jwks_url is None and not self.issuer.startswith(("https://", "http://")):
            raise ValueError("needs jwks_url, for an issuer that is no URL cannot be asked for its keys")
        if self.models_claim is not None and "admin" in {
            *self.grants,
            *chain.from_iterable((self.scopes or {}).values()),
        }:
            raise ValueError("gives admin, which reaches all models, besides models_claim: leave out one of them")
        for url in (self.jwks_url, self.token_url, None if self.shared or self.jwks_url else self.issuer):
            if url is not None and not may_ask(url, allow_http=self.allow_http):
                raise ValueError("must be asked over https://, or by http:// on this machine; allow_http lifts that")
        return self

    @property
    def shared(self) -> bool:
        """Whether its tokens are made with a secret that the server has, too."""
        return self.secret is not None or self.secret_file is not None

    @property
    def taken(self) -> frozenset[str]:
        """The algorithms its tokens may be signed with."""
        return frozenset(self.algorithms or DEFAULT_ALGORITHMS)

    @property
    def discovery_url(self) -> str:
        """Where it tells of itself."""
        return f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"

    @property
    def rules(self) -> Rules:
        """What its tokens must say, and what they give."""
        mapped = None if self.scopes is None else {name: frozenset(scopes) for name, scopes in self.scopes.items()}
        return Rules(
            issuer=self.issuer,
            audiences=frozenset(self.audience),
            leeway_s=self.leeway_s,
            max_age_s=self.max_age_s,
            scope_claim=self.scope_claim,
            scopes=mapped,
            grants=frozenset(self.grants),
            tenant_claim=self.tenant_claim,
            models_claim=self.models_claim,
            required=self.required,
            rates=tuple(Rate.parse(rate) for rate in self.rates),
        )
