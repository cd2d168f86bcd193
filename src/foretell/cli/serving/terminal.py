"""The terminal a process was started from."""

from __future__ import annotations

import os


def has_terminal() -> bool:
    """Whether the process has a terminal that is still there; SIGHUP of a closed one means to stop, not to rescan."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
