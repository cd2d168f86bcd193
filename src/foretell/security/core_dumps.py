"""No core dumps: one would hold keys, tokens and callers' values, in a file that outlives the process."""

from __future__ import annotations

import resource


def forbid() -> None:
    """Keeps this process, and all that it starts from now on, from leaving one. It cannot be taken back."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
