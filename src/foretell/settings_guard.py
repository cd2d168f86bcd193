"""The groups of the settings tree that say who may call, and where that is kept."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from foretell.settings_groups import Group
from foretell.settings_issuers import Issuer

OWN_ISSUER = "urn:foretell"


class Auth(Group):
    mode: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="Who needs a credential: everybody (`on`), nobody (`off`), or `auto`: all but callers on this "
        "machine, and they too once there is a key.",
    )
    public_docs: bool = Field(
        default=False,
        description="Whether `/`, `/docs` and `/openapi.json` are open to all; on a loopback address they always are.",
    )
    issuers: tuple[Issuer, ...] = Field(
        default=(),
        max_length=16,
        repr=False,
        description="Outside issuers whose tokens are taken, as tables `[[auth.issuers]]` in `foretell.toml` or a JSON "
        "list in the variable: [tokens](../how-to/oidc.md#the-settings-of-an-issuer).",
    )
    token_lifetime_s: int = Field(
        default=3600,
        ge=0,
        le=86_400,
        description="Seconds that a token got at `/oauth/token` for an API key is valid; 0 switches such tokens off.",
    )
    token_issuer: str | None = Field(
        default=None,
        max_length=512,
        description="What those tokens name as their issuer: the URL that callers reach this server by, such as "
        "`https://models.example.com`. Default: `urn:foretell`.",
    )

    @field_validator("issuers", mode="before")
    @classmethod
    def _issuers_from_text(cls, given: Any) -> Any:
        if not isinstance(given, str):
            return given
        try:
            return json.loads(given)
        except ValueError:
            raise ValueError("must be a list of issuers, as JSON in a variable") from None

    @field_validator("issuers")
    @classmethod
    def _issuers_once(cls, issuers: tuple[Issuer, ...]) -> tuple[Issuer, ...]:
        names = [each.issuer for each in issuers]
        if len(set(names)) != len(names):
            raise ValueError("must name every issuer once")
        return issuers

    @field_validator("token_issuer")
    @classmethod
    def _token_issuer_grammar(cls, url: str | None) -> str | None:
        if url is not None and not re.fullmatch(r"https?://[A-Za-z0-9.\[\]:-]+(/[A-Za-z0-9._~/-]*)?", url):
            raise ValueError("must be a URL such as https://models.example.com")
        return url

    @model_validator(mode="after")
    def _own_issuer(self) -> Self:
        if self.issuer in [each.issuer for each in self.issuers]:
            raise ValueError("auth.token_issuer is one of auth.issuers, which only one of them can be")
        return self

    @property
    def issuer(self) -> str:
        """What the tokens made here name as their issuer."""
        return self.token_issuer or OWN_ISSUER


class State(Group):
    folder: Path | None = Field(
        default=None,
        description="Folder for keys, audit trail and the like, of this user alone, on a disk of this host. "
        "Default: `foretell` in `$XDG_STATE_HOME`, else in `~/.local/state`.",
    )
    url: str | None = Field(
        default=None,
        min_length=1,
        max_length=4096,
        repr=False,
        description="A PostgreSQL that servers on several hosts share in place of the file in `state.folder`, such as "
        "`postgresql://foretell:password@host/foretell`.",
    )
    pepper: str | None = Field(
        default=None,
        min_length=32,
        max_length=1024,
        repr=False,
        description="What the digests of keys are made with, the same on every host that shares `state.url`; else each "
        "state folder has its own.",
    )
    usage_flush_s: float = Field(
        default=10.0,
        ge=0.1,
        le=30.0,
        description="Seconds between two writes of what callers used: a server that is killed loses what it had not "
        "written. A clean stop writes all of it.",
    )

    @field_validator("url")
    @classmethod
    def _url_grammar(cls, url: str | None) -> str | None:
        if url is not None and not re.match(r"postgres(ql)?://[^\s]+$", url):
            raise ValueError("must begin with postgresql://; SQLite needs no URL, only state.folder")
        return url

    @property
    def place(self) -> Path:
        """The folder: as set, else this user's own."""
        if self.folder is not None:
            return self.folder.absolute()
        home = os.environ.get("XDG_STATE_HOME", "")
        base = Path(home) if home.startswith("/") else Path("~/.local/state").expanduser()
        return base / "foretell"
