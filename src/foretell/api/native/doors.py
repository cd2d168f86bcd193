"""Which exact paths mean a single prediction by which version: what the lane looks requests up in. Pure."""

from __future__ import annotations

from foretell.core.identity import LATEST
from foretell.lifecycle.catalog import Catalog
from foretell.lifecycle.servable import Servable


def single_paths(catalog: Catalog, prefix: str) -> dict[bytes, tuple[Servable, str]]:
    """Path -> (the version that answers there, the route it belongs to), for every version that is ready."""
    paths: dict[str, tuple[Servable, str]] = {}
    for name, model in catalog.models.items():
        base, route = f"{prefix}/models/{name}", f"{prefix}/models/{{model}}"
        if model.latest is not None:
            paths[f"{base}/predict"] = model.latest, f"{route}/predict"
            paths[f"{base}/versions/{LATEST}/predict"] = model.latest, f"{route}/versions/{{version}}/predict"
        for entry in model.versions:
            if entry.servable is not None:
                versioned = f"{base}/versions/{entry.ref.version}/predict"
                paths[versioned] = entry.servable, f"{route}/versions/{{version}}/predict"
    default = catalog.models.get(catalog.default_model or "")
    if default is not None and default.latest is not None:
        for start in {prefix, ""}:
            paths[f"{start}/predict"] = default.latest, f"{start}/predict"
    return {path.encode(): door for path, door in paths.items()}
