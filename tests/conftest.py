"""Every test keeps what servers remember in a folder of its own, and none in the developer's home."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count

import pytest
import structlog

pytest_plugins = ["tests.report", "tests.canary"]
_numbers = count()

# Some machines forbid Python to keep what it compiled. Each of the hundreds of processes that the tests start would
# compile every module of ours anew: half the time of a server's start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(autouse=True)
def plain_tracebacks() -> None:
    """Where no log was opened, as in a server's: structlog alone would show local variables, headers among them."""
    if not structlog.is_configured():
        *before, _ = structlog.get_config()["processors"]
        plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        structlog.configure(processors=[*before, plain])


@pytest.fixture(autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """``$XDG_STATE_HOME`` for this process and those that the test starts."""
    before = os.environ.get("XDG_STATE_HOME")
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.getbasetemp() / f"state-{next(_numbers)}")
    yield
    if before is None:
        del os.environ["XDG_STATE_HOME"]
    else:
        os.environ["XDG_STATE_HOME"] = before
