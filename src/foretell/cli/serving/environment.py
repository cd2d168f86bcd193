"""The environment of the processes that serve: threads for native libraries, and no settings: some are secrets."""

from __future__ import annotations

import os
from collections.abc import Mapping

from foretell.settings import Settings
from foretell.settings_reading import without_settings

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def serving_environment(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """``environ`` as a serving process needs it; thread counts that are set already are left alone.

    Must be in place before the first native library is loaded: they read it once.
    """
    threads = {name: str(settings.execution.threads) for name in THREAD_VARIABLES}
    return {**threads, **without_settings(environ)}


def apply(settings: Settings) -> None:
    """Puts it in place for this process, so that what it starts inherits no secret."""
    environ = serving_environment(settings, os.environ)
    for name in os.environ.keys() - environ.keys():
        del os.environ[name]
    os.environ.update(environ)
