"""The keys in the database: found, listed, made, rotated and revoked."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from foretell.core.access.grant import Grant
from foretell.core.identity import closest
from foretell.errors import KeyFault
from foretell.security.audit import Author, Trail
from foretell.security.keys.pepper import Pepper
from foretell.security.keys.record import SELECT, KeyRecord
from foretell.state.database import Database

ADMIN_NAME = "admin"
"""The name of the key that the first start makes."""


@dataclass(frozen=True, slots=True)
class Standing:
    """``revision`` grows with every change of keys. ``closed``: from here on everybody has to show who they are."""

    revision: int
    closed: bool


class KeyStore:
    """May be used from any thread. Every fault of the database is a StateError; SQLAlchemy is imported at a change."""

    def __init__(self, database: Database, pepper: Pepper, clock: Callable[[], float] = time.time) -> None:
        self.database = database
        self.pepper = pepper
        self.trail = Trail(database)
        self._clock = clock

    def standing(self) -> Standing:
        """Where the keys stand; quick, for it is asked several times a second."""
        revision, closed = self.database.read("SELECT revision, closed FROM meta")[0]
        return Standing(revision, bool(closed))

    def changed_since(self, revision: int) -> list[KeyRecord]:
        """The keys that were made or changed after ``revision``, in that order."""
        found = self.database.read(SELECT + "WHERE revision > :revision ORDER BY revision", revision=revision)
        return [KeyRecord.of(row) for row in found]

    def all(self) -> list[KeyRecord]:
        """Every key there ever was, by name and age."""
        found = self.database.read(SELECT + "ORDER BY name, created_s, id")
        return [KeyRecord.of(row) for row in found]

    def get(self, key: str) -> list[KeyRecord]:
        """The key of an id, or every key of a name, newest first. Raises KeyFault with what may have been meant."""
        by_name = "WHERE name = :key ORDER BY created_s DESC, id"
        found = self.database.read(SELECT + "WHERE id = :key", key=key) or self.database.read(SELECT + by_name, key=key)
        if found:
            return [KeyRecord.of(row) for row in found]
        names = [str(row[0]) for row in self.database.read("SELECT DISTINCT name FROM keys")]
        meant = closest(key, names)
        raise KeyFault(
            f"There is no key {key[:64]!r}." + (f" Did you mean {meant!r}?" if meant else ""),
            hint="foretell keys list shows them all",
        )

    def create(self, grant: Grant, author: Author) -> tuple[KeyRecord, str]:
        """Makes a key, and from then on everybody has to show one. Gives it with its text, which is never shown again.

        Raises KeyFault where there is one of the name.
        """
        from foretell.security.keys import changes

        with self.database.write() as connection:
            return changes.create(connection, grant, self.pepper.digest, author, self._clock(), closes=True)

    def create_admin(self, author: Author, keep: Callable[[str], None]) -> KeyRecord | None:
        """Makes the key of the first start and has ``keep`` store its text; None where there has ever been one."""
        if self.database.read("SELECT 1 FROM keys WHERE name = :name LIMIT 1", name=ADMIN_NAME):
            return None
        from foretell.security.keys import changes

        grant = Grant(ADMIN_NAME, ADMIN_NAME, frozenset({"admin"}))
        with self.database.write() as connection:
            changes.next_revision(connection)  # several workers start at once: the others wait here
            if changes.has_name(connection, ADMIN_NAME):
                return None
            record, key = changes.create(connection, grant, self.pepper.digest, author, self._clock(), closes=False)
            keep(key)
            return record

    def rotate(
        self, key: str, author: Author, *, grace_s: float, lifetime_s: float | None = None
    ) -> tuple[KeyRecord, str]:
        """A new key in place of the one of an id or name, which stays valid for ``grace_s``; and the new one's text.

        ``lifetime_s`` None: as long as the old one was made for. Raises KeyFault where there is none to rotate.
        """
        found = self.get(key)
        old = next((record for record in found if record.replaced_by is None and record.revoked_s is None), found[0])
        from foretell.security.keys import changes

        with self.database.write() as connection:
            return changes.rotate(
                connection, old, self.pepper.digest, author, self._clock(), grace_s=grace_s, lifetime_s=lifetime_s
            )

    def revoke(self, key: str, author: Author) -> list[KeyRecord]:
        """Ends the key of an id, or every key of a name, at once. Raises KeyFault where none is left to end."""
        one = self.get(key)[0].id == key
        from foretell.security.keys import changes

        with self.database.write() as connection:
            revoked = changes.revoke(connection, key, author, self._clock(), one=one)
            if not revoked:
                raise KeyFault(f"The key {key[:64]!r} was revoked before.", conflict=True)
            return revoked

    def close_for_good(self, author: Author) -> None:
        """Remembers that everybody has to show who they are, as when authentication was set; there is no way back."""
        if self.standing().closed:
            return
        from foretell.security.audit import note
        from foretell.security.keys import changes
        from foretell.state.tables import META

        with self.database.write() as connection:
            changes.next_revision(connection)
            closed = connection.execute(META.update().where(META.c.closed == 0).values(closed=1))
            if closed.rowcount:
                note(connection, author, "auth.close", "server", before={"closed": False}, after={"closed": True})

    def note_used(self, used: dict[str, float]) -> None:
        """Writes down when keys were last used, by id."""
        if not used:
            return
        from foretell.security.keys import changes

        with self.database.write() as connection:
            changes.note_used(connection, used)
