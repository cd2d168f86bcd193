"""Opens what the keys stand in: folder, database, pepper; and makes the admin's key at the first start."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from foretell.security.audit import Author
from foretell.security.keys.following import Following
from foretell.security.keys.keyring import Keyring
from foretell.security.keys.pepper import open_pepper
from foretell.security.keys.store import KeyStore
from foretell.state.database import open_database
from foretell.state.folder import prepare, replace_secret

ADMIN_FILE = "admin.key"
FIRST_START = Author("server:first-start")
BY_SETTINGS = Author("server:settings")

_log = structlog.get_logger("foretell.keys")


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of a server that runs. ``admin_file`` holds the admin's; None where it was put away."""

    store: KeyStore
    following: Following
    admin_file: Path | None

    @property
    def keyring(self) -> Keyring:
        """Who stands behind a presented key."""
        return self.following.keyring

    @property
    def closed(self) -> bool:
        """Whether everybody has to show who they are, because a key was ever made or authentication was ever set."""
        return self.following.closed


@contextmanager
def serve_keys(
    folder: Path, url: str | None = None, pepper: str | None = None, *, closed: bool = False
) -> Iterator[Keys]:
    """The keys for a server, which follow every change while the block lasts. Raises StateError.

    ``closed``: the settings say that everybody has to show who they are; that is remembered for good.
    """
    with open_keys(folder, url, pepper) as store:
        admin_file = ensure_admin(store, folder)
        if closed:
            store.close_for_good(BY_SETTINGS)
        following = Following(store)
        following.start()
        try:
            yield Keys(store, following, admin_file)
        finally:
            following.stop()


@contextmanager
def open_keys(folder: Path, url: str | None = None, pepper: str | None = None) -> Iterator[KeyStore]:
    """The keys kept in ``folder``, or in the PostgreSQL of ``url``, while the block lasts. Raises StateError."""
    if url is not None and pepper is None:
        prepare(folder)  # the pepper's file stands there
    database = open_database(folder, url)
    try:
        yield KeyStore(database, open_pepper(database, folder, pepper))
    finally:
        database.close()


def ensure_admin(store: KeyStore, folder: Path) -> Path | None:
    """Makes the admin's key where there has never been one, in a file of mode 0600. The file, as long as it is there.

    The key's text stands nowhere but in the file.
    """
    path = folder / ADMIN_FILE

    def keep(key: str) -> None:
        prepare(folder)
        replace_secret(path, key)

    made = store.create_admin(FIRST_START, keep)
    if made is not None:
        _log.info("admin_key_made", path=str(path), key_id=made.id)
    return path if path.exists() else None
