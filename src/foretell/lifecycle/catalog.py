"""What is there and who answers: an immutable snapshot, replaced as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NoReturn

import structlog

from foretell.core.identity import LATEST, Ref, closest, version_key
from foretell.errors import (
    Fault,
    ForetellError,
    MalformedRequest,
    NotReady,
    SettingsError,
    UnknownModel,
    UnknownVersion,
)
from foretell.lifecycle.servable import Servable
from foretell.lifecycle.states import State

_log = structlog.get_logger("foretell.lifecycle")
_NAMES_SHOWN = 20
_VIEWS_KEPT = 256
_NAME_CHARS = 64

ReadyPolicy = Literal["any", "all"] | Sequence[str]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a version stands where it stands, for people: a stable code and a sentence without paths of the server.

    ``hint`` is for the operator's terminal only, where a line to copy needs paths.
    """

    code: str
    detail: str
    hint: str | None = None

    @classmethod
    def of(cls, error: ForetellError) -> Reason:
        return cls(error.code, error.detail, error.hint)


@dataclass(frozen=True, slots=True)
class Entry:
    """One version: its state, why (failed, or a note beside a ready one), and what answers where it is ready."""

    ref: Ref
    state: State = State.FOUND
    reason: Reason | None = None
    servable: Servable | None = None


@dataclass(frozen=True)
class ModelVersions:
    """One model: its versions, oldest first."""

    name: str
    versions: tuple[Entry, ...]
    table: Mapping[str | None, Servable] = field(init=False, repr=False, compare=False)
    """What answers, by version or alias; None is the newest ready version."""

    def __post_init__(self) -> None:
        ordered = tuple(sorted(self.versions, key=lambda entry: version_key(entry.ref.version)))
        object.__setattr__(self, "versions", ordered)
        table: dict[str | None, Servable] = {
            entry.ref.version: entry.servable for entry in ordered if entry.servable is not None
        }
        if table:
            table[None] = table[LATEST] = list(table.values())[-1]
        object.__setattr__(self, "table", table)

    @property
    def latest(self) -> Servable | None:
        """The newest ready version."""
        return self.table.get(None)

    @property
    def aliases(self) -> dict[str, str]:
        """Alias -> version."""
        return {} if self.latest is None else {LATEST: self.latest.ref.version}

    @property
    def state(self) -> State:
        """Ready where any version is; else where the newest stands."""
        return State.READY if self.table else self.versions[-1].state

    def find(self, version: str) -> Entry | None:
        """The entry of a version or alias, whatever its state."""
        if version == LATEST:
            version = self.aliases.get(LATEST, version)
        return next((entry for entry in self.versions if entry.ref.version == version), None)


