"""The group of the settings tree that says how connections are encrypted, and who shows a certificate."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from foretell.core.access.grants import Grants
from foretell.settings_groups import Group


class Tls(Group):
    cert: Path | None = Field(
        default=None,
        description="PEM file with the server's certificate, and those of its issuers behind it. It is read anew "
        "whenever it changes, as the two below.",
    )
    key: Path | None = Field(
        default=None,
        description="PEM file with the private key of the certificate; without it the key stands in `tls.cert`, too.",
    )
    self_signed: bool = Field(
        default=False,
        description="Serve with a certificate made for this purpose, which callers have to be told of; "
        "for development.",
    )
    client_ca: Path | None = Field(
        default=None,
        description="PEM file with the issuers of callers' certificates. Whoever shows one of theirs is known by the "
        "name in it.",
    )
    client_certificate: Literal["required", "optional"] = Field(
        default="required",
        description="Whether callers must show a certificate of `tls.client_ca`, or may.",
    )
    client_scopes: tuple[str, ...] = Field(
        default=("predict", "models:read"),
        description="What callers with a certificate may do: scopes for all of them, and `NAME=SCOPE+SCOPE` for one, "
        "with commas between them.",
    )

    @field_validator("client_scopes", mode="before")
    @classmethod
    def _grants(cls, given: Any) -> Any:
        entries = [entry.strip() for entry in given.split(",")] if isinstance(given, str) else given
        if not isinstance(entries, list | tuple) or not all(isinstance(entry, str) for entry in entries):
            raise ValueError("must be scopes and NAME=SCOPE+SCOPE, with commas between them")
        entries = tuple(entry for entry in entries if entry)
        Grants.parse(entries)
        return entries

    @model_validator(mode="after")
    def _agreement(self) -> Self:
        if self.self_signed and (self.cert is not None or self.key is not None):
            raise ValueError("tls.self_signed makes its own certificate: leave out either it or tls.cert and tls.key")
        if self.key is not None and self.cert is None:
            raise ValueError("tls.key needs tls.cert, the certificate that the key belongs to")
        if self.client_ca is not None and self.cert is None and not self.self_signed:
            raise ValueError("tls.client_ca needs a certificate of the server's own: tls.cert, or tls.self_signed")
        return self

    @property
    def enabled(self) -> bool:
        """Whether the server speaks TLS."""
        return self.cert is not None or self.self_signed

    @property
    def grants(self) -> Grants:
        """``client_scopes`` by name."""
        return Grants.parse(self.client_scopes)

    def absolute(self) -> Self:
        """The same, for a process in any directory."""
        paths = {"cert": self.cert, "key": self.key, "client_ca": self.client_ca}
        return self.model_copy(update={name: path and path.absolute() for name, path in paths.items()})
