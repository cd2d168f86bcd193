"""The scikit-learn runtime: estimators stored by skops, run by scikit-learn itself.

Importing this package imports neither scikit-learn nor skops.
"""

from foretell.runtimes.sklearn.runtime import SklearnRuntime, runtime

__all__ = ["SklearnRuntime", "runtime"]