@dataclass(frozen=True)
class Catalog:
    """All models, by name in order. ``default_setting`` is the setting; ``generation`` grows with each change."""

    default_setting: str | None = None
    models: Mapping[str, ModelVersions] = field(default_factory=dict)
    generation: int = 0
    _tables: Mapping[str | None, Mapping[str | None, Servable]] = field(default_factory=dict, repr=False, compare=False)
    _views: dict[frozenset[str], Catalog] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, entries: Iterable[Entry], default_model: str | None = None) -> Catalog:
        """A first catalog of these entries."""
        return cls(default_model).with_changes({entry.ref: entry for entry in entries})

    def with_changes(self, changes: Mapping[Ref, Entry | None]) -> Catalog:
        """The next snapshot: these entries set, those that are None taken out; what is untouched is shared."""
        models = dict(self.models)
        grouped: dict[str, dict[Ref, Entry | None]] = {}
        for ref, entry in changes.items():
            grouped.setdefault(ref.model, {})[ref] = entry
        for name, changed in grouped.items():
            before = models[name].versions if name in models else ()
            merged = {entry.ref: entry for entry in before} | changed
            versions = tuple(entry for entry in merged.values() if entry is not None)
            if versions:
                models[name] = ModelVersions(name, versions)
            else:
                models.pop(name, None)
        ordered = dict(sorted(models.items())) if models.keys() != self.models.keys() else models
        tables: dict[str | None, Mapping[str | None, Servable]] = {name: model.table for name, model in ordered.items()}
        default = _default_name(self.default_setting, ordered)
        if default is not None and default in ordered:
            tables[None] = ordered[default].table
        return replace(self, models=ordered, generation=self.generation + 1, _tables=tables)

    def visible(self, models: frozenset[str] | None) -> Catalog:
        """The catalog as it would be with only these models; None: all. Made once for each set and kept."""
        if models is None:
            return self
        view = self._views.get(models)
        if view is None:
            default = self.default_setting if self.default_setting in models else None
            view = Catalog.of((entry for entry in self.entries if entry.ref.model in models), default)
            if len(self._views) >= _VIEWS_KEPT:
                self._views.clear()
            self._views[models] = view
        return view

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Every version, by model and then oldest first."""
        return tuple(entry for model in self.models.values() for entry in model.versions)

    @property
    def servables(self) -> tuple[Servable, ...]:
        """Everything that answers."""
        return tuple(entry.servable for entry in self.entries if entry.servable is not None)

    @property
    def default_model(self) -> str | None:
        """The default model's name: the setting's, else the only model that is ready, else the only one; or None."""
        return _default_name(self.default_setting, self.models)

    def find(self, ref: Ref) -> Entry | None:
        """The entry of exactly this version, whatever its state."""
        model = self.models.get(ref.model)
        return None if model is None else next((entry for entry in model.versions if entry.ref == ref), None)

    def get(self, model: str) -> ModelVersions:
        """A model by name. Raises UnknownModel."""
        found = self.models.get(model)
        if found is None:
            raise self._unknown_model(model)
        return found

    def resolve(self, model: str | None = None, version: str | None = None) -> Servable:
        """Who answers: None is the default model, and the newest ready version.

        Raises UnknownModel, UnknownVersion, NotReady; MalformedRequest where there are several models and no default.
        """
        try:
            return self._tables[model][version]
        except KeyError:
            self._explain(model, version)

    def is_ready(self, policy: ReadyPolicy = "any") -> bool:
        """Whether the server is ready: any model is, all are, or those named are. Without a single model it is not."""
        ready = {name for name, model in self.models.items() if model.table}
        if policy == "any":
            return bool(ready)
        wanted = set(self.models) if policy == "all" else set(policy)
        return bool(ready) and wanted <= ready

    def check_default(self) -> None:
        """Raises SettingsError where the default model of the settings is none of the models there are.

        A repository without any model passes: what is put there later may be it.
        """
        name = self.default_setting
        if name is None or not self.models or name in self.models:
            return
        raise SettingsError(
            f"default_model is '{_clip(name)}', but there is no such model.{_did_you_mean(name, self.models)} "
            f"There are: {_listed(self.models)}."
        )

    def _explain(self, model: str | None, version: str | None) -> NoReturn:
        name = model if model is not None else self.default_model
        if name is None:
            raise self._no_default()
        found = self.models.get(name)
        if found is None:
            if not self.models:
                raise NotReady("No model is loaded. Put a version into the repository and send the server SIGHUP.")
            raise self._unknown_model(name)
        if version is not None and version != LATEST and found.find(version) is None:
            raise _unknown_version(found, version)
        raise _not_ready(found, version)

    def _no_default(self) -> NotReady | MalformedRequest:
        if not self.models:
            return NotReady("No model is loaded. Put a version into the repository and send the server SIGHUP.")
        return MalformedRequest(
            f"There are several models and no default one: {_listed(self.models)}. "
            "Name one in the path, as in /models/NAME/predict, or set default_model.",
            code="default_model_ambiguous",
            title="No default model",
        )

    def _unknown_model(self, name: str) -> UnknownModel:
        there_are = f"There are: {_listed(self.models)}." if self.models else "There is none."
        suggestion = closest(name, self.models)
        fault = Fault(
            "unknown_model", "no such model", expected=_clipped(self.models), got=_clip(name), suggestion=suggestion
        )
        return UnknownModel(
            f"There is no model '{_clip(name)}'.{_did_you_mean(name, self.models)} {there_are}", faults=[fault]
        )


class CatalogHolder:
    """Where the current catalog stands. ``current`` is read freely; only ``swap`` changes it, by one assignment.

    Listeners hear, in the event loop's thread, of every swap that changed who answers or which model is the default.
    """

    __slots__ = ("_listeners", "current")

    def __init__(self, catalog: Catalog | None = None) -> None:
        self.current = Catalog() if catalog is None else catalog
        self._listeners: tuple[Callable[[Catalog], None], ...] = ()

    def subscribe(self, listener: Callable[[Catalog], None]) -> None:
        """Calls ``listener`` now and after each such change."""
        self._listeners = (*self._listeners, listener)
        listener(self.current)

    def swap(self, catalog: Catalog) -> None:
        """Makes ``catalog`` the current one."""
        before, self.current = self.current, catalog
        if before.servables == catalog.servables and before.default_model == catalog.default_model:
            return
        for listener in self._listeners:
            try:
                listener(catalog)
            except Exception:
                _log.exception("catalog_listener_failed")


def _default_name(setting: str | None, models: Mapping[str, ModelVersions]) -> str | None:
    if setting is not None:
        return setting
    # a folder that cannot be served must not take the default away from the one model that can
    candidates = [name for name, model in models.items() if model.table] or list(models)
    return candidates[0] if len(candidates) == 1 else None


def _unknown_version(model: ModelVersions, version: str) -> UnknownVersion:
    names = [entry.ref.version for entry in reversed(model.versions)]
    fault = Fault(
        "unknown_version",
        f"model {model.name} has no such version",
        expected=_clipped(names),
        got=_clip(version),
        suggestion=closest(version, names),
    )
    return UnknownVersion(
        f"Model {_clip(model.name)} has no version '{_clip(version)}'.{_did_you_mean(version, names)} "
        f"There are: {_listed(names)}.",
        faults=[fault],
    )


def _not_ready(model: ModelVersions, version: str | None) -> NotReady:
    entry = model.find(version) if version is not None else None
    which = f"Version {_clip(version)} of model" if entry is not None and version else "No version of model"
    what = f"is not ready: it is {entry.state}" if entry is not None else "is ready"
    return NotReady(f"{which} {_clip(model.name)} {what}. GET /models/{_clip(model.name)} says why.")


def _did_you_mean(name: str, options: Iterable[str]) -> str:
    suggestion = closest(name, options)
    return f" Did you mean '{_clip(suggestion)}'?" if suggestion else ""


def _clip(name: str) -> str:
    return name if len(name) <= _NAME_CHARS else name[: _NAME_CHARS - 1] + "…"


def _clipped(names: Iterable[str]) -> list[str]:
    return [_clip(name) for name in list(names)[:_NAMES_SHOWN]]


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    more = len(every) - _NAMES_SHOWN
    return ", ".join(_clipped(every)) + (f" and {more} more" if more > 0 else "")
