"""Who supervises the hosts of a server: whoever holds the lock, which goes with its process, however that ends."""

from __future__ import annotations

from pathlib import Path

from foretell.execution.hosted.place import Place
from foretell.execution.hosted.supervisor import Supervisor


class Election:
    """One process's standing for the place of the supervisor in ``folder``."""

    def __init__(self, folder: Path, *, show_output: bool = False) -> None:
        self._place = Place(folder)
        self._show_output = show_output
        self._supervisor: Supervisor | None = None

    def stand(self) -> bool:
        """Becomes the supervisor where nobody is. Whether this process is it now. Raises OperatorError."""
        if self._supervisor is not None:
            if self._supervisor.running:
                return True
            self._supervisor.stop()
            self._supervisor = None
        if not self._place.take():
            return False
        # a supervisor that failed, or never came to be, is not to keep the place
        try:
            self._supervisor = Supervisor(self._place.folder, show_output=self._show_output, on_end=self._place.leave)
        except BaseException:
            self._place.leave()
            raise
        self._supervisor.start()
        return True

    def close(self) -> None:
        """Ends the hosts where this process supervises them, and makes the place free."""
        if self._supervisor is not None:
            self._supervisor.stop()
            self._supervisor = None
        self._place.clear()
