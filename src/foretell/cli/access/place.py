"""Whose keys the commands speak of, and who gives them."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager

from foretell.security.audit import Author
from foretell.security.keys.store import KeyStore
from foretell.settings import Settings


@contextmanager
def opened() -> Iterator[KeyStore]:
    """The keys of the state that the settings name, while the block lasts. Raises StateError, SettingsError."""
    from foretell.security.keys.opening import open_keys

    state = Settings.load().state
    with open_keys(state.place, state.url, state.pepper) as store:
        yield store


def author() -> Author:
    """The user of the operating system, and who became root by sudo, as the audit trail names them."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user may have a number and no name
        user = str(os.getuid())
    behind = os.environ.get("SUDO_USER", "") if os.getuid() == 0 else ""
    return Author(f"cli:{user} for {behind[:64]}" if behind else f"cli:{user}")
