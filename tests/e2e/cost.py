"""What something cost a server, as the system counts it: bytes read, memory, processor time."""

from __future__ import annotations

from pathlib import Path


class Cost:
    """What a process has read, the most memory it took, and how long it was on a processor, since this was made."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")
        (self._folder / "clear_refs").write_text("5", encoding="ascii")  # the peak is from here on
        self._kib, self._read, self._ns = self._of("status", "VmRSS"), self._of("io", "rchar"), self._running_ns()

    def _of(self, file: str, name: str) -> int:
        lines = (self._folder / file).read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name))

    def _running_ns(self) -> int:
        """Of all its threads, and of the processes it has started."""
        threads = list((self._folder / "task").iterdir())
        children = " ".join((thread / "children").read_text(encoding="ascii") for thread in threads).split()
        threads += [thread for child in children for thread in Path(f"/proc/{child}/task").iterdir()]
        return sum(int((thread / "schedstat").read_text(encoding="ascii").split()[0]) for thread in threads)

    @property
    def read_bytes(self) -> int:
        return self._of("io", "rchar") - self._read

    @property
    def mib(self) -> float:
        return (self._of("status", "VmHWM") - self._kib) / 1024

    @property
    def cpu_ms(self) -> float:
        return (self._running_ns() - self._ns) / 1e6
