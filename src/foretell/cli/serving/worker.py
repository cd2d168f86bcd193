"""One worker: a whole application in a process of its own, on the socket its parent bound.

``python -m foretell.cli.serving.worker SOCKET_FD STATUS_FD ANNOUNCE``. It writes one JSON line to the status pipe:
that it is ready, or why it is not. When the parent is gone, however it went, the worker stops as on SIGTERM.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from typing import Any

from foretell.cli.report import EX_SOFTWARE
from foretell.cli.serving import banner
from foretell.cli.serving.server import Server
from foretell.errors import ForetellError
from foretell.settings import Settings
from foretell.settings_secrets import DESCRIPTOR, take_over


def run(socket_fd: int, status_fd: int, announce: bool) -> int:
    """Serves until it is stopped. Returns the exit code."""
    watch_parent(status_fd)
    settings = Settings.from_export(take_over(int(os.environ.pop(DESCRIPTOR))))
    bound = socket.socket(fileno=socket_fd)

    def ready(state: Mapping[str, Any]) -> None:
        tell(status_fd, {"ready": True})
        if announce:
            banner.announce(settings, bound, state)

    try:
        Server(settings, ready).serve_on(bound)
    except ForetellError as error:
        code = int(getattr(error, "exit_code", EX_SOFTWARE))
        tell(status_fd, {"failed": error.detail, "hint": error.hint, "exit_code": code})
        return code
    return 0


def tell(status_fd: int, status: Mapping[str, Any]) -> None:
    """Writes one line for the parent; where it is gone, nobody is left to tell."""
    try:
        os.write(status_fd, json.dumps(status).encode() + b"\n")
    except BrokenPipeError:
        stop_self()


def watch_parent(fd: int) -> None:
    """Stops this process once the parent has died: its end of the pipe closes with it, even on SIGKILL."""
    threading.Thread(target=_await_hang_up, args=(fd,), name="foretell-parent", daemon=True).start()


def _await_hang_up(fd: int) -> None:
    import select

    poll = select.poll()
    poll.register(fd, 0)  # POLLERR, the closed reading end, is always reported
    poll.poll()
    stop_self()


def stop_self() -> None:
    """As SIGTERM from outside."""
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(run(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "1"))
