"""How the C library keeps memory that a request has let go of.

By default glibc gives a large body's pages back to the kernel as soon as they are free, and asks for them again, zeroed
page by page, for the next one: a tenth of what a request of megabytes costs. Here what is freed stays at hand, up to a
bound (mallopt(3); docs/adr/0023-large-bodies.md has the figures).
"""

from __future__ import annotations

import ctypes
import os

KEPT_BYTES = 16 * 1024 * 1024
"""As much free memory stays at the end of a heap; beyond, it goes back to the kernel."""

MAPPED_FROM_BYTES = 8 * 1024 * 1024
"""Blocks from this size on, the largest of bodies, are still given back one by one."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep_freed() -> None:
    """Sets both bounds for this process. What the environment sets stands, and so does a C library without mallopt."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or any(name.startswith("MALLOC_") for name in os.environ):
        return
    mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
    mallopt(_M_MMAP_THRESHOLD, MAPPED_FROM_BYTES)
