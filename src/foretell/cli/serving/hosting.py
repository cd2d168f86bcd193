"""Where the processes of this server meet over hosted models; and their supervision by the parent of workers."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from foretell.errors import OperatorError
from foretell.execution.hosted.place import sweep, temporary_folder, temporary_prefix
from foretell.settings import Settings

_log = structlog.get_logger("foretell.hosts")


@contextmanager
def meeting_place(settings: Settings) -> Iterator[Settings]:
    """The settings with a folder of this server's own, unless they name one. It is gone afterwards."""
    if settings.execution.folder is not None:
        yield settings
        return
    with own_folder() as folder:
        execution = settings.execution.model_copy(update={"folder": folder})
        yield settings.model_copy(update={"execution": execution})


@contextmanager
def own_folder() -> Iterator[Path | None]:
    """A folder that no other server has; none where there is no room, which whatever needs one will say."""
    sweep(temporary_folder("").parent)
    try:
        folder = tempfile.TemporaryDirectory(prefix=temporary_prefix(), ignore_cleanup_errors=True)
    except OSError as error:
        hint = "Make room there, or name another folder: execution.folder, or TMPDIR."
        _log.warning("hosting_impossible", detail=f"no temporary folder can be made: {error.strerror}", hint=hint)
        yield None
        return
    with folder as path:
        yield Path(path)


@contextmanager
def supervising(settings: Settings) -> Iterator[None]:
    """This process supervises the hosts that its workers will want, where it can."""
    if settings.execution.folder is None or not hasattr(os, "pidfd_open"):
        yield
        return
    from foretell.execution.hosted.election import Election

    election = Election(settings.execution.folder, show_output=settings.log.values)
    try:
        election.stand()
    except OperatorError as error:  # models that are not hosted need no supervisor; the others say why they cannot be
        _log.warning("hosting_impossible", detail=error.detail, hint=error.hint)
    try:
        yield
    finally:
        election.close()
