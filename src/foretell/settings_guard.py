"""The groups of the settings tree that say who may call, and where that is kept."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from foretell.settings_groups import Group


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
