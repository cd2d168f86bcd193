"""The version that scores: found in the models' folder, verified, loaded and tried as the server would."""

from __future__ import annotations

from collections.abc import Sequence

from foretell.core.identity import version_key
from foretell.errors import OperatorError
from foretell.lifecycle.loader import Loaded, load_model, try_model
from foretell.runtimes import registry
from foretell.runtimes.base import LoadOptions
from foretell.settings import Settings
from foretell.sources.base import Found
from foretell.sources.local import LocalSource


def open_source(settings: Settings) -> LocalSource:
    """Where the models of the settings are. Raises OperatorError where no path is set."""
    if settings.models is None:
        raise OperatorError("No model to score with.", hint="say where models are: --models PATH, or FORETELL_MODELS")
    return LocalSource(settings.models, registry.recognise, settings.trust.allows)


def find_version(source: LocalSource, model: str | None, version: str | None) -> tuple[Found, str]:
    """The version asked for, by default the newest of the only model, and its digest.

    Raises OperatorError where there is none such, or it cannot be loaded into this Python, and ArtifactError where its
    files are not what they should be.
    """
    found = [each for each in source.scan() if model is None or each.ref.model == model]
    names = sorted({each.ref.model for each in found})
    if not found:
        there = ", ".join(sorted({each.ref.model for each in source.scan()})) or "none"
        raise OperatorError(f"There is no model '{model}'. There are: {there}.", hint="--model NAME")
    if len(names) > 1:
        raise OperatorError(f"There are several models: {', '.join(names)}.", hint="say which: --model NAME")
    chosen = _chosen(found, version)
    if chosen.fault is not None:
        raise chosen.fault
    if chosen.manifest is not None and chosen.manifest.execution.python is not None:
        raise OperatorError(
            f"{chosen.ref} has a Python of its own (execution.python), in which only a server runs it.",
            hint="serve it, and score with --server",
        )
    with source.open(chosen) as files:
        return chosen, files.digest


def _chosen(found: Sequence[Found], version: str | None) -> Found:
    by_version = {each.ref.version: each for each in found}
    if version in (None, "latest"):
        return by_version[max(by_version, key=version_key)]
    if version not in by_version:
        there = ", ".join(sorted(by_version, key=version_key))
        raise OperatorError(f"{found[0].ref.model} has no version '{version}'. There are: {there}.")
    return by_version[version]


def load_version(settings: Settings, model: str, version: str) -> Loaded:
    """The version, warmed up, in this process. Raises OperatorError and ArtifactError."""
    source = open_source(settings)
    found, _ = find_version(source, model, version)
    execution = found.manifest.execution if found.manifest else None
    device = "cpu" if execution is None else execution.device
    options = LoadOptions(settings.execution.threads, device=device)
    loaded = load_model(found, source.open, registry.get, options)
    try_model(loaded)
    return loaded
