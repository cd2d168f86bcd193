"""The pepper: what the digests of keys are made with, so that a stolen database alone lets nobody in or guess."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path

from foretell.errors import StateError
from foretell.state.database import Database
from foretell.state.folder import read_secret, write_secret

FILE = "pepper"


class Pepper:
    """A secret of at least 32 characters. ``repr`` never shows it."""

    def __init__(self, secret: str) -> None:
        # HMAC-SHA256 with both paddings absorbed once: what is left to do takes half the time of hmac.digest
        key = secret.encode()
        key = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in key))

    def digest(self, key: bytes) -> bytes:
        """HMAC-SHA256 of a presented key, 32 bytes."""
        inner = self._inner.copy()
        inner.update(key)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()

    @property
    def check(self) -> str:
        """Tells this pepper from others without telling it."""
        return self.digest(b"foretell: which pepper is this?").hex()


def open_pepper(database: Database, folder: Path, given: str | None) -> Pepper:
    """The pepper of the settings, or the file in the state folder, which is made where the database has no keys yet.

    Raises StateError where the keys of the database were made with another one.
    """
    expected = database.read("SELECT pepper_check FROM meta")[0][0]
    text = given or read_secret(folder / FILE)
    if text is None and expected is None:
        write_secret(folder / FILE, secrets.token_hex(32))
        text = read_secret(folder / FILE)
    if text is None:
        raise _wrong(f"The pepper that the keys were made with is not in {folder / FILE}, nor in the settings.")
    pepper = Pepper(text)
    if expected is None:
        expected = _claim(database, pepper)
    if not hmac.compare_digest(pepper.check, expected):
        place = "the settings" if given else str(folder / FILE)
        raise _wrong(f"The keys were made with another pepper than that of {place}.")
    return pepper


def _claim(database: Database, pepper: Pepper) -> str:
    """Says in the database which pepper it is; of several that try at once the first one wins. Returns the winner."""
    from foretell.state.tables import META

    with database.write() as connection:
        connection.execute(META.update().where(META.c.pepper_check.is_(None)).values(pepper_check=pepper.check))
    return str(database.read("SELECT pepper_check FROM meta")[0][0])


def _wrong(detail: str) -> StateError:
    return StateError(
        f"{detail} With another one no key would be known.",
        hint="copy the file from the host that made the keys, or set FORETELL_STATE__PEPPER to what is in it",
    )
