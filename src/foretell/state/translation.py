"""What databases and disks complain of, in words for whoever runs the server."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path
from typing import Any

from foretell.errors import StateAway, StateError, StateFull

_FULL = {errno.ENOSPC, errno.EDQUOT}
_SQLITE_BUSY, _SQLITE_LOCKED, _SQLITE_READONLY, _SQLITE_IOERR = 5, 6, 8, 10
_SQLITE_CORRUPT, _SQLITE_FULL, _SQLITE_CANTOPEN, _SQLITE_NOTADB = 11, 13, 14, 26
DAMAGED_HINT = (
    "restore it from a backup; or, to begin anew without keys and history, move it away with the files beside it"
)


def disk_fault(error: OSError, path: Path) -> StateError:
    """Why a file or folder of the state cannot be read or written."""
    if error.errno in _FULL:
        return StateFull(f"The disk is full, so {path} cannot be written.", hint="make room and try again")
    return StateError(
        f"{path} cannot be written: {error.strerror or error}.",
        hint="FORETELL_STATE names a folder that this user may write to",
    )


def sqlite_fault(error: sqlite3.Error, path: Path) -> StateError:
    """Why the database file did not do as asked."""
    code = (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF
    if code == _SQLITE_FULL:
        return StateFull(f"The disk is full, so {path} cannot be written.", hint="make room and try again")
    if code in (_SQLITE_BUSY, _SQLITE_LOCKED):
        return StateAway(
            f"Another process has held {path} for too long.", hint="try again; fuser PATH shows who has it open"
        )
    if code in (_SQLITE_CORRUPT, _SQLITE_NOTADB):
        return StateError(f"{path} is damaged: {error}. It was left as it is.", hint=DAMAGED_HINT)
    if code in (_SQLITE_READONLY, _SQLITE_CANTOPEN, _SQLITE_IOERR):
        return StateError(f"{path} cannot be used: {error}.", hint="its folder and disk must be writable by this user")
    return StateError(f"{path} does not hold what this Foretell expects: {error}.", hint=DAMAGED_HINT)


def postgres_fault(error: Any, where: str) -> StateError:
    """Why a PostgreSQL did not do as asked. ``where`` says which one, without its password."""
    sqlstate = getattr(error, "sqlstate", None) or ""
    said = str(error).strip().partition("\n")[0][:300]
    if sqlstate == "53100":
        return StateFull(f"The disk of {where} is full.", hint="make room and try again")
    if sqlstate.startswith(("42", "22", "3F")):
        return StateError(f"{where} does not hold what this Foretell expects: {said}.", hint="look at its tables")
    if sqlstate.startswith("28"):
        return StateError(
            f"{where} does not let us in: {said}.", hint="are user and password right in FORETELL_STATE__URL?"
        )
    return StateAway(f"{where} does not answer: {said}.", hint="look whether it runs and can be reached")
