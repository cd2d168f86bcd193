"""From a version that was found to its hosts: what they are to run, and where."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foretell.core.execution import ExecutionOptions
from foretell.core.manifest import Artifact
from foretell.errors import LoadFailed, OperatorError
from foretell.execution.hosted.hosts import Hosts
from foretell.execution.hosted.model import HostedModel
from foretell.execution.hosted.spec import HostSpec
from foretell.runtimes.base import LoadOptions

_INTERPRETER = re.compile(r"(python|pypy)[0-9.]*")


@dataclass(frozen=True, slots=True)
class Version:
    """What is to be hosted; ``runtime`` is where it is imported from, ``artifact`` the name of the file it loads."""

    model: str
    version: str
    runtime: str
    folder: Path
    artifact: str
    artifacts: Sequence[Artifact]
    signature: Mapping[str, Any] | None
    execution: ExecutionOptions


@dataclass(frozen=True, slots=True)
class HostLimits:
    """What the settings allow a host where its author says nothing."""

    timeout_s: float
    memory_mib: int
    max_rows: int


async def host(hosts: Hosts, version: Version, options: LoadOptions, limits: HostLimits) -> HostedModel:
    """The model, loaded in its host. Raises ArtifactError; then nothing of it is left."""
    try:
        lease = await hosts.want(specify(version, options, limits))
    except OperatorError as error:  # for people who look at the model, it is the model that cannot be served
        raise LoadFailed(error.detail, hint=error.hint) from error
    try:
        return HostedModel(lease, await lease.ready(), hosts.client)
    except BaseException:
        lease.release()
        raise


def specify(version: Version, options: LoadOptions, limits: HostLimits) -> HostSpec:
    """What the supervisor is asked for. Raises LoadFailed where the interpreter cannot be used."""
    execution = version.execution
    return HostSpec(
        model=version.model,
        version=version.version,
        runtime=version.runtime,
        folder=str(version.folder.absolute()),
        artifact=version.artifact,
        artifacts=tuple(version.artifacts),
        signature=version.signature,
        python=interpreter(execution.python, version.folder),
        threads=options.threads,
        device=options.device,
        replicas=execution.replicas,
        max_rows=execution.max_batch_rows or limits.max_rows,
        timeout_s=execution.timeout_s or limits.timeout_s,
        memory_mib=execution.memory_mib or limits.memory_mib,
    )


def interpreter(wanted: str | None, folder: Path) -> str:
    """The interpreter a manifest names, which may be the folder of a virtual environment; else this process's own.

    Raises LoadFailed. What lies in the version's folder is data, and is not run.
    """
    if wanted is None:
        return sys.executable
    path = Path(os.path.normpath(folder.absolute() / wanted))
    program = path / "bin" / "python" if path.is_dir() else path
    if path.is_relative_to(folder.absolute()):
        raise LoadFailed("execution.python lies in the version's own folder, from which nothing is run")
    if not _INTERPRETER.fullmatch(program.name) or not os.access(program, os.X_OK):
        raise LoadFailed(
            f"execution.python is {wanted[:64]!r}, and there is no Python interpreter",
            hint="Name an interpreter, or the folder of a virtual environment that has numpy and msgpack.",
        )
    return str(program)
