"""Foretell: a trained model becomes a production API.

    import foretell

    foretell.package(model, "models/iris/v1", example=X, class_names=["setosa", "versicolor", "virginica"])

Importing this package imports no machine-learning library: what is named here is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foretell.packaging.package import package

    __version__: str

__all__ = ["__version__", "package"]


def __getattr__(name: str) -> Any:
    if name == "package":
        # by name: whoever imports this package must not seem to import packaging
        value: Any = import_module("foretell.packaging.package").package
    elif name == "__version__":
        from importlib.metadata import version

        value = version("foretell")
    else:
        raise AttributeError(f"module 'foretell' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
