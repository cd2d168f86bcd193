"""What a scan means for the catalog: what to load, what to look at again, what is gone. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from foretell.core.identity import Ref, version_key
from foretell.lifecycle.catalog import Catalog, Entry
from foretell.sources.base import WHOLE, Found


@dataclass(frozen=True, slots=True)
class Changes:
    """``load``: new or failed before, the newest of each model first. ``faulty``: found with a fault, nothing to load.

    ``touched``: ready, but its folder is not as it was. ``untouched``: ready, as it was. ``gone``: not found any more.
    """

    load: Sequence[Found] = ()
    faulty: Sequence[Found] = ()
    touched: Sequence[Found] = ()
    untouched: Sequence[Ref] = ()
    gone: Sequence[Ref] = ()


def changes(catalog: Catalog, found: Mapping[Ref, Found]) -> Changes:
    """Sorts what was found against what there is. A version that is ready is never loaded again: it is immutable."""
    load: list[Found] = []
    faulty: list[Found] = []
    touched: list[Found] = []
    untouched: list[Ref] = []
    for ref, item in found.items():
        entry = catalog.find(ref)
        servable = entry.servable if entry is not None else None
        if servable is None:
            (load if item.fault is None else faulty).append(item)
        elif item.fault is None and item.stamp == servable.stamp:
            untouched.append(ref)
        else:
            touched.append(item)
    load.sort(key=lambda item: version_key(item.ref.version), reverse=True)
    load.sort(key=lambda item: item.ref.model)
    gone = [entry.ref for entry in catalog.entries if entry.ref not in found and not _hidden(entry.ref, found)]
    return Changes(load, faulty, touched, untouched, gone)


def last_resorts(catalog: Catalog, gone: Sequence[Ref], found: Mapping[Ref, Found]) -> set[Ref]:
    """The versions whose folders are gone and that keep answering all the same.

    Where other versions of the model lie there and none of them is ready, the newest ready one stays. Where nothing of
    the model is left, it was removed on purpose, and nothing stays.
    """
    kept = set()
    still_there = {ref.model for ref in found}
    for name in {ref.model for ref in gone} & still_there:
        ready: list[Entry] = [entry for entry in catalog.get(name).versions if entry.servable is not None]
        if ready and all(entry.ref in gone for entry in ready):
            kept.add(ready[-1].ref)
    return kept


def _hidden(ref: Ref, found: Mapping[Ref, Found]) -> bool:
    """Whether the folder it would be found in could not be read as a whole."""
    return Ref(WHOLE, WHOLE) in found or (Ref(ref.model, WHOLE) in found and ref.version != WHOLE)
