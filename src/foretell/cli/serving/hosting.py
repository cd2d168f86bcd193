"""Where the processes of this server meet over hosted models; and their supervision by the parent of workers."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from foretell.errors import OperatorError
from foretell.settings import Settings

_log = structlog.get_logger("foretell.hosts")


@contextmanager
def meeting_place(settings: Settings) -> Iterator[Settings]:
    """The settings with a folder of this server's own, unless they name one. It is gone afterwards."""
    if settings.execution.folder is not None:
        yield settings
        return
    with tempfile.TemporaryDirectory(prefix="foretell-", ignore_cleanup_errors=True) as folder:
        execution = settings.execution.model_copy(update={"folder": Path(folder)})
        yield settings.model_copy(update={"execution": execution})


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
