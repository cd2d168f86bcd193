"""Settings -> Hosts: what hosts models for a process, where its processes meet, and what a host may take."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from foretell.core.execution import ExecutionOptions
from foretell.core.manifest import Artifact
from foretell.errors import LoadFailed
from foretell.execution.costs import HOSTED_ROWS
from foretell.execution.hosted.host import HostLimits, Version, host
from foretell.execution.hosted.hosts import Hosts
from foretell.execution.hosted.place import temporary_folder
from foretell.lifecycle.loader import Host
from foretell.runtimes import registry
from foretell.runtimes.base import LoadOptions, Model
from foretell.settings import Settings
from foretell.sources.base import Found


def open_hosts(settings: Settings) -> Hosts | None:
    """What hosts models for this process; None where the system cannot. Nothing is started before a model needs it."""
    if not hasattr(os, "pidfd_open"):
        return None
    return Hosts(hosts_folder(settings), show_output=settings.log.values)


def hosts_folder(settings: Settings) -> Path:
    """Where the processes of one server meet: those with one parent that serve the same models."""
    if settings.execution.folder is not None:
        return settings.execution.folder
    place = hashlib.sha256(str(settings.models and settings.models.absolute()).encode()).hexdigest()[:8]
    return temporary_folder(f"{os.getppid()}-{place}")


def host_limits(settings: Settings) -> HostLimits:
    """What a hosted model may take where its author says nothing."""
    execution = settings.execution
    half_mib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**21
    return HostLimits(
        timeout_s=execution.timeout_s or settings.limits.timeout_s / 2,
        memory_mib=execution.memory_mib or half_mib,
        max_rows=HOSTED_ROWS,
    )


def hosting(hosts: Hosts, settings: Settings) -> Host:
    """How the loader has a version hosted."""
    limits = host_limits(settings)

    async def hosted(found: Found, name: str, artifacts: Sequence[Artifact], options: LoadOptions) -> Model:
        if found.artifact is None:
            raise LoadFailed("there is no file to load")
        manifest = found.manifest
        version = Version(
            model=found.ref.model,
            version=found.ref.version,
            runtime=registry.reference(name),
            folder=found.folder,
            artifact=found.artifact.name,
            artifacts=artifacts,
            signature=None if manifest is None else manifest.signature.to_document(),
            execution=ExecutionOptions() if manifest is None else manifest.execution,
        )
        return await host(hosts, version, options, limits)

    return hosted
