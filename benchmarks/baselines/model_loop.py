"""A model called on an array, over and over: `python -m benchmarks.baselines.model_loop MODEL ROWS_NPY SECONDS`.

Prints how many rows a second it gives on one core, without any server.
"""

from __future__ import annotations

import sys
import time

import joblib
import numpy as np


def main(model_path: str, rows_path: str, seconds: float) -> None:
    model, rows = joblib.load(model_path), np.load(rows_path)
    model.predict_proba(rows)
    count, started_s = 0, time.perf_counter()
    while (elapsed_s := time.perf_counter() - started_s) < seconds:
        model.predict_proba(rows)
        count += len(rows)
    print(count / elapsed_s)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
