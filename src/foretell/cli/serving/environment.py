"""The environment of the processes that serve: settings for the application, threads for native libraries."""

from __future__ import annotations

import os
from collections.abc import Mapping

from foretell.settings import Settings

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def serving_environment(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """``environ`` with what a serving process needs; thread counts that are set already are left alone.

    Must be in place before the first native library is loaded: they read it once.
    """
    threads = {name: str(settings.execution.threads) for name in THREAD_VARIABLES}
    return {**threads, **environ, **settings.export()}


def apply(settings: Settings) -> None:
    """Puts it in place for this process."""
    os.environ.update(serving_environment(settings, os.environ))
