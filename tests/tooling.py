"""Programs of the machine that a test cannot do without.

On a person's machine a test whose program is missing is skipped with the line that installs it; where CI=true it
fails instead, so that a check that silently no longer runs is seen.
"""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

PACKAGES = {"wrk": "wrk", "nginx": "nginx-light", "chromium": "chromium", "curl": "curl", "node": "nodejs"}
SYSTEM_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def find_tool(name: str) -> str:
    """The path of a program. Skips the running test where it is missing, or fails it in CI."""
    path = shutil.which(name, path=SYSTEM_PATH)
    if path is None:
        miss(f"{name} is not installed: apt install {PACKAGES[name]}")
    return path


def miss(reason: str) -> NoReturn:
    """Skips the running test, which lacks something of the machine, or fails it in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
