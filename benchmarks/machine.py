"""The machine that is measured: its cores, its tools, and what its processes use, read from /proc."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PROC = Path("/proc")
TOOLS = {"wrk": "apt install wrk", "taskset": "apt install util-linux"}
LIBRARIES = ("fastapi", "uvicorn", "uvloop", "httptools", "numpy", "scikit-learn", "onnxruntime", "orjson", "msgspec")


class MissingToolError(RuntimeError):
    """A program that the measurement cannot do without; the message says how to install it."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Where the server's process tree and the load run; None leaves a process where the system puts it."""

    server: int | None
    load: int | None

    @staticmethod
    def find() -> Cores:
        """Two separate cores where there are two; a machine with one cannot pin, and its figures say little."""
        allowed = sorted(os.sched_getaffinity(0))
        return Cores(allowed[0], allowed[1]) if len(allowed) > 1 else Cores(None, None)


@dataclass(frozen=True, slots=True)
class Machine:
    """What belongs beside the figures, so that they can be read later."""

    processor: str
    cores: int
    memory_gib: float
    python: str
    system: str
    libraries: dict[str, str]

    @staticmethod
    def describe() -> Machine:
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return Machine(
            processor=processor(),
            cores=len(os.sched_getaffinity(0)),
            memory_gib=round(pages / 2**30, 1),
            python=platform.python_version(),
            system=f"{platform.system()} {platform.machine()}",
            libraries={name: version(name) for name in LIBRARIES},
        )

    def document(self) -> dict[str, Any]:
        return asdict(self)


def require_tools() -> None:
    """Raises MissingToolError naming each tool that is not there with the line that installs it."""
    missing = [f"{tool} ({line})" for tool, line in TOOLS.items() if shutil.which(tool) is None]
    if missing:
        raise MissingToolError(f"The benchmarks need {' and '.join(missing)} on Debian or Ubuntu.")


def pinned(command: Sequence[str], core: int | None) -> list[str]:
    return list(command) if core is None else ["taskset", "-c", str(core), *command]


def processor() -> str:
    for line in (PROC / "cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def process_tree(pid: int) -> list[int]:
    """``pid`` and everything that descends from it."""
    children: dict[int, list[int]] = {}
    for entry in PROC.glob("[0-9]*"):
        if fields := stat_fields(int(entry.name)):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    tree, todo = [], [pid]
    while todo:
        parent = todo.pop()
        tree.append(parent)
        todo += children.get(parent, [])
    return tree


def stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; none where the process has gone."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def cpu_s(pid: int) -> float:
    """Seconds of processor time that the process tree of ``pid`` has used so far."""
    ticks = sum(int(fields[11]) + int(fields[12]) for p in process_tree(pid) if (fields := stat_fields(p)))
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_mib(pid: int) -> float:
    """Proportional memory of the process tree of ``pid``: shared pages count once."""
    total_kib = 0
    for member in process_tree(pid):
        try:
            lines = (PROC / str(member) / "smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total_kib += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total_kib / 1024
