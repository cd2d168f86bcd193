"""Which uvicorn the protocol was tested on."""

from __future__ import annotations

import uvicorn

TESTED_UVICORN = "0.54"
"""Our protocol reaches into uvicorn's, whose inner workings are no public interface: on another minor it stays off."""


def lane_supported(version: str = uvicorn.__version__) -> bool:
    """Whether this uvicorn is one the lane was tested on."""
    return version == TESTED_UVICORN or version.startswith(TESTED_UVICORN + ".")
