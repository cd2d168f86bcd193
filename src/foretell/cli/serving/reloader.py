"""Serving while developing: one worker, started anew whenever a file changes."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from foretell.cli.report import printable, report
from foretell.cli.serving.supervisor import Slot, Supervisor, Worker
from foretell.cli.serving.watch import Watch
from foretell.errors import OperatorError, StartFailed
from foretell.settings import Settings

LOOK_S = 0.5
_SHOWN = 5


@dataclass
class Reloader(Supervisor):
    """A worker that fails is not tried again until something changes; settings are read anew with each start."""

    reread: Callable[[], Settings] = field(kw_only=True)
    watch: Watch = field(kw_only=True)

    def _wait(self, signals: int, most_s: float | None = None) -> bytes:
        arrived = super()._wait(signals, LOOK_S if most_s is None else most_s)
        if not self.stopping and not arrived and (changed := self.watch.changes()):
            self._restart(changed)
        return arrived

    def _restart(self, changed: Sequence[Path]) -> None:
        names = ", ".join(_short(path) for path in changed[:_SHOWN])
        more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
        sys.stderr.write(f"reload: {printable(names)}{more} changed\n")
        try:
            self.settings = self.reread()
        except OperatorError as error:
            report(error)
            return
        self.announced = False
        for slot in self.slots:
            slot.due_s = 0.0
            if slot.worker is not None:
                slot.worker.process.send_signal(signal.SIGTERM)

    def _ended(self, slot: Slot, worker: Worker, _code: int, failure: StartFailed) -> None:
        if slot.due_s == 0.0 and not self.announced:
            return  # stopped for the restart
        report(failure if not worker.ready else StartFailed("The server ended by itself."))
        sys.stderr.write("reload: waiting for a change\n")
        slot.due_s = float("inf")


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
