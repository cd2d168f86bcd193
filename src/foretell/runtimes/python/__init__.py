"""The Python runtime: a small class in ``model.py``, with ``predict`` and perhaps ``load``, served as it is.

    from datetime import datetime
    from pathlib import Path
    from typing import Literal

    class Churn:
        def load(self, folder: Path) -> None:
            self.weights = np.load(folder / "weights.npy")

        def predict(self, age: float, plan: Literal["basic", "gold"], since: datetime | None) -> float:
            return self.weights[0] * age + (plan == "gold")

Each parameter is a column and receives an array of all rows; what is returned has one entry for each row.

This package is loaded in environments that are not Foretell's own: it and what it imports of Foretell need only numpy.
"""

from foretell.runtimes.python.runtime import FILE_NAME, PythonModel, PythonRuntime, describe, describe_output, runtime

__all__ = ["FILE_NAME", "PythonModel", "PythonRuntime", "describe", "describe_output", "runtime"]
