"""Brings the tables of a database to what this Foretell expects, by Alembic."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from foretell.errors import StateError

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

HEAD = "0003"
"""The last step. A database that is there already needs no Alembic, which takes its time to import."""

STEPS = Path(__file__).parent / "migrations"
SCRIPT = Path(__file__).parent / "schema.sql"
"""What all steps make of an empty SQLite."""

_one_at_a_time = threading.Lock()  # Alembic's context is global to the process


def upgrade(connection: Connection, where: str) -> None:
    """Runs the steps that are missing, in the connection's transaction; whoever calls holds the database's lock.

    Raises StateError where the database is a newer Foretell's, or holds something else.
    """
    from alembic import command
    from alembic.migration import MigrationContext
    from sqlalchemy import inspect

    config = _config()
    config.attributes["connection"] = connection
    with _one_at_a_time:
        found = MigrationContext.configure(connection).get_current_revision()
        if found is not None:
            check(found, where)
        elif "keys" in inspect(connection).get_table_names():
            raise StateError(
                f"{where} has tables that Foretell did not make; they were left as they are.",
                hint="name another folder by FORETELL_STATE or another database by FORETELL_STATE__URL",
            )
        command.upgrade(config, "head")


def check(found: str, where: str) -> None:
    """Raises StateError where the step that a database is at is none of ours."""
    from alembic.script import ScriptDirectory

    if found not in {step.revision for step in ScriptDirectory.from_config(_config()).walk_revisions()}:
        raise StateError(
            f"{where} was written by a newer Foretell (its schema is {found[:64]!r}, this one knows {HEAD!r}). "
            "It was left as it is.",
            hint="install that version or a later one, or name another state folder by FORETELL_STATE",
        )


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(STEPS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
